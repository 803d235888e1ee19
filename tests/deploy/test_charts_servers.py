"""What the servers of each kind need of their pods."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path
from typing import Any

import pytest

from rendering import (
    VALUES,
    RefusedError,
    containers,
    environment,
    merged,
    objects,
    only,
    read_values,
    render,
)

Json = dict[str, Any]


def _pod(name: str, /, **above: Any) -> Json:
    values = merged(read_values(VALUES / "runtime" / f"{name}.yaml"), above)
    spec: Json = only(objects(render("runtime", values)), "Deployment")["spec"]["template"][
        "spec"
    ]
    return spec


def _container(pod: Json, name: str) -> Json:
    return containers({"spec": {"template": {"spec": pod}}})[name]


def _mount(container: Json, volume: str) -> Json:
    mount: Json
    (mount,) = (each for each in container["volumeMounts"] if each["name"] == volume)
    return mount


def _run(container: Json, root: Path) -> None:
    """Run the command with a folder of `root` for each volume that the container mounts."""
    volumes = {each["mountPath"]: each["name"] for each in container["volumeMounts"]}
    mounted = re.compile("|".join(map(re.escape, volumes)))
    command = [
        mounted.sub(lambda found: str(root / volumes[found[0]]), word)
        for word in container["command"]
    ]
    subprocess.run(command, check=True, timeout=10)


@pytest.mark.parametrize(
    ("name", "arguments", "read_only"),
    [
        ("golden", "--hypernetwork-dir /tmp/hypernetworks", True),
        ("own-claim", "--hypernetwork-dir /tmp/hypernetworks", True),
        ("everything", "--hypernetwork-dir /tmp/hypernetworks --medvram", True),
        ("nvme-soci", "", False),
        ("no-models-emulator", "", False),
    ],
)
def test_sd_webui_makes_its_folders_where_it_may_write(
    name: str, arguments: str, read_only: bool
) -> None:
    runtime = _container(_pod(name), "runtime")

    assert environment(runtime)["EXTRA_CMD_ARG"] == arguments
    assert _mount(runtime, "models")["readOnly"] is read_only
    assert not _mount(runtime, "runtime-tmp").get("readOnly")


def test_a_folder_of_hypernetworks_that_a_user_names_is_the_only_one() -> None:
    mine = {"inferenceApi": {"commandArguments": "--hypernetwork-dir /data/mine"}}
    pod = _pod("golden", runtime=mine)

    runtime = _container(pod, "runtime")

    assert environment(runtime)["EXTRA_CMD_ARG"] == "--hypernetwork-dir /data/mine"
    assert "hypernetworks" not in str(_container(pod, "config")["command"])


@pytest.mark.parametrize("there", [True, False], ids=["in-the-bucket", "not-in-the-bucket"])
def test_the_hypernetworks_of_the_bucket_are_found(tmp_path: Path, there: bool) -> None:
    config = _container(_pod("golden"), "config")
    for volume in ("models", "config", "runtime-tmp"):
        (tmp_path / volume).mkdir()
    (tmp_path / "config" / "config.json").write_text("{}")
    if there:
        (tmp_path / "models" / "hypernetworks").mkdir()
        (tmp_path / "models" / "hypernetworks" / "a.pt").touch()

    for _ in range(2):  # a pod whose sandbox is made anew runs it again
        _run(config, tmp_path)

    found = [path.name for path in (tmp_path / "runtime-tmp" / "hypernetworks").glob("*.pt")]
    assert found == (["a.pt"] if there else [])
    assert (tmp_path / "runtime-tmp" / "config.json").read_text() == "{}"


def test_the_options_of_sd_webui_are_written_by_the_user_that_saves_them() -> None:
    pod = _pod("everything")

    users = [
        _container(pod, name)["securityContext"]["runAsUser"] for name in ("config", "runtime")
    ]

    assert users == [1000, 1000]


def test_invokeai_may_become_the_user_that_its_image_runs_as() -> None:
    context = _container(_pod("invokeai"), "runtime")["securityContext"]

    assert context == {
        "allowPrivilegeEscalation": False,
        "capabilities": {"drop": ["ALL"], "add": ["CHOWN", "SETGID", "SETUID"]},
    }


def test_a_user_may_take_that_away_from_an_image_that_needs_less() -> None:
    mine = {"runAsUser": 1000, "runAsNonRoot": True, "capabilities": {"add": []}}
    pod = _pod("invokeai", runtime={"inferenceApi": {"securityContext": mine}})

    context = _container(pod, "runtime")["securityContext"]

    assert context["capabilities"] == {"drop": ["ALL"], "add": []}
    assert (context["runAsUser"], context["runAsNonRoot"]) == (1000, True)


@pytest.mark.parametrize("name", ["golden", "comfyui"])
def test_other_servers_get_no_capability(name: str) -> None:
    context = _container(_pod(name), "runtime")["securityContext"]

    assert context["capabilities"] == {"drop": ["ALL"]}


@pytest.mark.parametrize("name", ["golden", "comfyui", "invokeai"])
def test_a_server_is_not_process_1_which_would_not_end_when_asked_to(name: str) -> None:
    assert _pod(name)["shareProcessNamespace"] is True


def test_an_init_that_has_to_be_process_1_is() -> None:
    pod = _pod("comfyui", runtime={"shareProcessNamespace": False})

    assert pod["shareProcessNamespace"] is False


def test_a_server_that_sees_the_agent_is_not_the_agents_user() -> None:
    pod = _pod("comfyui")
    agent = _container(pod, "queue-agent")["securityContext"]["runAsUser"]
    mine = {"inferenceApi": {"securityContext": {"runAsUser": agent}}}

    with pytest.raises(RefusedError, match="65532 is the agent's"):
        _pod("comfyui", runtime=mine)

    apart = _pod("comfyui", runtime={**mine, "shareProcessNamespace": False})
    assert _container(apart, "runtime")["securityContext"]["runAsUser"] == agent
