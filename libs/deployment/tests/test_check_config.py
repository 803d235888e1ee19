"""What a check lets pass, warns of, and hands to the playbooks."""

from __future__ import annotations

import re

import pytest
import yaml
from golden_config import GOLDEN, config, runtime, warnings
from hypothesis import given
from hypothesis import strategies as st

from deployment.check import check
from deployment.node_prices import node_prices
from deployment.normalise import normalised
from deployment.rules import partition_of
from deployment.template import Wanted, written

AGENT = "123456789012.dkr.ecr.us-east-1.amazonaws.com/sd-on-eks/queue-agent"
# As the original's own script writes it.
SCRIPTED = """
stackName: sdoneks
modelBucketArn: arn:aws:s3:::sdoneks-model-bucket-1a2b
APIGW:
  stageName: dev
  throttle:
    rateLimit: 30
    burstLimit: 50
modelsRuntime:
- name: sdruntime
  namespace: "default"
  modelFilename: "v1-5-pruned-emaonly.safetensors"
  dynamicModel: false
  chartRepository: ""
  chartVersion: ""
  type: sdwebui
  extraValues:
    karpenter:
      nodeTemplate:
        amiFamily: Bottlerocket
        dataVolume:
          snapshotID: snap-0123456789abcdef0
      provisioner:
        instanceType:
        - "g5.xlarge"
        capacityType:
          onDemand: true
          spot: true
      scaling:
        queueLength: 10
"""


def test_golden_file_passes_and_its_agent_is_replaced() -> None:
    checked = check(GOLDEN.read_bytes(), "us-east-1")

    assert checked.errors == ()
    assert [(finding.key, finding.line) for finding in checked.warnings] == [
        ("modelsRuntime[0].extraValues.runtime.queueAgent.image", 22)
    ]
    assert "replaced by the agent of this release" in checked.warnings[0].text
    agent = normalised(checked)["runtimes"][0]["values"]["runtime"]["queueAgent"]
    assert agent == {}


def test_golden_file_becomes_the_fact_of_the_playbooks() -> None:
    fact = normalised(check(GOLDEN.read_text(), "us-east-1"))

    values = config()["modelsRuntime"][0]["extraValues"]
    del values["runtime"]["queueAgent"]["image"]
    assert fact == {
        "stack": "sdoneks",
        "stack_name": "sdoneks",
        "model_bucket": "model-bucket",
        "model_bucket_arn": "arn:aws:s3:::model-bucket",
        "stage_name": "dev",
        "rate_limit": 30,
        "burst_limit": 50,
        "node_prices": node_prices({}),
        "runtimes": [
            {
                "name": "sdruntime",
                "namespace": "default",
                "type": "sdwebui",
                "model_filename": "v1-5-pruned-emaonly.safetensors",
                "dynamic_model": False,
                "chart_repository": "",
                "chart_version": "",
                "values": values,
            }
        ],
    }


def test_text_and_the_mapping_read_from_it_are_one_configuration() -> None:
    read = check(yaml.safe_load(GOLDEN.read_text()), "us-east-1")

    assert normalised(read) == normalised(check(GOLDEN.read_text(), "us-east-1"))
    assert [finding.line for finding in read.findings] == [None]


def test_check_leaves_the_mapping_as_it_is() -> None:
    values = config()

    check(values, "us-east-1")

    assert values == config()


def test_least_that_is_needed_is_filled_in() -> None:
    least = """
        stackName: Art
        modelBucketArn: arn:aws:s3:::models
        modelsRuntime:
        - {name: Painter, type: comfyui}
    """

    fact = normalised(check(least))

    assert fact["stack"] == "art"
    assert (fact["stage_name"], fact["rate_limit"], fact["burst_limit"]) == ("prod", 30, 50)
    assert fact["runtimes"] == [
        {
            "name": "painter",
            "namespace": "default",
            "type": "comfyui",
            "model_filename": "",
            "dynamic_model": False,
            "chart_repository": "",
            "chart_version": "",
            "values": {
                "runtime": {
                    "inferenceApi": {
                        "image": {
                            "repository": "public.ecr.aws/bingjiao/sd-on-eks/comfyui",
                            "tag": "latest",
                        }
                    }
                }
            },
        }
    ]


def test_file_of_the_original_script_is_deployed_without_its_misplaced_keys() -> None:
    checked = check(SCRIPTED, "us-west-2")

    assert checked.errors == ()
    assert [finding.text for finding in checked.warnings] == [
        "modelsRuntime[0].extraValues.runtime.inferenceApi.image: found no repository; "
        "public.ecr.aws/bingjiao/sd-on-eks/sdwebui is used, an example for evaluation: "
        "build an image of your own",
        "modelsRuntime[0].extraValues.karpenter.scaling: found a key of the original solution; "
        "left out, as it was there: scaling belongs to extraValues.runtime",
    ]
    assert "scaling" not in normalised(checked)["runtimes"][0]["values"]["karpenter"]


def test_nothing_is_deployed_of_a_file_with_errors() -> None:
    checked = check(config(type="sdwebiu"))

    with pytest.raises(ValueError, match="did you mean sdwebui"):
        normalised(checked)


