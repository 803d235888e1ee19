"""The filters that read the configuration file, in the Python of Ansible."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path
from typing import Any

import yaml

from toolbox import ROOT, tool

GOLDEN = ROOT / "tests" / "contract" / "golden" / "config.yaml"


def filtered(folder: Path, expression: str, **variables: object) -> tuple[int, str, Any]:
    """The status and output of a play, and what it made of an expression."""
    play = {
        "name": "Read a configuration",
        "hosts": "localhost",
        "connection": "local",
        "gather_facts": False,
        "tasks": [
            {
                "name": "Write what the filter gives",
                "ansible.builtin.copy": {
                    "content": f"{{{{ {expression} | to_json }}}}",
                    "dest": f"{folder}/made",
                    "mode": "0600",
                },
            }
        ],
    }
    (folder / "play.yml").write_text(yaml.safe_dump([play]))
    variables["ansible_python_interpreter"] = tool("python")
    (folder / "variables.json").write_text(json.dumps(variables))
    done = subprocess.run(
        [tool("ansible-playbook"), "-i", "localhost,", "-e", f"@{folder}/variables.json",
         f"{folder}/play.yml"],
        env={
            "ANSIBLE_FILTER_PLUGINS": str(ROOT / "playbooks" / "filter_plugins"),
            "HOME": str(folder),
            "PATH": os.environ["PATH"],
        },
        capture_output=True,
        text=True,
        check=False,
    )  # fmt: skip
    made = folder / "made"
    output = done.stdout + done.stderr
    return done.returncode, output, json.loads(made.read_text()) if made.exists() else None


def test_text_of_a_file_becomes_the_fact(tmp_path: Path) -> None:
    expression = "text | deployment_normalised('us-east-1')"

    status, output, made = filtered(tmp_path, expression, text=GOLDEN.read_text())

    assert status == 0, output
    assert made["stack"] == "sdoneks"
    assert made["runtimes"][0]["values"]["runtime"]["scaling"]["maxReplicaCount"] == 20


def test_variables_become_the_same_fact(tmp_path: Path) -> None:
    keys = ("stackName", "modelBucketArn", "APIGW", "modelsRuntime")
    mapping = ", ".join(f"{key!r}: {key}" for key in keys)
    expression = f"{{{mapping}}} | deployment_normalised('us-east-1')"

    status, output, made = filtered(tmp_path, expression, **yaml.safe_load(GOLDEN.read_text()))

    assert status == 0, output
    assert made["runtimes"][0]["name"] == "sdruntime"


def test_findings_are_data(tmp_path: Path) -> None:
    text = GOLDEN.read_text().replace("sdwebui", "sdwebiu", 1)

    status, output, made = filtered(tmp_path, "text | deployment_findings", text=text)

    assert status == 0, output
    assert made[0]["level"] == "error"
    assert made[0]["key"] == "modelsRuntime[0].type"
    assert made[0]["line"] == 12


def test_wrong_file_becomes_no_fact(tmp_path: Path) -> None:
    status, output, made = filtered(tmp_path, "'a: 1' | deployment_normalised")

    assert status != 0
    assert made is None
    assert "a: found an unknown key" in " ".join(output.split())
