"""Lints templates of CloudFormation with AWS's own schemas of each type in each region."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Sequence
from pathlib import Path

from toolbox import tool

WORKER = Path(__file__).with_name("cfn_lint_worker.py")
ACCEPTED = {
    # Rules of cfn-lint that only warn.
    "W3010": "which zones is asked before: not all have the instances that are wanted",
}


def lint(templates: Sequence[tuple[str, str]]) -> list[list[tuple[str, str]]]:
    """What cfn-lint says of each text in its region, as rules and sentences."""
    done = subprocess.run(
        [tool("python"), str(WORKER)],
        check=True,
        input=json.dumps(templates),
        stdout=subprocess.PIPE,
        text=True,
    )
    return [
        [(rule, sentence) for rule, sentence in found if rule not in ACCEPTED]
        for found in json.loads(done.stdout)
    ]
