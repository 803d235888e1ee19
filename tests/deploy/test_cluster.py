"""The charts and roles on a real cluster: kind, EKS, or any other that is otherwise empty.

`DARKROOM_KUBECONFIG` is its kubeconfig, with the credentials in the file.
`DARKROOM_CLUSTER_QUEUE_URL` is a queue that its KEDA can read, and
`DARKROOM_CLUSTER_AWS_ENDPOINT` the address of another SQS than the region's.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from ansible_runs import Ansible
from cluster_checks import CHECKS, TestedCluster, prepared

KUBECONFIG = os.environ.get("DARKROOM_KUBECONFIG", "")

pytestmark = pytest.mark.skipif(not KUBECONFIG, reason="DARKROOM_KUBECONFIG is not set")


@pytest.fixture(scope="module")
def cluster(ansible: Ansible) -> Iterator[TestedCluster]:
    queue = os.environ.get("DARKROOM_CLUSTER_QUEUE_URL", "")
    endpoint = os.environ.get("DARKROOM_CLUSTER_AWS_ENDPOINT", "")
    with prepared(TestedCluster(ansible, Path(KUBECONFIG), queue, endpoint)) as ready:
        yield ready


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
def test_on_the_cluster(check: Callable[[TestedCluster], None], cluster: TestedCluster) -> None:
    check(cluster)