@pytest.mark.parametrize(
    ("kind", "formats"),
    [
        ("sdwebui", ".safetensors, .ckpt or .gguf"),
        ("comfyui", ".safetensors, .sft, .ckpt, .pt, .pth, .bin or .gguf"),
        ("invokeai", ".safetensors, .ckpt, .pt, .pth, .bin or .gguf"),
    ],
)
def test_a_model_is_of_a_format_that_the_type_reads(kind: str, formats: str) -> None:
    def errors(model: str) -> list[str]:
        given = runtime()
        given["modelsRuntime"][0] |= {"type": kind, "modelFilename": model}
        return [error.text for error in check(given).errors]

    read = formats.replace(" or ", ", ").split(", ")
    assert [errors(f"folder/model{one}") for one in read] == [[]] * len(read)
    assert errors("model.onnx") == [
        "modelsRuntime[0].modelFilename: found 'model.onnx'; "
        f"allowed: a file name that ends in {formats}"
    ]


def test_chart_of_the_original_is_replaced_and_another_is_kept() -> None:
    theirs = config(
        chartRepository="https://aws-samples.github.io/stable-diffusion-on-eks",
        chartVersion="1.1.0",
    )
    ours = config(chartRepository="oci://example.com/charts/runtime", chartVersion="2.0.0")

    assert "replaced by the chart of this release" in " ".join(warnings(theirs))
    replaced, kept = (
        normalised(check(each, "us-east-1"))["runtimes"][0] for each in (theirs, ours)
    )
    assert (replaced["chart_repository"], replaced["chart_version"]) == ("", "")
    assert kept["chart_repository"] == "oci://example.com/charts/runtime"
    assert kept["chart_version"] == "2.0.0"


def test_chart_version_without_a_repository_is_not_used() -> None:
    values = config(chartVersion="1.1.0")

    assert "not used: the chart of this release is deployed" in " ".join(warnings(values))
    assert normalised(check(values))["runtimes"][0]["chart_version"] == ""


def test_agent_of_ones_own_is_kept() -> None:
    values = config()
    image = values["modelsRuntime"][0]["extraValues"]["runtime"]["queueAgent"]["image"]
    assert image["repository"] == AGENT
    image["repository"] = "example.com/darkroom/queue-agent"

    kept = normalised(check(values))["runtimes"][0]["values"]["runtime"]["queueAgent"]

    assert kept["image"]["repository"] == "example.com/darkroom/queue-agent"


def test_bucket_must_be_of_the_partition_of_the_region() -> None:
    china = {**config(), "modelBucketArn": "arn:aws-cn:s3:::model-bucket"}

    assert check(china, "cn-northwest-1").errors == ()
    assert check(china).errors == ()
    assert check(china, "eu-west-1").errors != ()
    assert check(config(), "cn-north-1").errors != ()
    assert partition_of("us-gov-west-1") == "aws-us-gov"


def test_region_that_is_none_is_refused() -> None:
    (error,) = check(config(), "Oregon").errors

    assert error.text == "region: found 'Oregon'; allowed: an AWS region such as us-west-2"


def test_runtime_name_has_less_room_in_a_region_with_a_long_name() -> None:
    values = config(name="r" * 34)

    assert check(values, "us-east-1").errors == ()
    (error,) = check(values, "ap-southeast-1").errors
    assert error.key == "modelsRuntime[0].name"


def test_every_error_is_told_and_errors_come_first() -> None:
    values = {**config(type="x", namespace="Y"), "stackName": "SdOnEKS"}

    checked = check(yaml.safe_dump(values), "us-east-1")

    assert [finding.key for finding in checked.findings] == [
        "modelsRuntime[0].namespace",
        "modelsRuntime[0].type",
        "stackName",
    ]


@pytest.mark.parametrize("kind", ["sdwebui", "comfyui", "invokeai"])
@pytest.mark.parametrize("region", ["us-west-2", "cn-northwest-1"])
def test_written_file_passes_without_a_warning(kind: str, region: str) -> None:
    for snapshot in (None, "snap-0123456789abcdef0"):
        wanted = Wanted("art", "models", region, snapshot, "painter", kind)
        checked = check(written(wanted), region)

        assert checked.findings == ()
        first = normalised(checked)["runtimes"][0]
        assert (first["name"], first["type"]) == ("painter", kind)


def test_written_file_names_a_snapshot_once_its_example_is_uncommented() -> None:
    text = written(Wanted("art", "models"))

    chosen = re.sub(r"(?m)^( *)# ( *(dataVolume|snapshotID):)", r"\1\2", text)

    assert chosen != text
    assert chosen.count("dataVolume") == text.count("dataVolume") == 1
    checked = check(chosen)
    assert checked.findings == ()
    template = checked.values["modelsRuntime"][0]["extraValues"]["karpenter"]["nodeTemplate"]
    assert template["dataVolume"] == {"snapshotID": "snap-0123456789abcdef0"}


def test_written_name_that_looks_like_a_number_is_a_name() -> None:
    checked = check(written(Wanted("on-1", "models", runtime_name="007")))

    assert normalised(checked)["runtimes"][0]["name"] == "007"


@given(name=st.text(), bucket=st.text(), snapshot=st.text())
def test_written_file_holds_what_was_wanted_and_nothing_else(
    name: str, bucket: str, snapshot: str
) -> None:
    checked = check(written(Wanted("art", bucket, None, snapshot, name)))

    for error in checked.errors:
        assert error.key.rpartition(".")[2] in {"name", "modelBucketArn", "snapshotID"}
