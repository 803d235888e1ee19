from __future__ import annotations

import json
from typing import Any

import pytest

from ansible_runs import Ansible, Run
from modules import Modules

STACK = "sdoneks"
REGISTRY = "000000000000.dkr.ecr.us-east-1.amazonaws.com"
AGENT = {"repository": f"{REGISTRY}/{STACK}/queue-agent", "digest": "sha256:" + "a" * 64}


def play(
    ansible: Ansible, *arguments: str, snapshot: str = "", fails: bool = False, **more: Any
) -> Run:
    """Run the playbook with one runtime, whose nodes start from `snapshot` if it is given."""
    image = {"repository": f"{REGISTRY}/sdwebui", "tag": "v1"}
    values: dict[str, Any] = {"runtime": {"inferenceApi": {"image": image}}}
    if snapshot:
        values["karpenter"] = {"nodeTemplate": {"dataVolume": {"snapshotID": snapshot}}}
    runtime = {"name": "sdruntime", "namespace": "default", "type": "sdwebui"}
    config = {
        "stackName": STACK,
        "modelBucketArn": "arn:aws:s3:::models",
        "modelsRuntime": [
            {**runtime, "modelFilename": "v1.safetensors", "extraValues": values}
        ],
    }
    (ansible.folder / "config.yaml").write_text(json.dumps(config))
    (subnet,) = ansible.client("ec2").describe_subnets()["Subnets"][:1]
    given = {
        "images": {"queue-agent": AGENT},
        "network_vpc_id": subnet["VpcId"],
        "image_cache_subnet_id": subnet["SubnetId"],
        "emulator_lacks": ["ssm:SendCommand"],
        "image_cache_ami_id": "ami-0123456789abcdef0",
        # The emulator has no second volume.
        "image_cache_data_device": "/dev/xvda",
        **more,
    }
    return ansible.play("snapshot.yml", "-e", json.dumps(given), *arguments, fails=fails)


def push(ansible: Ansible, content: str) -> None:
    """Put another image behind the tag of the runtime."""
    manifest = {"schemaVersion": 2, "config": {"digest": content}, "layers": []}
    ansible.client("ecr").put_image(
        repositoryName="sdwebui", imageManifest=json.dumps(manifest), imageTag="v1"
    )


@pytest.fixture(scope="module")
def cached(ansible: Ansible) -> Ansible:
    """An account that has one snapshot of the role, made after a check."""
    ansible.client("ecr").create_repository(repositoryName="sdwebui")
    push(ansible, "first")
    checked = play(ansible, "--check")
    assert f"{REGISTRY}/sdwebui:v1" in checked.output, checked.output
    assert not snapshots(ansible)
    assert play(ansible).changed > 0
    return ansible


def snapshots(ansible: Ansible) -> list[dict[str, Any]]:
    """The snapshots of the stack, the oldest first."""
    found = ansible.client("ec2").describe_snapshots(
        OwnerIds=["self"], Filters=[{"Name": "tag:darkroom/stack", "Values": [STACK]}]
    )["Snapshots"]
    return sorted(found, key=lambda snapshot: snapshot["StartTime"])


def running(ansible: Ansible) -> list[str]:
    states = ["pending", "running", "stopping", "stopped"]
    found = ansible.client("ec2").describe_instances(
        Filters=[{"Name": "instance-state-name", "Values": states}]
    )
    return [
        instance["InstanceId"]
        for reservation in found["Reservations"]
        for instance in reservation["Instances"]
    ]


def told(run: Run) -> str:
    """The snapshot that the playbook tells its user."""
    return run.output.rpartition("snapshotID: ")[2].partition('"')[0]


def test_second_run_finds_the_snapshot_again(cached: Ansible) -> None:
    run = play(cached)

    assert run.changed == 0
    (only,) = snapshots(cached)
    assert only["SnapshotId"] == told(run)
    tags = {tag["Key"]: tag["Value"] for tag in only["Tags"]}
    assert tags["Name"] == f"{STACK}-images-{tags['darkroom/images']}"
    assert AGENT["digest"] in only["Description"]
    assert not running(cached)


