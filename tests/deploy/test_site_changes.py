"""A site whose runtimes come and go, that is taken down, and deployed again on its data."""

from __future__ import annotations

import json
import re

import pytest

from ansible_runs import Ansible, Run
from sites import CLAIMS, OPTIONS, OUTPUT, STACKS, TRIO, Site, configure, run, teardown

DATA = {f"table {TRIO}-ledger", f"bucket {OUTPUT}", f"bucket {CLAIMS}", f"bucket {TRIO}-models"}


@pytest.fixture(scope="module")
def site(ansible: Ansible) -> Site:
    """The site as it was deployed."""
    configure(ansible)
    run(ansible, **OPTIONS)
    return Site(ansible)


def remove_former(ansible: Ansible) -> Run:
    """Do what the role `runtimes` does after its releases."""
    tasks = [
        {"ansible.builtin.include_role": {"name": role, "tasks_from": tasks_from}}
        for role, tasks_from in (
            ("validate_inputs", "main"),
            ("stack", "list"),
            ("runtimes", "former"),
        )
    ]
    playbook = ansible.folder / "former.yml"
    playbook.write_text(
        json.dumps([{"hosts": "localhost", "gather_facts": False, "tasks": tasks}])
    )
    return ansible.play(playbook, "-e", json.dumps({"kubernetes_apply": False}))


@pytest.fixture(scope="module")
def kept(site: Site) -> Run:
    """A run without one of the runtimes, in whose queue a task waits."""
    site.publish(runtime="comfy")
    configure(site.ansible, without="comfy")
    return remove_former(site.ansible)


def test_a_runtime_stays_while_its_queue_holds_a_task(site: Site, kept: Run) -> None:
    assert "trio-runtime-comfy is no longer in the configuration and stays" in kept.output
    assert "'trio-comfy': 1" in kept.output
    assert kept.changed == 0


@pytest.fixture(scope="module")
def without_comfy(site: Site, kept: Run) -> Run:
    site.receive("comfy")
    return remove_former(site.ansible)


def test_a_runtime_that_is_no_longer_in_the_configuration_goes(
    site: Site, without_comfy: Run
) -> None:
    assert set(site.stacks()) == STACKS - {"trio-runtime-comfy"}


@pytest.fixture(scope="module")
def added(site: Site, without_comfy: Run) -> Run:
    """A run of one role and what it needs, with a runtime that is not there."""
    (site.ansible.folder / "rendered" / "runtimes" / "comfy.yaml").unlink()
    configure(site.ansible)
    return run(site.ansible, "--tags", "runtimes", **OPTIONS)


def test_a_runtime_that_is_added_changes_nothing_else(site: Site, added: Run) -> None:
    assert set(site.stacks()) == STACKS
    assert added.changed == 2, added.output
    assert re.search(r"Deploy trio-runtime-comfy\] \*+\nchanged: ", added.output)
    assert (site.ansible.folder / "rendered" / "runtimes" / "comfy.yaml").is_file()


def test_a_task_reaches_the_runtime_that_is_added(site: Site, added: Run) -> None:
    site.publish(runtime="comfy")

    assert site.receive("comfy") == [{"runtime": "comfy"}]


@pytest.fixture(scope="module")
def refused(site: Site, added: Run) -> Run:
    """A teardown while a task waits."""
    site.publish(runtime="anymodel")
    return teardown(site.ansible, fails=True)


def test_teardown_refuses_while_a_task_waits(site: Site, refused: Run) -> None:
    assert "queues hold tasks, which would be lost: {'trio-anymodel': 1}" in refused.output
    assert "-e force=true" in refused.output
    assert refused.changed == 0


@pytest.fixture(scope="module")
def torn_down(site: Site, refused: Run) -> Run:
    return teardown(site.ansible, "-e", "force=true")


def test_teardown_leaves_data_and_no_stack(site: Site, torn_down: Run) -> None:
    assert site.stacks() == {}
    assert [line for line in DATA if line not in torn_down.output] == []
    assert f"repository {TRIO}/ingest" in torn_down.output
    ec2 = site.ansible.client("ec2")
    assert [vpc for vpc in ec2.describe_vpcs()["Vpcs"] if not vpc["IsDefault"]] == []
    sqs, sns = site.ansible.client("sqs"), site.ansible.client("sns")
    assert sqs.list_queues(QueueNamePrefix=TRIO).get("QueueUrls", []) == []
    assert [each for each in sns.list_topics()["Topics"] if f":{TRIO}-" in str(each)] == []
    roles = site.ansible.client("iam").list_roles()["Roles"]
    assert [role for role in roles if role["RoleName"].startswith(TRIO)] == []


@pytest.fixture(scope="module")
def again(site: Site, torn_down: Run) -> Run:
    """A deployment on the data that was kept."""
    site.ansible.client("s3").put_object(Bucket=OUTPUT, Key="output/a/a-0.png", Body=b"a")
    configure(site.ansible)
    return run(site.ansible)


def test_a_deployment_takes_the_data_that_an_earlier_one_left(site: Site, again: Run) -> None:
    assert set(site.stacks()) == STACKS
    listed = site.ansible.client("s3").list_objects_v2(Bucket=OUTPUT)["Contents"]
    assert [each["Key"] for each in listed] == ["output/a/a-0.png"]


def test_teardown_removes_data_when_asked_to(site: Site, again: Run) -> None:
    emptied = teardown(site.ansible, "-e", "delete_data=true")

    assert site.stacks() == {}
    assert "nothing is left" in emptied.output
    buckets = site.ansible.client("s3").list_buckets()["Buckets"]
    assert [each["Name"] for each in buckets if each["Name"].startswith(TRIO)] == []
