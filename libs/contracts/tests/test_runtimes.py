from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from contracts.kinds import RuntimeType, TaskType
from contracts.runtimes import Runtime, RuntimesFile

ONE: dict[str, Any] = {"name": "sdruntime", "type": "sdwebui", "model_filename": "v1-5.ckpt"}


def test_the_file_is_read_in_its_order(tmp_path: Path) -> None:
    file = tmp_path / "runtimes.json"
    comfy = {"name": "comfy", "type": "comfyui", "dynamic_model": False}
    file.write_text(json.dumps({"runtimes": [ONE, comfy]}))

    read = RuntimesFile.read(file)

    assert read.runtimes == (
        Runtime(name="sdruntime", type=RuntimeType.SDWEBUI, model_filename="v1-5.ckpt"),
        Runtime(name="comfy", type=RuntimeType.COMFYUI),
    )


@pytest.mark.parametrize(
    ("runtimes", "complaint"),
    [
        pytest.param([], "at least 1 item", id="empty"),
        pytest.param([ONE, ONE], "same name", id="twice"),
        pytest.param([{**ONE, "name": "Upper"}], "name", id="upper case"),
        pytest.param([{**ONE, "name": "webhooks"}], "may be called", id="queue of webhooks"),
        pytest.param([{**ONE, "name": "-a"}], "name", id="dash first"),
        pytest.param([{**ONE, "name": "a" * 51}], "name", id="long"),
        pytest.param([{**ONE, "name": "a\n"}], "name", id="new line"),
        pytest.param([{**ONE, "type": "forge"}], "type", id="unknown type"),
        pytest.param([{**ONE, "modelFilename": "x"}], "modelFilename", id="unknown key"),
    ],
)
def test_a_wrong_file_is_refused_with_what_is_wrong(
    tmp_path: Path, runtimes: list[object], complaint: str
) -> None:
    file = tmp_path / "runtimes.json"
    file.write_text(json.dumps({"runtimes": runtimes}))
    with pytest.raises(ValidationError, match=complaint):
        RuntimesFile.read(file)


def test_a_missing_file_is_an_os_error(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        RuntimesFile.read(tmp_path / "none.json")


@pytest.mark.parametrize("kind", [RuntimeType.COMFYUI, RuntimeType.INVOKEAI])
def test_a_workflow_runtime_takes_pipelines_only(kind: RuntimeType) -> None:
    assert Runtime(name="r", type=kind).tasktypes == (TaskType.PIPELINE,)


def test_sd_webui_takes_everything_but_pipelines() -> None:
    taken = Runtime(name="r", type=RuntimeType.SDWEBUI).tasktypes
    assert set(taken) == set(TaskType) - {TaskType.PIPELINE}
