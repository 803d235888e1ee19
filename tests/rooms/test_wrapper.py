"""What `./pants` says on a machine that lacks something."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

TOOLS = ("bash", "cksum", "cut", "dirname", "flock", "mkdir")


def test_missing_python_is_one_sentence(tmp_path: Path) -> None:
    for tool in TOOLS:
        found = shutil.which(tool)
        assert found, tool
        (tmp_path / tool).symlink_to(found)

    ended = subprocess.run(
        [str(tmp_path / "bash"), "pants", "--version"],
        env={"PATH": str(tmp_path), "HOME": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
    )

    assert ended.returncode == 3
    assert ended.stderr.count("\n") == 1
    assert "needs Python 3.9" in ended.stderr
    assert not list(tmp_path.glob(".cache/pants-bootstrap/*/pants"))
