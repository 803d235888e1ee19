"""`images.yml`, with a stand-in for the container engine, and ECR."""

from __future__ import annotations

import json
import shutil
import subprocess
import tarfile

import pytest
import yaml
from rendered_stacks import GOLDEN

from ansible_runs import Ansible, Run
from toolbox import ROOT, tool

STACK = "sdoneks"
HOST = "000000000000.dkr.ecr.us-east-1.amazonaws.com"
SERVICES = ["ingest", "queue-agent"]
RUNTIMES = ["comfyui"]
ENGINE = """#!{python}
import hashlib, json, os, pathlib, sys
import boto3

with open({calls!r}, "a") as calls:
    calls.write(json.dumps(sys.argv[1:]) + "\\n")
if sys.argv[1] == "login":
    pathlib.Path({calls!r} + ".password").write_text(sys.stdin.read())
if sys.argv[1] == "build":
    folder = pathlib.Path(sys.argv[-1])
    files = [folder / "Dockerfile", *folder.glob("service.pex")]
    built = "".join(file.read_text() for file in files)
    name = sys.argv[-2].rpartition("/")[2].partition(":")[0]
    for place in (".built", "." + name):
        pathlib.Path({calls!r} + place).write_text(built)
if sys.argv[1:3] == ["image", "inspect"]:
    print(3 * 2**30)
if sys.argv[1] == "push":
    repository, _, tag = sys.argv[2].partition("/")[2].partition(":")
    built = pathlib.Path({calls!r} + ".built").read_text()
    manifest = {{"schemaVersion": 2, "config": {{"digest": built}}, "layers": []}}
    boto3.client("ecr").put_image(
        repositoryName=repository, imageManifest=json.dumps(manifest), imageTag=tag
    )
"""


def play(ansible: Ansible, *arguments: str) -> Run:
    """Run the playbook as for a deployment whose charts come from a folder."""
    given = {
        "images_services": SERVICES,
        "runtime_images": RUNTIMES,
        "images_package": False,
        "images_pex_folder": str(ansible.folder / "dist"),
        "images_engine": "engine",
        "chart_folder": "served",
        "chart_url": "https://c.example",
    }
    return ansible.play("images.yml", "-e", json.dumps(given), *arguments)


@pytest.fixture(scope="module")
def built(ansible: Ansible) -> Ansible:
    """An account that has the images of two services, made after a check."""
    shutil.copy(GOLDEN, ansible.folder / "config.yaml")
    engine = ansible.folder / "bin" / "engine"
    engine.write_text(ENGINE.format(python=tool("python"), calls=str(ansible.folder / "calls")))
    engine.chmod(0o755)
    (ansible.folder / "dist").mkdir()
    for service in SERVICES:
        (ansible.folder / "dist" / f"{service}.pex").write_text(f"the PEX of {service}")
    play(ansible, "--check")
    assert not [name for name in ("calls", "images.yml", "served") if made(ansible, name)]
    assert play(ansible).changed > 0
    return ansible


def made(ansible: Ansible, name: str) -> bool:
    return (ansible.folder / name).exists()


def calls(ansible: Ansible) -> list[list[str]]:
    return [json.loads(line) for line in (ansible.folder / "calls").read_text().splitlines()]


def written(ansible: Ansible) -> dict[str, dict[str, str]]:
    text = (ansible.folder / "images.yml").read_text()
    images: dict[str, dict[str, str]] = yaml.safe_load(text)["images"]
    return images


@pytest.mark.parametrize("name", [*SERVICES, *RUNTIMES])
def test_each_image_is_written_down_by_its_digest(built: Ansible, name: str) -> None:
    (known,) = built.client("ecr").describe_images(repositoryName=f"{STACK}/{name}")[
        "imageDetails"
    ]

    assert written(built)[name] == {
        "repository": f"{HOST}/{STACK}/{name}",
        "tag": known["imageTags"][0],
        "digest": known["imageDigest"],
    }


def test_password_goes_to_the_standard_input_only(built: Ansible) -> None:
    password = (built.folder / "calls.password").read_text()

    assert password
    assert ["login", "--username", "AWS", "--password-stdin", HOST] in calls(built)
    assert password not in (built.folder / "calls").read_text()


def test_image_runs_its_service_as_nobody(built: Ansible) -> None:
    text = (built.folder / "calls.queue-agent").read_text()

    assert "USER 65532" in text
    assert text.endswith('ENTRYPOINT ["/bin/queue-agent"]\nthe PEX of queue-agent')


def test_only_what_changed_is_built_again(built: Ansible) -> None:
    before, images = len(calls(built)), written(built)
    assert play(built).changed == 0
    assert len(calls(built)) == before
    (built.folder / "dist" / "ingest.pex").write_text("another PEX of ingest")

    play(built)

    assert [call[0] for call in calls(built)[before:]] == ["build", "login", "push", "image"]
    after = written(built)
    assert after["queue-agent"] == images["queue-agent"]
    assert after["ingest"]["digest"] != images["ingest"]["digest"]


def test_image_of_a_runtime_is_built_of_its_folder(built: Ansible) -> None:
    folder = ROOT / "runtimes" / "comfyui"

    assert (built.folder / "calls.comfyui").read_text() == (folder / "Dockerfile").read_text()
    (build,) = (call for call in calls(built) if call[-1].endswith("runtimes/comfyui"))
    assert build[:2] == ["build", "--platform=linux/amd64"]


def test_runtime_that_names_no_image_has_the_one_that_was_built(built: Ansible) -> None:
    config = yaml.safe_load(GOLDEN.read_text())
    config["modelsRuntime"] = [{"name": "comfy", "type": "comfyui"}]
    told = built.folder / "told.json"
    task = {"copy": {"content": "{{ deployment.runtimes | to_json }}", "dest": str(told)}}
    play = {"hosts": "localhost", "gather_facts": False, "roles": ["validate_inputs"]}
    playbook = built.folder / "told.yml"
    playbook.write_text(json.dumps([{**play, "tasks": [task]}]))

    run = built.play(playbook, "-e", json.dumps(config))

    assert "an example for evaluation" not in run.output
    (runtime,) = json.loads(told.read_text())
    assert runtime["values"]["runtime"]["inferenceApi"]["image"] == written(built)["comfyui"]


def test_what_is_not_built_this_time_stays_written_down(built: Ansible) -> None:
    before = written(built)

    play(built, "-e", '{"images_services": ["ingest"], "runtime_images": []}')

    assert written(built) == before


def test_server_that_has_no_dockerfile_is_refused(built: Ansible) -> None:
    run = built.play("images.yml", "-e", '{"runtime_images": ["forge"]}', fails=True)

    assert "allowed: comfyui, invokeai, sdwebui" in run.output


def test_charts_in_a_folder_can_be_found_by_their_index(built: Ansible) -> None:
    served = built.folder / "served"
    index = yaml.safe_load((served / "index.yaml").read_text())["entries"]
    (platform,), (runtime,) = index["platform"], index["runtime"]

    assert runtime["urls"] == [f"https://c.example/runtime-{runtime['version']}.tgz"]
    with tarfile.open(served / f"platform-{platform['version']}.tgz") as package:
        assert "platform/Chart.yaml" in package.getnames()
    subprocess.run(
        [tool("helm3"), "show", "chart", str(served / f"runtime-{runtime['version']}.tgz")],
        check=True,
    )
