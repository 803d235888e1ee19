"""What a role says about its variables is what it does."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from toolbox import ROOT

ROLES = sorted(path.name for path in (ROOT / "playbooks" / "roles").iterdir() if path.is_dir())


def read(path: Path) -> Any:
    return yaml.safe_load(path.read_text()) if path.exists() else None


@pytest.mark.parametrize("role", ROLES)
def test_defaults_are_the_defaults_that_the_arguments_name(role: str) -> None:
    folder = ROOT / "playbooks" / "roles" / role
    spec = read(folder / "meta" / "argument_specs.yml")["argument_specs"]["main"]
    named = {
        name: option["default"]
        for name, option in spec.get("options", {}).items()
        if "default" in option
    }

    assert (read(folder / "defaults" / "main.yml") or {}) == named


@pytest.mark.parametrize("role", ROLES)
def test_an_argument_without_a_default_is_required(role: str) -> None:
    folder = ROOT / "playbooks" / "roles" / role
    spec = read(folder / "meta" / "argument_specs.yml")["argument_specs"]["main"]

    loose = [
        name
        for name, option in spec.get("options", {}).items()
        if "default" not in option and not option.get("required")
    ]

    assert loose == []


@pytest.mark.parametrize("role", ROLES)
def test_a_role_sets_variables_of_its_own_prefix_only(role: str) -> None:
    folder = ROOT / "playbooks" / "roles" / role
    names = [
        *(read(folder / "defaults" / "main.yml") or {}),
        *(read(folder / "vars" / "main.yml") or {}),
    ]

    assert [name for name in names if not name.removeprefix("__").startswith(f"{role}_")] == []


@pytest.mark.parametrize("role", ROLES)
def test_a_role_says_in_a_readme_what_it_is_for(role: str) -> None:
    assert (ROOT / "playbooks" / "roles" / role / "README.md").read_text().startswith("# ")


def test_the_site_runs_roles_that_exist_once_each_after_the_check() -> None:
    (play,) = read(ROOT / "playbooks" / "site.yml")
    ours = [entry["role"] for entry in play["roles"]]

    assert ours[0] == "validate_inputs"
    assert len(ours) == len(set(ours))
    assert set(ours) <= set(ROLES)
