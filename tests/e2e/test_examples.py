"""The examples of the pages, run as their readers would, against a running stack."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from harness import Stack, environment, running_stack
from PIL import Image

from darkroom_client import Darkroom

SECONDS = 300
BASH = shutil.which("bash") or "bash"
GRPC = "127.0.0.1:50051"  # what api.md says; the stack of the tests has another port
KNOWN_REFUSAL = "urn:darkroom:problem:already_finished"  # of the example that cancels


def blocks(page: str, language: str) -> list[str]:
    found = re.findall(r"^```(\w*)\n(.*?)^```$", Path(page).read_text(), re.M | re.S)
    return [code for named, code in found if named == language]


def examples(page: str) -> list[object]:
    found = blocks(page, "python")
    return [pytest.param(code, id=f"{page}-{n}") for n, code in enumerate(found, start=1)]


def start(code: str, stack: Stack, folder: Path) -> subprocess.Popen[str]:
    info = stack.info
    # Absolute, since an example runs in a folder of its own.
    packages = os.pathsep.join(str(Path(each).absolute()) for each in sys.path)
    values = {
        "DARKROOM_ENDPOINT": info["endpoint"],
        "DARKROOM_API_KEY": info["api_key"],
        "KEY": info["api_key"],
        "PYTHONPATH": packages,
    }
    return subprocess.Popen(
        [sys.executable, "-c", code.replace(GRPC, info["grpc"])],
        cwd=folder,
        env=environment(values),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def said(process: subprocess.Popen[str]) -> str:
    """What an example printed; fails if it failed."""
    output, _ = process.communicate(timeout=SECONDS)
    assert process.returncode == 0, output
    return output


PAGES = ("README.md", "libs/client/README.md", "docs/sdk.md", "docs/api.md")


@pytest.mark.parametrize("code", [code for page in PAGES for code in examples(page)])
def test_example_in_python_runs(code: str, stack: Stack, tmp_path: Path) -> None:
    output = said(start(code, stack, tmp_path))

    files = list(tmp_path.rglob("*.png"))
    assert output or files
    for file in files:
        with Image.open(file) as image:
            assert image.size == (512, 512)


def test_examples_of_the_api_by_curl_are_accepted(stack: Stack) -> None:
    """In their order: later ones ask for what earlier ones have made."""
    found = [code for code in blocks("docs/api.md", "") if code.startswith("curl ")]
    values = {"URL": stack.info["endpoint"], "KEY": stack.info["api_key"]}

    answers = [
        subprocess.run(
            [BASH, "-euo", "pipefail", "-c", code],
            env=environment(values),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=True,
            timeout=SECONDS,
        ).stdout
        for code in found
    ]

    assert len(answers) >= 4
    refused = [answer for answer in answers if "urn:darkroom:problem" in answer]
    assert all(answer.count("urn:") == answer.count(KNOWN_REFUSAL) for answer in refused)


@pytest.fixture
def fresh(tmp_path: Path) -> Iterator[Stack]:
    """A stack that has done nothing yet."""
    with running_stack(tmp_path / "stack", "--sample-seconds", "0.5") as running:
        yield running


def test_program_of_the_readme_makes_each_image_once_though_ingest_is_killed(
    fresh: Stack, tmp_path: Path
) -> None:
    (program,) = blocks("README.md", "python")
    folder = tmp_path / "program"
    folder.mkdir()
    process = start(program, fresh, folder)
    for images in (3, 9):
        wait_for_images(process, folder, images)
        fresh.find("ingest.main").send_signal(signal.SIGKILL)

    said(process)

    assert len(list(folder.glob("dogs/*.png"))) == 20
    with Darkroom(fresh.info["endpoint"], fresh.info["api_key"]) as darkroom:
        tasks = list(darkroom.tasks())
    assert [task.state for task in tasks] == ["completed"] * 20
    assert len({task.id for task in tasks}) == 20


def wait_for_images(process: subprocess.Popen[str], folder: Path, count: int) -> None:
    """Return when the program has saved so many images; fails if it has ended before."""
    deadline = time.monotonic() + SECONDS
    while len(list(folder.glob("dogs/*.png"))) < count:
        assert process.poll() is None, said(process)
        assert time.monotonic() < deadline, f"no {count} images in {SECONDS} s"
        time.sleep(0.02)
