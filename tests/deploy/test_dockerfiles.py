from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest

from toolbox import ROOT, tool

SERVERS = sorted((ROOT / "runtimes").glob("*/Dockerfile"))


@pytest.mark.parametrize(
    "path", [ROOT / "images" / "Dockerfile", *SERVERS], ids=lambda path: path.parent.name
)
def test_hadolint_finds_nothing(path: Path) -> None:
    done = subprocess.run(
        [tool("hadolint"), "--no-color", str(path)], capture_output=True, text=True, check=False
    )

    assert (done.returncode, done.stdout) == (0, "")


@pytest.mark.parametrize("path", SERVERS, ids=lambda path: path.parent.name)
def test_server_is_pinned_runs_as_nobody_in_particular_and_takes_arguments(path: Path) -> None:
    text = path.read_text() + "".join(more.read_text() for more in path.parent.glob("*.sh"))

    assert re.search(r"^ARG (COMMIT=[0-9a-f]{40}|VERSION=\d+\.\d+\.\d+)$", text, re.MULTILINE)
    assert "USER 1000:1000" in text
    assert "$EXTRA_CMD_ARG" in text


def test_there_is_an_image_of_each_type() -> None:
    assert [path.parent.name for path in SERVERS] == ["comfyui", "invokeai", "sdwebui"]
