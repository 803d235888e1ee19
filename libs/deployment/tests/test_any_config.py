"""Whatever a file holds, its check ends with findings."""

from __future__ import annotations

from typing import Any

import yaml
from golden_config import config
from hypothesis import given
from hypothesis import strategies as st

from deployment.check import check
from deployment.normalise import normalised

scalars = st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.binary()
anything = st.recursive(
    scalars,
    lambda inner: st.lists(inner) | st.dictionaries(st.text() | st.integers(), inner),
    max_leaves=20,
)


@given(text=st.text() | st.binary())
def test_no_text_makes_the_check_fail(text: str | bytes) -> None:
    for finding in check(text, "us-east-1").findings:
        assert finding.text


@given(value=anything)
def test_no_value_in_yaml_makes_the_check_fail(value: object) -> None:
    for finding in check(yaml.dump(value), "us-east-1").findings:
        assert finding.text


PLACES = (
    "stackName", "modelBucketArn", "APIGW", "modelsRuntime", "modelsRuntime.0",
    *(f"modelsRuntime.0.{key}" for key in ("name", "type", "modelFilename", "extraValues")),
    *(
        f"modelsRuntime.0.extraValues.{key}"
        for key in (
            "runtime", "karpenter", "runtime.scaling", "runtime.queueAgent",
            "runtime.inferenceApi", "runtime.scaling.queueLength", "karpenter.nodeTemplate",
            "karpenter.nodeTemplate.dataVolume", "karpenter.provisioner.capacityType",
            "karpenter.provisioner.instanceType",
        )
    ),
)  # fmt: skip


@given(place=st.sampled_from(PLACES), value=anything)
def test_no_value_in_any_place_makes_the_check_fail(place: str, value: Any) -> None:
    values: Any = config()
    *way, last = place.split(".")
    holder = values
    for step in way:
        holder = holder[int(step)] if step.isdigit() else holder[step]
    holder[int(last) if last.isdigit() else last] = value

    checked = check(values, "us-east-1")

    if not checked.errors:
        assert normalised(checked)["stack"]
