"""Runs single modules of ours, without the second that each start of Ansible takes.

What finds modules and gives them their arguments is Ansible itself in the tests of roles.
"""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Iterator
from configparser import ConfigParser
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from provisioning import emulator
from toolbox import ROOT, tool

WORKER = Path(__file__).with_name("module_worker.py")


def module_utils() -> list[str]:
    """The folders of what modules share, as Ansible has them."""
    config = ConfigParser()
    config.read(ROOT / "ansible.cfg")
    return [str(ROOT / folder) for folder in config["defaults"]["module_utils"].split(":")]


@dataclass(frozen=True, slots=True)
class Modules:
    """Runs modules against the AWS at an address."""

    worker: subprocess.Popen[str]
    endpoint: str = ""

    def at(self, endpoint: str) -> Modules:
        """The same for another AWS."""
        return Modules(self.worker, endpoint)

    def run(
        self, name: str, /, *, check: bool = False, fails: bool = False, **arguments: Any
    ) -> dict[str, Any]:
        """Run one module and give what it returns."""
        asked = {
            "module": str(ROOT / "playbooks" / "library" / f"{name}.py"),
            "arguments": {**arguments, "_ansible_check_mode": check},
            "environment": {"AWS_ENDPOINT_URL": self.endpoint},
        }
        assert self.worker.stdin is not None
        assert self.worker.stdout is not None
        self.worker.stdin.write(json.dumps(asked) + "\n")
        self.worker.stdin.flush()
        done = json.loads(self.worker.stdout.readline())
        assert (done["status"] != 0) == fails, done["output"]
        answer: dict[str, Any] = json.loads(done["output"])
        return answer


@pytest.fixture(scope="session")
def modules(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Modules]:
    """A way to run modules, which all tests share."""
    folder = tmp_path_factory.mktemp("modules")
    worker = subprocess.Popen(
        [tool("python"), str(WORKER), *module_utils()],
        # Nothing of the test's own: its Python path has other versions of what Ansible uses.
        env={**emulator.CREDENTIALS, "HOME": str(folder), "PATH": os.environ.get("PATH", "")},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    with worker:
        yield Modules(worker)
        assert worker.stdin is not None
        worker.stdin.close()