def test_host_may_read_these_repositories_and_those_of_its_own_containers(
    cached: Ansible,
) -> None:
    iam = cached.client("iam")
    role = f"{STACK}-us-east-1-image-cache"

    policy = iam.get_role_policy(RoleName=role, PolicyName="images")["PolicyDocument"]
    token, images = policy["Statement"]

    assert token["Action"] == "ecr:GetAuthorizationToken"
    assert images["Resource"] == [
        *(f"arn:aws:ecr:*:*:repository/bottlerocket-{name}" for name in ("admin", "control")),
        *(
            f"arn:aws:ecr:us-east-1:000000000000:repository/{name}"
            for name in ("sdoneks/queue-agent", "sdwebui")
        ),
    ]
    (managed,) = iam.list_attached_role_policies(RoleName=role)["AttachedPolicies"]
    assert managed["PolicyName"] == "AmazonSSMManagedInstanceCore"


def test_new_image_makes_a_new_snapshot_and_the_oldest_goes(cached: Ansible) -> None:
    (first,) = snapshots(cached)
    push(cached, "second")

    second = told(play(cached, image_cache_kept=1))

    assert second != first["SnapshotId"]
    assert [each["SnapshotId"] for each in snapshots(cached)] == [second]
    assert not running(cached)


def test_host_is_gone_when_pulling_fails(cached: Ansible) -> None:
    before = snapshots(cached)

    run = play(
        cached,
        image_cache_images=["public.ecr.aws/other/image:1"],
        emulator_lacks=[],
        image_cache_online_seconds=1,
        fails=True,
    )

    assert "is not online after 1 s" in run.output
    assert not running(cached)
    assert snapshots(cached) == before


def test_instance_without_the_volume_is_refused(cached: Ansible, modules: Modules) -> None:
    here = modules.at(cached.endpoint)
    ec2 = cached.client("ec2")
    host: dict[str, Any] = {"tags": {"darkroom/stack": STACK, "Name": "without"}}

    refused = here.run(
        "tagged_instance",
        **host,
        image_id="ami-0123456789abcdef0",
        instance_type="m6i.large",
        instance_profile=f"{STACK}-us-east-1-image-cache",
        subnet_id=ec2.describe_subnets()["Subnets"][0]["SubnetId"],
        security_group_id=ec2.describe_security_groups()["SecurityGroups"][0]["GroupId"],
        volume_device="/dev/xvdz",
        fails=True,
    )

    (instance,) = running(cached)
    assert refused["msg"] == f"{instance} has no volume /dev/xvdz, it has /dev/xvda"
    here.run("tagged_instance", **host, state="absent")
    assert not running(cached)


def test_snapshot_of_a_runtime_wins(cached: Ansible) -> None:
    run = play(cached, snapshot="snap-0123456789abcdef0")

    assert told(run) == "none is needed"
    assert run.changed == 0


def test_commands_have_no_secret_and_pull_every_image(cached: Ansible) -> None:
    pulling = [
        {
            "hosts": "localhost",
            "gather_facts": False,
            "vars": {
                "__image_cache_plan": {"images": ["example.com/a:1", "two/b@sha256:0", "c:3"]}
            },
            "tasks": [
                {
                    "ansible.builtin.template": {
                        "src": "{{ inventory_dir }}/../snapshots/pull.json.j2",
                        "dest": str(cached.folder / "pull.json"),
                        "mode": "0644",
                    }
                }
            ],
        }
    ]
    (cached.folder / "pull.yml").write_text(json.dumps(pulling))
    cached.play(cached.folder / "pull.yml")

    lines = json.loads((cached.folder / "pull.json").read_text())
    pulls = [line for line in lines if "pull-image" in line]
    assert [line.partition("--source=")[2].split()[0] for line in pulls] == [
        "example.com/a:1",
        "docker.io/two/b@sha256:0",
        "docker.io/library/c:3",
    ]
    assert not [line for line in lines if "password" in line or "--user" in line]
    assert "apiclient exec admin true && break" in lines[0]  # it may not be up yet
