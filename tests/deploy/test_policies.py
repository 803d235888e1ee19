"""Every policy that a role gives to AWS names what it is about."""

from __future__ import annotations

import json
import re
import subprocess
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from policies import loose_actions, open_statements

from toolbox import ROOT, tool

ROLES = ROOT / "playbooks" / "roles"
TEMPLATES = sorted(
    path for path in ROLES.rglob("*.json.j2") if '"Statement"' in path.read_text()
)
"""Policies stand in templates, so that they can be read: here, or by test_stacks.py."""

# Runs where Ansible's Jinja is; every variable is the text `given`, every list has one of it.
RENDER = """
import json, sys
from jinja2 import ChainableUndefined, Environment

class Given(ChainableUndefined):
    __str__ = lambda self: "given"
    __iter__ = lambda self: iter([self])
    __bool__ = lambda self: True
    __call__ = lambda self, *_, **__: self

def as_text(value):
    return json.dumps(value, default=str)

rendered = {}
for path in sys.argv[1:]:
    environment = Environment(undefined=Given)
    environment.filters.update(to_json=as_text, bool=bool)
    rendered[path] = json.loads(environment.from_string(open(path).read()).render())
print(json.dumps(rendered))
"""


@cache
def rendered() -> dict[str, Any]:
    done = subprocess.run(
        [tool("python"), "-c", RENDER, *map(str, TEMPLATES)],
        check=True,
        env={},
        capture_output=True,
        text=True,
    )
    documents: dict[str, Any] = json.loads(done.stdout)
    return documents


def statements(template: Path) -> list[dict[str, Any]]:
    document = rendered()[str(template)]
    assert document["Version"] == "2012-10-17"
    found: list[dict[str, Any]] = document["Statement"]
    return found


def name(template: Path) -> str:
    return str(template.relative_to(ROLES))


@pytest.mark.parametrize("template", TEMPLATES, ids=name)
def test_an_allowed_action_is_named_and_about_named_resources(template: Path) -> None:
    assert loose_actions(statements(template)) == []


@pytest.mark.parametrize("template", TEMPLATES, ids=name)
def test_nobody_from_outside_is_allowed_anything(template: Path) -> None:
    assert open_statements(statements(template)) == []


def test_no_role_has_a_policy_of_full_access() -> None:
    files = [
        path for path in ROLES.rglob("*") if path.suffix in {".yml", ".yaml", ".j2", ".py"}
    ]
    full = re.compile("FullAccess|AdministratorAccess")

    assert files
    assert [name(path) for path in files if full.search(path.read_text())] == []


def test_policies_stand_in_templates_only() -> None:
    inline = re.compile(r"""['"]?Statement['"]?\s*:""")

    assert [
        name(path) for path in ROLES.rglob("*.yml") if inline.search(path.read_text())
    ] == []


@pytest.mark.parametrize(
    "planted",
    [
        {"Action": "s3:GetObject", "Resource": "*"},
        {"Action": ["s3:GetObject"], "Resource": ["arn:aws:s3:::bucket/*", "*"]},
        {"Action": "s3:*", "Resource": "arn:aws:s3:::bucket"},
        {"NotAction": "iam:*", "Resource": "arn:aws:s3:::bucket"},
        {"Action": "s3:GetObject", "NotResource": "arn:aws:s3:::bucket"},
    ],
)
def test_a_loose_statement_is_seen(planted: dict[str, Any]) -> None:
    assert len(loose_actions([{"Effect": "Allow", **planted}])) == 1
