"""The checks of a cluster, as far as they need nothing but its API, against ours."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace

import pytest

from ansible_runs import Ansible
from cluster_checks import API_CHECKS, TestedCluster, prepared
from kubernetes_api import served
from kubernetes_store import Store, core_kinds, crd_kinds


@pytest.fixture(scope="module")
def cluster(ansible: Ansible) -> Iterator[TestedCluster]:
    folder = ansible.folder / "cluster"
    folder.mkdir()
    # Clients keep what an API tells of itself in the folder for temporary files.
    own = replace(ansible, variables={"TMPDIR": str(folder)})
    with (
        served(Store([*core_kinds(), *crd_kinds()]), folder) as api,
        prepared(TestedCluster(own, api.kubeconfig(folder / "kubeconfig"))) as ready,
    ):
        yield ready


@pytest.mark.parametrize("check", API_CHECKS, ids=lambda check: check.__name__)
def test_against_the_api(
    check: Callable[[TestedCluster], None], cluster: TestedCluster
) -> None:
    check(cluster)
