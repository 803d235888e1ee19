"""A real emulator for tests: import `aws` into a conftest to have it as a fixture."""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from provisioning import emulator
from servicekit.listen import HOST, free_port

START_SECONDS = 300


@pytest.fixture(scope="session")
def aws(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The endpoint URL of a fresh emulator that the SDK's environment points to."""
    folder = tmp_path_factory.mktemp("aws")
    port = free_port()
    url = f"http://{HOST}:{port}"
    with pytest.MonkeyPatch.context() as patch:
        for name, value in {**emulator.CREDENTIALS, "AWS_ENDPOINT_URL": url}.items():
            patch.setenv(name, value)
        process = start(port, folder)
        try:
            wait_for(url, process)
            yield url
        finally:
            process.terminate()
            process.wait(timeout=120)


def start(port: int, folder: Path) -> subprocess.Popen[bytes]:
    """Start an emulator whose log is `folder/log`; the caller stops it."""
    with (folder / "log").open("wb") as log:
        return subprocess.Popen(  # noqa: S603  # our own command
            emulator.command(),
            env={**os.environ, **emulator.environment(port, folder)},
            stdout=log,
            stderr=subprocess.STDOUT,
        )


def wait_for(url: str, process: subprocess.Popen[bytes]) -> None:
    """Return when the emulator answers; raises `RuntimeError` if it ends or takes too long."""
    deadline = time.monotonic() + START_SECONDS
    while not emulator.answers(url):
        if process.poll() is not None or time.monotonic() > deadline:
            raise RuntimeError(f"the emulator did not start, exit status {process.poll()}")
        time.sleep(0.05)
