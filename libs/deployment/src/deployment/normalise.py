"""The checked configuration as the playbooks read it: names as deployed, defaults filled in."""

from __future__ import annotations

from typing import Any

from deployment.check import Checked
from deployment.node_prices import node_prices
from deployment.schema import resolved, schema


def normalised(checked: Checked) -> dict[str, Any]:
    """The fact `deployment`; raises `ValueError` when the check has found errors."""
    if checked.errors:
        raise ValueError("; ".join(finding.text for finding in checked.errors))
    values = checked.values
    gateway = values.get("APIGW", {})
    throttle = gateway.get("throttle", {})
    throttle_defaults = _defaults(schema()["properties"]["APIGW"]["properties"]["throttle"])
    return {
        "stack": values["stackName"].lower(),
        # Names the CloudFormation stack that scripts of the original's users ask for outputs.
        "stack_name": values["stackName"],
        "model_bucket": values["modelBucketArn"].rpartition(":")[2],
        "model_bucket_arn": values["modelBucketArn"],
        "stage_name": gateway.get("stageName")
        or _defaults(schema()["properties"]["APIGW"])["stageName"],
        "rate_limit": int(throttle.get("rateLimit", throttle_defaults["rateLimit"])),
        "burst_limit": int(throttle.get("burstLimit", throttle_defaults["burstLimit"])),
        "node_prices": node_prices(values.get("nodePrices", {})),
        "runtimes": [_runtime(runtime) for runtime in values["modelsRuntime"]],
    }


def _runtime(values: dict[str, Any]) -> dict[str, Any]:
    given = _defaults(schema()["$defs"]["modelRuntime"]) | values
    return {
        "name": given["name"].lower(),
        "namespace": given["namespace"],
        "type": given["type"],
        "model_filename": given["modelFilename"],
        "dynamic_model": given["dynamicModel"],
        "chart_repository": given["chartRepository"],
        "chart_version": given["chartVersion"] if given["chartRepository"] else "",
        "values": given.get("extraValues", {}),
    }


def _defaults(part: dict[str, Any]) -> dict[str, Any]:
    properties = {name: resolved(each) for name, each in part["properties"].items()}
    return {name: each["default"] for name, each in properties.items() if "default" in each}
