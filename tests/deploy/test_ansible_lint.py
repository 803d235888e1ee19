"""The playbooks pass the strictest profile of ansible-lint, with nothing silenced."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import yaml

from toolbox import ROOT, tool

PLAYBOOKS = ROOT / "playbooks"


def run(tmp_path: Path, *command: str) -> subprocess.CompletedProcess[str]:
    tools = str(Path(tool("ansible-lint")).parent)
    return subprocess.run(
        command,
        cwd=ROOT,
        env={
            "PATH": os.pathsep.join([tools, os.environ.get("PATH", "")]),
            "HOME": str(tmp_path),
            "LANG": "C.UTF-8",
            "ANSIBLE_HOME": str(tmp_path / "ansible"),
            "ANSIBLE_CONFIG": str(ROOT / "ansible.cfg"),
        },
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=1800,
        check=False,
    )


def test_playbooks_and_roles_pass_the_production_profile(tmp_path: Path) -> None:
    settings = str(PLAYBOOKS / ".ansible-lint")
    linted = run(
        tmp_path, tool("ansible-lint"), "--offline", "--nocolor", "-c", settings, "playbooks"
    )

    assert linted.returncode == 0, linted.stdout + linted.stderr
    assert "Profile 'production' was required, and it passed" in linted.stderr


def test_no_rule_is_switched_off() -> None:
    settings = yaml.safe_load((PLAYBOOKS / ".ansible-lint").read_text())
    silenced = [
        str(path.relative_to(ROOT))
        for path in PLAYBOOKS.rglob("*.yml")
        if "# noqa" in path.read_text()
    ]

    assert settings["profile"] == "production"
    assert not settings.keys() & {"skip_list", "warn_list", "exclude_paths", "mock_modules"}
    assert silenced == []


def test_modules_and_filters_pass_ruff(tmp_path: Path) -> None:
    checked = run(tmp_path, tool("ruff"), "check", "--no-cache", "playbooks")
    formatted = run(tmp_path, tool("ruff"), "format", "--no-cache", "--check", "playbooks")

    assert checked.returncode == 0, checked.stdout
    assert formatted.returncode == 0, formatted.stdout


def test_every_module_of_ours_is_documented(tmp_path: Path) -> None:
    names = sorted(path.stem for path in (PLAYBOOKS / "library").glob("*.py"))
    shown = run(tmp_path, tool("ansible-doc"), "-t", "module", "--json", *names)

    assert shown.returncode == 0, shown.stderr
    assert "[WARNING]" not in shown.stderr
    told = yaml.safe_load(shown.stdout)
    assert sorted(told) == names
    assert [
        name for name in names if not told[name]["examples"] or not told[name]["return"]
    ] == []
