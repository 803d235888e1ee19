"""What `darkroom demo --real` has drawn, and with which model."""

from __future__ import annotations

import pytest

from contracts.kinds import RuntimeType
from contracts.runtimes import Runtime
from darkroom_cli.commands.demo import default_model
from darkroom_cli.errors import CommandError
from darkroom_cli.real_demo import planned


@pytest.mark.parametrize("kind", RuntimeType)
@pytest.mark.parametrize("device", ["cpu", "cuda"])
def test_model_that_none_named_can_be_read_by_the_server(
    kind: RuntimeType, device: str
) -> None:
    runtime = Runtime(name="drawing", type=kind)

    plan = planned(runtime, device, default_model(kind, device))

    assert plan.checkpoint.endswith(".safetensors")


def test_model_that_invokeai_cannot_read_is_refused_with_another() -> None:
    runtime = Runtime(name="canvas", type=RuntimeType.INVOKEAI)

    with pytest.raises(CommandError, match=r"--model sd-turbo: .* sd15-fp16 will do"):
        planned(runtime, "cpu", "sd-turbo")
