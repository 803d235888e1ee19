"""`--tags` of one role runs what that role reads, and a switch may be given as text."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import pytest
import yaml

from toolbox import ROOT

PLAYBOOKS = ROOT / "playbooks"
(SITE,) = yaml.safe_load((PLAYBOOKS / "site.yml").read_text())
TAGS: dict[str, set[str]] = {each["role"]: set(each["tags"]) for each in SITE["roles"]}


def texts(role: str) -> Iterator[str]:
    """The files of a role that Ansible reads."""
    for path in sorted((PLAYBOOKS / "roles" / role).rglob("*")):
        if path.is_file() and path.suffix in {".yml", ".j2", ".json"}:
            yield path.read_text()


def facts(tasks: Any) -> Iterator[str]:
    """The names that tasks tell other roles."""
    for task in tasks or []:
        yield from facts(task.get("block"))
        yield from facts(task.get("always"))
        told = task.get("ansible.builtin.set_fact", {})
        yield from (name for name in told if not name.startswith("_"))


def told_by(role: str) -> set[str]:
    folder = PLAYBOOKS / "roles" / role / "tasks"
    return {
        name
        for path in folder.glob("*.yml")
        for name in facts(yaml.safe_load(path.read_text()))
    }


def switches() -> set[str]:
    """The variables of roles that are true or false."""
    found = {"kubernetes_apply", "create_bucket"}
    for path in PLAYBOOKS.glob("roles/*/meta/argument_specs.yml"):
        for entry in yaml.safe_load(path.read_text())["argument_specs"].values():
            options = entry.get("options", {}).items()
            found |= {name for name, option in options if option.get("type") == "bool"}
    return found


@pytest.mark.parametrize("role", sorted(set(TAGS) - {"validate_inputs"}))
def test_a_role_has_the_tags_of_those_that_read_its_facts(role: str) -> None:
    told = told_by(role)
    readers = {
        other
        for other in TAGS
        if other != role and any(told & set(re.findall(r"\w+", text)) for text in texts(other))
    }

    for reader in readers:
        assert TAGS[reader] <= TAGS[role], f"{reader} reads facts of {role}"
    assert role in TAGS[role]


def test_a_switch_that_is_text_is_read_as_true_or_false() -> None:
    """`-e name=false` gives text, and text is true."""
    unread = re.compile(
        rf"(when:|\bif|\band|\bor|\bnot|\bthat:|^ +-) (not )?({'|'.join(sorted(switches()))})"
        r"\b(?! *\| *bool)"
    )

    found = [
        f"{path.relative_to(ROOT)}: {line.strip()}"
        for path in sorted(PLAYBOOKS.rglob("*"))
        if path.suffix in {".yml", ".j2"} and path.name != "argument_specs.yml"
        for line in path.read_text().splitlines()
        if unread.search(line)
    ]
    assert found == []


def test_teardown_removes_the_gateway_before_the_load_balancer_that_it_holds() -> None:
    """A Service cannot lose its load balancer while a VPC link goes to it."""
    path = PLAYBOOKS / "roles" / "teardown" / "tasks" / "main.yml"
    tasks = yaml.safe_load(path.read_text())

    (gateway,) = [
        at
        for at, task in enumerate(tasks)
        if task.get("vars", {}).get("stack_name") == "{{ deployment.stack_name }}Stack"
    ]
    (cluster,) = [
        at
        for at, task in enumerate(tasks)
        if task.get("ansible.builtin.include_tasks") == "cluster.yml"
    ]
    assert gateway < cluster
