"""The templates of the stacks are right in every region, as far as can be told without AWS."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator

import pytest
from cfn_lint import ACCEPTED, lint
from rendered_stacks import CONFIGURATIONS, ROLES, texts
from stack_checks import CHECKS, Deployment

from ansible_runs import Ansible


@pytest.fixture(scope="module")
def deployments(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Deployment]:
    """The templates of each configuration."""
    rendered = texts(Ansible(tmp_path_factory.mktemp("stacks"), endpoint=""), CONFIGURATIONS)
    return {name: Deployment(CONFIGURATIONS[name], each) for name, each in rendered.items()}


def test_cfn_lint_finds_nothing_in_any_region(deployments: dict[str, Deployment]) -> None:
    asked = {
        f"{name}/{stack}": (text, deployment.configuration.region)
        for name, deployment in deployments.items()
        for stack, text in deployment.texts.items()
    }
    found = dict(zip(asked, lint(list(asked.values())), strict=True))

    assert {each.configuration.region for each in deployments.values()} == {
        *("us-east-1", "us-west-2", "eu-west-1", "ap-southeast-1"),
        *("cn-north-1", "cn-northwest-1"),
    }
    assert {where: wrong for where, wrong in found.items() if wrong} == {}


def test_only_warnings_are_accepted() -> None:
    assert all(rule.startswith("W") and reason for rule, reason in ACCEPTED.items())


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
def test_every_configuration_passes(
    deployments: dict[str, Deployment], check: Callable[[Deployment], Iterator[str]]
) -> None:
    found = {name: list(check(deployment)) for name, deployment in deployments.items()}

    assert {name: wrong for name, wrong in found.items() if wrong} == {}


def test_what_no_update_may_replace_is_in_the_stacks(
    deployments: dict[str, Deployment],
) -> None:
    policy = json.loads((ROLES / "stack" / "files" / "policy.json").read_text())
    (deny,) = (each for each in policy["Statement"] if each["Effect"] == "Deny")
    kept = deny["Condition"]["StringEquals"]["ResourceType"]

    assert deny["Action"] == ["Update:Replace", "Update:Delete"]
    for deployment in deployments.values():
        assert {each for each in kept if not list(deployment.of_type(each))} == set()
