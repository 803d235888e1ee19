from __future__ import annotations

import subprocess

import pytest

from toolbox import schemas, tool


@pytest.mark.parametrize("helm", ["helm3", "helm4"])
def test_each_helm_tells_its_version(helm: str) -> None:
    version = subprocess.run(
        [tool(helm), "version", "--short"], check=True, capture_output=True, text=True
    ).stdout

    assert version.startswith(f"v{helm[-1]}.")


def test_ansible_knows_the_collections() -> None:
    listed = subprocess.run(
        [tool("ansible-galaxy"), "collection", "list"],
        check=True,
        capture_output=True,
        text=True,
    ).stdout

    assert {"amazon.aws", "community.aws", "kubernetes.core"} <= set(listed.split())


def test_the_api_schemas_are_there() -> None:
    assert list(schemas("keda").glob("*.yaml"))
