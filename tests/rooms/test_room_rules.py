"""The room rules hold, and each of them notices when it is broken."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOMS = ("libs/*/src/*", "services/*/src/*", "runtimes/*/src/*", "cli/src/*", "console/src/*")

# contract, module that breaks it, import that breaks it
BROKEN = [
    ("services-apart", "router/submit.py", "import notifier.domain"),
    ("libraries-below", "ledger/memory.py", "import router.domain"),
    ("libraries-layered", "contracts/ids.py", "import servicekit.errors"),
    ("tests-only", "notifier/settle.py", "import testkit.aws"),
    ("one-edge-to-aws", "model_sync/catalogue.py", "import botocore.exceptions"),
    ("pure-contracts", "contracts/message.py", "import asyncio"),
    ("client-alone", "darkroom_client/calls.py", "import contracts.ids"),
    ("client-layered", "darkroom_client/exchange.py", "import darkroom_client.transfer"),
    ("console-by-the-client", "darkroom_console/stack.py", "import ledger.record"),
    ("console-layered", "darkroom_console/pages/tasks.py", "import darkroom_console.app"),
    ("deployment-alone", "deployment/rules.py", "import pydantic"),
    ("settings-in-main", "router/submit.py", "import router.settings"),
    ("ingest-inwards", "ingest/domain.py", "import ingest.ports"),
    ("router-inwards", "router/submit.py", "import router.adapters.sns"),
    ("queue-agent-inwards", "queue_agent/domain.py", "import queue_agent.ports"),
    ("queue-agent-inwards", "queue_agent/pipeline/slots.py", "import queue_agent.task.run"),
    ("queue-agent-no-circles", "queue_agent/files/body.py", "import queue_agent.files.types"),
    ("queue-agent-adapters", "queue_agent/task/results.py", "import queue_agent.aws.s3"),
    (
        "queue-agent-adapters",
        "queue_agent/pipeline/lease.py",
        "import queue_agent.runtimes.http",
    ),
    (
        "queue-agent-adapters",
        "queue_agent/pod/protection.py",
        "import queue_agent.pod.kubernetes",
    ),
    (
        "queue-agent-runtimes-apart",
        "queue_agent/runtimes/comfyui/follow.py",
        "import queue_agent.runtimes.invokeai.answers",
    ),
    ("notifier-inwards", "notifier/settle.py", "import notifier.rpc"),
    ("model-sync-inwards", "model_sync/rpc.py", "import model_sync.adapters.s3"),
]


@pytest.fixture
def rooms(tmp_path: Path) -> Path:
    """A copy of every room's package that may be broken."""
    for pattern in ROOMS:
        for package in Path().glob(pattern):
            if package.is_dir():
                shutil.copytree(package, tmp_path / package.name)
    shutil.copy("pyproject.toml", tmp_path)
    return tmp_path


def lint(rooms: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    # Only the copies: the packages of this process's path would hide them.
    path = [str(rooms), *(p for p in sys.path if p.endswith("site-packages"))]
    return subprocess.run(
        [sys.executable, "-c", "from importlinter.cli import lint_imports_command as c; c()",
         "--no-cache", *arguments],
        cwd=rooms,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(path)},
        capture_output=True,
        text=True,
        check=False,
    )  # fmt: skip


def test_every_rule_holds(rooms: Path) -> None:
    ended = lint(rooms)

    assert ended.returncode == 0, ended.stdout + ended.stderr
    contracts = {contract for contract, _, _ in BROKEN}
    assert f"{len(contracts)} kept, 0 broken" in ended.stdout


@pytest.mark.parametrize(("contract", "module", "line"), BROKEN)
def test_broken_rule_is_noticed(rooms: Path, contract: str, module: str, line: str) -> None:
    with (rooms / module).open("a") as source:
        source.write(f"\n{line}\n")

    ended = lint(rooms, "--contract", contract)

    assert ended.returncode == 1, ended.stdout + ended.stderr
    assert "0 kept, 1 broken" in ended.stdout
