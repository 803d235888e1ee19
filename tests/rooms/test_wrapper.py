"""What `./pants` says on a machine that lacks something; `tests/bootstrap` has the rest."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

TOOLS = ("bash", "cat", "cksum", "cut", "dirname", "flock", "mkdir", "rm")


def wrapper(path: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    for tool in TOOLS:
        found = shutil.which(tool)
        assert found, tool
        (path / tool).symlink_to(found)
    return subprocess.run(
        [str(path / "bash"), "pants", "--version"],
        env={"PATH": str(path), "HOME": str(path), **environment},
        capture_output=True,
        text=True,
        check=False,
    )


def test_without_any_python_it_says_what_to_install(tmp_path: Path) -> None:
    ended = wrapper(tmp_path)

    assert ended.returncode == 3
    said = ended.stderr.splitlines()[-1]
    assert said.startswith("pants: needs a python3 that has venv or pip, or uv;")
    assert not list(tmp_path.glob(".cache/pants-bootstrap/*/.ok"))


def test_cache_with_a_blank_is_one_sentence(tmp_path: Path) -> None:
    ended = wrapper(tmp_path, XDG_CACHE_HOME=str(tmp_path / "my cache"))

    assert ended.returncode == 3
    assert ended.stderr.count("\n") == 1
    assert "has a blank in it" in ended.stderr


def test_cache_that_can_not_be_written_is_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "file").touch()

    ended = wrapper(tmp_path, HOME=str(tmp_path / "file"))

    assert ended.returncode == 3
    assert ended.stderr.count("\n") == 1
    assert "name a folder for caches by XDG_CACHE_HOME" in ended.stderr
