from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from darkroom_cli.embedded.folder import Folder, Running
from darkroom_cli.errors import CommandError


def test_key_is_made_once_and_kept_as_a_hash(tmp_path: Path) -> None:
    folder = Folder(tmp_path)

    key = folder.api_key()

    assert folder.api_key() == key
    kept = json.loads(folder.api_keys_file.read_text())["keys"]
    assert [entry["sha256"] for entry in kept] == [hashlib.sha256(key.encode()).hexdigest()]
    assert key not in folder.api_keys_file.read_text()


def test_files_are_readable_by_their_owner_only(tmp_path: Path) -> None:
    folder = Folder(tmp_path / "new")
    with folder.locked():
        folder.api_key()

        modes = {
            path.name: path.stat().st_mode & 0o077 for path in folder.path.glob("api-key*")
        }

    assert modes == {"api-key": 0, "api-keys.json": 0}
    assert folder.path.stat().st_mode & 0o077 == 0


def test_second_stack_on_the_same_folder_is_refused(tmp_path: Path) -> None:
    with (
        Folder(tmp_path).locked(),
        pytest.raises(CommandError, match="in use by another stack"),
        Folder(tmp_path).locked(),
    ):
        pass


def test_refusal_names_the_process_that_uses_the_folder(tmp_path: Path) -> None:
    with (
        Folder(tmp_path).locked(),
        pytest.raises(CommandError, match=f"stop process {os.getpid()}"),
        Folder(tmp_path).locked(),
    ):
        pass


def test_refusal_names_what_a_killed_stack_left_behind(tmp_path: Path) -> None:
    kept = (
        "import os, pathlib, subprocess, sys; from darkroom_cli.embedded.folder import Folder\n"
        "folder = Folder(pathlib.Path(sys.argv[1]))\n"
        "with folder.locked() as lock:\n"
        "    command = [sys.executable, '-c', 'input()']\n"
        "    child = subprocess.Popen(command, pass_fds=(lock,))\n"
        "    folder.write_processes({'router': child.pid})\n"
        "    print(child.pid, flush=True)\n"
        "    child.wait()\n"
    )
    parent = subprocess.Popen(
        [sys.executable, "-c", kept, str(tmp_path)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
    )
    assert parent.stdout is not None
    child = int(parent.stdout.readline())
    parent.kill()
    parent.wait()

    with pytest.raises(CommandError) as caught, Folder(tmp_path).locked():
        pass
    parent.communicate("\n")  # which the child waits for

    assert f"left behind: router ({child}); end it with `kill {child}`" in str(caught.value)


def test_child_that_outlives_its_parent_keeps_the_lock(tmp_path: Path) -> None:
    with Folder(tmp_path).locked() as lock:
        child = subprocess.Popen(
            [sys.executable, "-c", "input()"], stdin=subprocess.PIPE, pass_fds=(lock,)
        )
    with pytest.raises(CommandError, match="in use"), Folder(tmp_path).locked():
        pass
    child.communicate(b"\n")
    with Folder(tmp_path).locked():
        pass


def test_running_stack_is_found_until_the_lock_is_given_back(tmp_path: Path) -> None:
    folder = Folder(tmp_path)
    running = Running(
        endpoint="http://127.0.0.1:1",
        grpc="127.0.0.1:2",
        api_key="k",
        result_topic_arn="arn",
        bucket="b",
        model_bucket="m",
        claim_bucket="c",
        queues={},
        aws_endpoint_url=None,
    )
    with folder.locked():
        folder.write_running(running)
        assert folder.running() == running
    with pytest.raises(CommandError, match="no stack runs"):
        folder.running()


def test_folder_that_cannot_be_made_is_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with (
        pytest.raises(CommandError, match="Not a directory"),
        Folder(tmp_path / "file" / "x").locked(),
    ):
        pass
