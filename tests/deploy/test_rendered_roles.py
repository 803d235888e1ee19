from __future__ import annotations

import base64
import hashlib
import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from ansible_runs import Ansible, Run
from earlier_roles import DIGEST, STACK, facts, runtime

ROLES = ("platform", "runtimes")
LATER = {
    "kubernetes_apply": False,
    "kubernetes_render_dir": "rendered",
}
THREE = [
    runtime("sdruntime"),
    runtime("comfy", type="comfyui", namespace="artists", model_filename=None),
    runtime("dynamic", dynamic_model=True, model_filename=None),
]


@pytest.fixture(scope="module")
def key(ansible: Ansible) -> Any:
    """The clients' key, as the stack of the cluster has it made."""
    return ansible.client("apigateway").create_api_key(name=STACK, enabled=True)


@pytest.fixture(scope="module")
def ran(ansible: Ansible, key: Any) -> Run:
    """A run in an empty account; test_site.py checks first and runs again."""
    variables = {**facts(*THREE), **LATER, "cluster_api_key_id": key["id"]}
    return ansible.roles(*ROLES, variables=variables)


@pytest.fixture
def rendered(ansible: Ansible, ran: Run) -> Path:
    assert ran.changed > 0
    return ansible.folder / "rendered"


def objects(file: Path) -> list[dict[str, Any]]:
    return [each for each in yaml.safe_load_all(file.read_text()) if each]


def named(found: list[dict[str, Any]], kind: str) -> dict[str, dict[str, Any]]:
    return {each["metadata"]["name"]: each for each in found if each["kind"] == kind}


def test_each_release_is_a_file(rendered: Path) -> None:
    files = sorted(str(file.relative_to(rendered)) for file in rendered.rglob("*.yaml"))

    assert files == [
        "platform/before.yaml",
        "platform/platform.yaml",
        "runtimes/comfy.yaml",
        "runtimes/dynamic.yaml",
        "runtimes/sdruntime.yaml",
    ]


def test_services_run_by_digest(rendered: Path) -> None:
    deployments = named(objects(rendered / "platform/platform.yaml"), "Deployment")

    assert set(deployments) == {"ingest", "router", "notifier", "model-sync"}
    for name, each in deployments.items():
        (container,) = each["spec"]["template"]["spec"]["containers"]
        assert container["image"] == f"registry.example/{STACK}/{name}@{DIGEST}"


def test_only_the_hash_of_the_api_key_leaves_api_gateway(
    ansible: Ansible, ran: Run, key: Any, rendered: Path
) -> None:
    secret = named(objects(rendered / "platform/before.yaml"), "Secret")["ingest-api-keys"]
    (known,) = json.loads(base64.b64decode(secret["data"]["keys.json"]))["keys"]

    assert known["sha256"] == hashlib.sha256(key["value"].encode()).hexdigest()
    assert key["value"] not in ran.output
    assert not any(key["value"] in file.read_text() for file in ansible.folder.rglob("*.yaml"))


def test_a_runtime_has_its_own_namespace_queue_and_node_role(rendered: Path) -> None:
    found = objects(rendered / "runtimes/comfy.yaml")

    (deployment,) = named(found, "Deployment").values()
    assert deployment["metadata"]["namespace"] == "artists"
    assert f"https://sqs.us-east-1.amazonaws.com/000000000000/{STACK}-comfy" in json.dumps(
        deployment
    )
    (nodes,) = named(found, "EC2NodeClass").values()
    assert nodes["spec"]["role"] == f"{STACK}-us-east-1-karpenter-node"


def test_extra_values_of_the_original_solution_reach_the_chart(ansible: Ansible) -> None:
    golden = Path(__file__).parents[1] / "contract" / "golden" / "config.yaml"
    (known,) = yaml.safe_load(golden.read_text())["modelsRuntime"]
    entry = runtime("sdruntime", values=known["extraValues"])
    where = {**LATER, "kubernetes_render_dir": "golden"}

    ansible.roles("runtimes", variables={**facts(entry), **where})

    found = objects(ansible.folder / "golden/runtimes/sdruntime.yaml")
    (scaled,) = named(found, "ScaledObject").values()
    assert scaled["spec"]["maxReplicaCount"] == 20
    (nodes,) = named(found, "EC2NodeClass").values()
    assert "snap-0123456789abcdef0" in json.dumps(nodes)


def test_a_release_without_an_image_names_the_playbook_that_makes_it(ansible: Ansible) -> None:
    playbook = ansible.folder / "no-images.yml"
    play = {"hosts": "localhost", "gather_facts": False, "roles": ["platform"]}
    playbook.write_text(json.dumps([play]))
    variables = {**facts(*THREE), **LATER, "images": {}}

    run = ansible.play(playbook, "-e", json.dumps(variables), fails=True)

    assert "run playbooks/images.yml first" in run.output
