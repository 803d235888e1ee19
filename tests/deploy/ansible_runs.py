"""Runs playbooks as their user does, against an emulator of AWS of their own."""

from __future__ import annotations

import json
import os
import re
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import boto3  # type: ignore[import-untyped]  # comes without types
import pytest

from provisioning import emulator
from servicekit.listen import HOST, free_port
from testkit.aws import start, wait_for
from toolbox import ROOT, tool

PLAY_SECONDS = 1800  # a guard, for a machine that does much else
# What CloudFormation is given, without what the emulator's refuses.
EMULATED = (
    "{{ lookup('ansible.builtin.template', 'stack.yaml.j2') | from_yaml | emulated | to_json }}"
)
FILTERS = [str(ROOT / of / "filter_plugins") for of in ("playbooks", "tests/deploy")]
_COUNT = re.compile(r"^localhost\s+:.*?\bchanged=(\d+)", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Run:
    """How a playbook ended."""

    status: int
    output: str

    @property
    def changed(self) -> int:
        """The number of tasks that changed something."""
        return sum(int(count) for count in _COUNT.findall(self.output))


@dataclass(frozen=True, slots=True)
class Ansible:
    """Ansible in a working directory of its own, whose AWS is the emulator."""

    folder: Path
    endpoint: str
    variables: Mapping[str, str] = field(default_factory=dict)  # more of the environment

    def play(self, playbook: Path | str, *arguments: str, fails: bool = False) -> Run:
        """Run a playbook (of `playbooks/` if it has no folder) and give how it ended."""
        given = ["-e", json.dumps({"__stack_body": EMULATED})]
        path = str(ROOT / "playbooks" / playbook)
        done = self._run("ansible-playbook", path, *given, *arguments)
        run = Run(done.returncode, done.stdout + done.stderr)
        assert (run.status != 0) == fails, run.output
        return run

    def as_users_run_it(self) -> Ansible:
        """The same, by Ansible's own strategy: a process for each module."""
        return replace(self, variables={**self.variables, "ANSIBLE_STRATEGY": "linear"})

    def roles(self, *roles: str, variables: Mapping[str, Any], check: bool = False) -> Run:
        """Run only these roles of ours, with the variables of a user."""
        play = {
            "name": "Run some roles",
            "hosts": "localhost",
            "gather_facts": False,
            "roles": [{"role": role} for role in roles],
        }
        # Group variables are found beside the inventory, which ansible.cfg names.
        playbook = self.folder / "roles.yml"
        playbook.write_text(json.dumps([play]))
        given = ["-e", json.dumps(dict(variables))]
        return self.play(playbook, *given, *(["--check"] if check else []))

    def client(self, service: str) -> Any:
        """A client of the emulator, to look at what was made."""
        return boto3.client(
            service,
            endpoint_url=self.endpoint,
            region_name=emulator.CREDENTIALS["AWS_REGION"],
            aws_access_key_id="test",
            aws_secret_access_key="test",  # noqa: S106  # the emulator takes any
        )

    def _run(self, name: str, *arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [tool(name), *arguments],
            cwd=self.folder,
            env=self._environment(),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=PLAY_SECONDS,
            check=False,
        )

    def _environment(self) -> dict[str, str]:
        # Nothing of the test's own: its Python path has other versions of what Ansible uses.
        return {
            **emulator.CREDENTIALS,
            "AWS_ENDPOINT_URL": self.endpoint,
            "PATH": os.pathsep.join([str(self.folder / "bin"), os.environ.get("PATH", "")]),
            "HOME": str(self.folder),
            "LANG": "C.UTF-8",
            "ANSIBLE_CONFIG": str(ROOT / "ansible.cfg"),
            "ANSIBLE_FILTER_PLUGINS": os.pathsep.join(FILTERS),
            # Modules are forked from one process, with less than half of the CPU time.
            "ANSIBLE_STRATEGY": "unpinned",
            "ANSIBLE_STRATEGY_PLUGINS": str(ROOT / "tests/deploy/strategy_plugins"),
            "ANSIBLE_HOME": str(self.folder / "ansible"),
            "ANSIBLE_LOCAL_TEMP": str(self.folder / "ansible" / "tmp"),
            "ANSIBLE_REMOTE_TEMP": str(self.folder / "ansible" / "tmp"),
            "ANSIBLE_NOCOLOR": "1",
            "ANSIBLE_CALLBACK_RESULT_FORMAT": "json",
            **self.variables,
        }


@contextmanager
def account(folder: Path) -> Iterator[Ansible]:
    """Ansible with a fresh emulator, that is, with an empty account."""
    # What the roles find on the path.
    (folder / "bin").mkdir()
    (folder / "bin" / "helm").symlink_to(tool("helm3"))
    (folder / "bin" / "kubectl").symlink_to(tool("kubectl"))
    port = free_port()
    process = start(port, folder)
    try:
        wait_for(f"http://{HOST}:{port}", process)
        yield Ansible(folder, f"http://{HOST}:{port}")
    finally:
        process.terminate()
        process.wait(timeout=300)


@pytest.fixture(scope="module")
def ansible(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ansible]:
    """Ansible with an account that the tests of one module share."""
    with account(tmp_path_factory.mktemp("ansible")) as running:
        yield running
