"""What API Gateway itself says of a request that it does not hand on."""

from __future__ import annotations

import json
from typing import Any

MEDIA_TYPE = "application/problem+json"
_HEADER = "gatewayresponse.header."


def wanted_refusals(given: list[dict[str, Any]]) -> dict[str, dict[str, Any]]:
    """What a task asks for, by AWS's name of the case, as it is compared."""
    return {each["case"]: _refusal(each) for each in given}


def _refusal(asked: dict[str, Any]) -> dict[str, Any]:
    problem = {
        "type": f"urn:darkroom:problem:{asked['code']}",
        "title": asked["title"],
        "status": asked["status"],
        "detail": asked["detail"],
        "code": asked["code"],
        "errors": [],
    }
    headers = {"Content-Type": MEDIA_TYPE}
    if asked["retry_after"]:
        headers["Retry-After"] = str(asked["retry_after"])
    return {
        "status": str(asked["status"]),
        "headers": {f"{_HEADER}{name}": f"'{value}'" for name, value in headers.items()},
        "body": json.dumps(problem),
    }


def refusals_as_they_are(
    client: Any, api_id: str, given: list[dict[str, Any]]
) -> dict[str, dict[str, Any]]:
    """Those of an API that a task asks for, in the same form."""
    if not given:
        return {}
    answer = client.get_gateway_responses(restApiId=api_id, limit=500, aws_retry=True)
    cases = {each["case"] for each in given}
    return {
        each["responseType"]: {
            "status": each.get("statusCode"),
            "headers": each.get("responseParameters", {}),
            "body": each.get("responseTemplates", {}).get("application/json"),
        }
        for each in answer.get("items", [])
        if each["responseType"] in cases and not each.get("defaultResponse")
    }


def put_refusal(client: Any, api_id: str, case: str, wanted: dict[str, Any]) -> None:
    """Make one what it should be; it counts from the next deployment on."""
    client.put_gateway_response(
        restApiId=api_id,
        responseType=case,
        statusCode=wanted["status"],
        responseParameters=wanted["headers"],
        responseTemplates={"application/json": wanted["body"]},
        aws_retry=True,
    )
