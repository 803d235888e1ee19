"""What the tests of the deployment run on: the repository's files and its tools."""

from __future__ import annotations

import os
import subprocess
import sys
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


@cache
def tool(name: str) -> str:
    """The path of a tool of `build-support/deploy_tools.py`, which installs it once."""
    script = ROOT / "build-support" / "deploy_tools.py"
    done = subprocess.run(
        [sys.executable, str(script)],
        check=True,
        stdout=subprocess.PIPE,
        text=True,
        timeout=900,
    )
    return str(Path(done.stdout.strip()) / "bin" / name)


def schemas(folder: str) -> Path:
    """A folder of the API schemas; without it the test is skipped, or fails in CI."""
    named = os.environ.get("DARKROOM_CRD_DIR") or str(ROOT.parent / "shared" / "crds")
    found = Path(named) / folder
    if found.is_dir():
        return found
    reason = f"no API schemas in {found}: set DARKROOM_CRD_DIR"
    if os.environ.get("CI"):
        pytest.fail(reason)
    pytest.skip(reason)
