"""What cfn-lint knows: AWS's own schemas of each type of CloudFormation in each region."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from toolbox import tool

WORKER = Path(__file__).with_name("cfn_lint_worker.py")
ACCEPTED = {
    # Rules that only warn.
    "W3010": "which zones is asked before: not all have the instances that are wanted",
}


def lint(templates: Sequence[tuple[str, str]]) -> list[list[tuple[str, str]]]:
    """What is wrong with each text in its region, as rules and sentences."""
    return [
        [(rule, sentence) for rule, sentence in found if rule not in ACCEPTED]
        for found in _ask("lint", templates)
    ]


def permissions(types: Sequence[str]) -> dict[str, list[str]]:
    """The actions that CloudFormation needs to make, change and remove each type."""
    told: dict[str, list[str]] = _ask("permissions", types)
    return told


def _ask(what: str, about: Sequence[Any]) -> Any:
    done = subprocess.run(
        [tool("python"), str(WORKER), what],
        check=True,
        input=json.dumps(about),
        stdout=subprocess.PIPE,
        text=True,
    )
    return json.loads(done.stdout)
