"""What the servers of each kind need of their pods."""

from __future__ import annotations

import os
import re
import subprocess
import time
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


def _run(container: Json, root: Path, path: str = os.defpath) -> None:
    """Run the command with a folder of `root` for each volume that the container mounts."""
    volumes = {each["mountPath"]: each["name"] for each in container["volumeMounts"]}
    mounted = re.compile("|".join(map(re.escape, volumes)))
    command = [
        mounted.sub(lambda found: str(root / volumes[found[0]]), word)
        for word in container["command"]
    ]
    subprocess.run(command, check=True, timeout=300, env={"PATH": path})


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


_OURS = "--output-directory /var/darkroom/output --input-directory /var/darkroom/input "


def _comfyui(arguments: str = "", **server: Any) -> Json:
    return _pod("comfyui", runtime={"inferenceApi": {"commandArguments": arguments, **server}})


def test_comfyui_keeps_its_files_where_old_ones_are_removed() -> None:
    pod = _comfyui("--highvram")
    runtime, sweep = _container(pod, "runtime"), _container(pod, "sweep")

    arguments = f"{_OURS}--temp-directory /var/darkroom --highvram"
    assert environment(runtime)["EXTRA_CMD_ARG"] == arguments
    # It makes none of them at its start, and lists its inputs to check a graph.
    folders = {
        each["mountPath"]: each["subPath"]
        for each in runtime["volumeMounts"]
        if each["name"] == "files"
    }
    assert folders == {f"/var/darkroom/{each}": each for each in ("output", "input", "temp")}
    assert _mount(sweep, "files")["mountPath"] == "/var/darkroom"
    assert "subPath" not in _mount(sweep, "files")
    (volume,) = (each for each in pod["volumes"] if each["name"] == "files")
    assert volume["emptyDir"] == {"sizeLimit": "40Gi"}


def test_the_sweep_is_a_sidecar_with_the_image_and_the_user_of_the_server() -> None:
    pod = _comfyui(securityContext={"runAsUser": 1000})
    runtime, sweep = _container(pod, "runtime"), _container(pod, "sweep")

    assert sweep["restartPolicy"] == "Always"
    assert sweep["image"] == runtime["image"]
    assert sweep["securityContext"] == {
        **runtime["securityContext"],
        "readOnlyRootFilesystem": True,
    }
    assert "nvidia.com/gpu" not in str(sweep["resources"])


def test_the_sweep_gets_none_of_the_agents_credentials() -> None:
    values = read_values(VALUES / "runtime" / "comfyui.yaml")
    template = only(objects(render("runtime", values)), "Deployment")["spec"]["template"]

    skipped = template["metadata"]["annotations"]["eks.amazonaws.com/skip-containers"]

    assert set(skipped.split(",")) == {"runtime", "sweep"}


def test_only_old_files_are_removed_and_the_sweep_ends_when_asked_to(tmp_path: Path) -> None:
    now = time.time()
    ages = {"output/old.png": 361, "output/b/old.png": 400, "input/new.png": 359}
    for name, minutes in ages.items():
        file = tmp_path / "files" / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.touch()
        os.utime(file, (now - minutes * 60,) * 2)
    # In the place of a pause: the signal that ends the container.
    (tmp_path / "sleep").write_text("#!/bin/sh\nkill -TERM $PPID\n")
    (tmp_path / "sleep").chmod(0o700)

    _run(_container(_comfyui(), "sweep"), tmp_path, f"{tmp_path}:{os.defpath}")

    left = [path for path in (tmp_path / "files").rglob("*") if path.is_file()]
    assert left == [tmp_path / "files" / "input" / "new.png"]


@pytest.mark.parametrize(
    ("mine", "arguments", "folders"),
    [
        (
            "--output-directory /data/out",
            "--input-directory /var/darkroom/input --temp-directory /var/darkroom",
            ["input", "temp"],
        ),
        ("--base-directory /data", "", []),
        (
            "--output-directory /a --input-directory /b --temp-directory /c",
            "",
            [],
        ),
    ],
)
def test_a_folder_that_a_user_names_is_not_swept(
    mine: str, arguments: str, folders: list[str]
) -> None:
    pod = _comfyui(mine)
    runtime = _container(pod, "runtime")

    assert environment(runtime)["EXTRA_CMD_ARG"] == f"{arguments} {mine}".strip()
    mounted = [each for each in runtime["volumeMounts"] if each["name"] == "files"]
    assert [each["subPath"] for each in mounted] == folders
    swept = [each["name"] for each in pod["initContainers"] if each["name"] == "sweep"]
    assert bool(swept) == bool(folders)


@pytest.mark.parametrize(
    ("name", "minutes"), [("comfyui", 0), ("golden", 360)], ids=["switched-off", "sdwebui"]
)
def test_other_pods_have_no_sweep(name: str, minutes: int) -> None:
    pod = _pod(name, runtime={"inferenceApi": {"keepFilesMinutes": minutes}})

    assert "sweep" not in [each["name"] for each in pod["initContainers"]]
    assert "files" not in [each["name"] for each in pod["volumes"]]
    assert "/var/darkroom" not in environment(_container(pod, "runtime"))["EXTRA_CMD_ARG"]


def test_what_invokeai_works_with_is_swept_as_the_user_that_it_becomes() -> None:
    pod = _pod("invokeai")
    runtime, sweep = _container(pod, "runtime"), _container(pod, "sweep")

    assert environment(runtime)["INVOKEAI_OUTPUTS_DIR"] == "/var/darkroom/outputs"
    assert "/var/darkroom" not in environment(runtime)["EXTRA_CMD_ARG"]
    mounted = [each for each in runtime["volumeMounts"] if each["name"] == "files"]
    assert [each["mountPath"] for each in mounted] == ["/var/darkroom/outputs"]
    assert sweep["securityContext"]["runAsUser"] == 1000
    assert "runAsUser" not in runtime["securityContext"]


def test_the_sweep_is_the_user_that_invokeai_is_given() -> None:
    given = {"inferenceApi": {"securityContext": {"runAsUser": 1234}}}

    pod = _pod("invokeai", runtime=given)

    assert _container(pod, "sweep")["securityContext"]["runAsUser"] == 1234


def test_sd_webui_listens_where_it_is_asked() -> None:
    runtime = _container(_pod("golden", runtime={"inferenceApi": {"port": 7860}}), "runtime")

    assert environment(runtime)["PORT"] == "7860"
    assert runtime["ports"][0]["containerPort"] == 7860
