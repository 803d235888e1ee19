"""What the command loads before it knows what to do."""

from __future__ import annotations

import json
import os
import subprocess
import sys

# Each takes longer to load than `darkroom --help` may take.
HEAVY = {
    "aiobotocore",
    "aiohttp",
    "boto3",
    "botocore",
    "fastapi",
    "grpc",
    "httpx",
    "jsonschema",
    "opentelemetry",
    "PIL",
    "pydantic",
    "starlette",
    "uvicorn",
    "yaml",
}

PROGRAM = """
import json, sys
from darkroom_cli.main import app
try:
    app({arguments}, prog_name="darkroom")
except SystemExit as end:
    assert not end.code, end.code
print(json.dumps(sorted(sys.modules)))
"""


def loaded(*arguments: str) -> set[str]:
    """The top-level packages that are loaded once the command has ended."""
    ended = subprocess.run(
        [sys.executable, "-c", PROGRAM.format(arguments=arguments)],
        env={"PYTHONPATH": os.pathsep.join(sys.path)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert ended.returncode == 0, ended.stderr
    return {name.partition(".")[0] for name in json.loads(ended.stdout.splitlines()[-1])}


def test_help_loads_only_what_it_shows() -> None:
    assert loaded("--help") & HEAVY == set()


def test_help_of_a_command_loads_only_what_it_shows() -> None:
    assert loaded("submit", "--help") & HEAVY <= {"pydantic"}  # Typer reads parameters with it


def test_a_command_loads_what_it_needs() -> None:
    assert "jsonschema" in loaded("config", "schema")
