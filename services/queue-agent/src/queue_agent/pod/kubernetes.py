"""Marks this pod at the Kubernetes API server, and asks it for the pod's node."""

from __future__ import annotations

import asyncio
import os
import ssl
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from http import HTTPStatus
from pathlib import Path
from types import MappingProxyType
from typing import Final

import aiohttp
from pydantic import AwareDatetime, BaseModel, Field, ValidationError
from pydantic_core import to_json

from queue_agent.domain import Node
from queue_agent.ports import PodMark
from servicekit.errors import TransientError

# https://kubernetes.io/docs/concepts/workloads/controllers/replicaset/#pod-deletion-cost and
# https://karpenter.sh/docs/concepts/disruption/#pod-level-controls. Null takes a mark away.
ANNOTATIONS: Final = {
    "controller.kubernetes.io/pod-deletion-cost": "100",
    "karpenter.sh/do-not-disrupt": "true",
}
# Counted by the ScaledObject of the chart, and let through by its admission policy.
LABELS: Final = {"darkroom/at-work": "true"}
# https://kubernetes.io/docs/reference/labels-annotations-taints/ and of Karpenter and EKS.
INSTANCE_TYPE: Final = "node.kubernetes.io/instance-type"
CAPACITY_TYPE: Final = "karpenter.sh/capacity-type"
GROUP_CAPACITY_TYPE: Final = "eks.amazonaws.com/capacityType"
GPUS: Final = "nvidia.com/gpu"
CALL_BUDGET: Final = timedelta(seconds=10)
SERVICE_ACCOUNT: Final = Path("/var/run/secrets/kubernetes.io/serviceaccount")


@dataclass(frozen=True, slots=True, kw_only=True)
class KubernetesPodApi:
    """`PodApi` of the pod `name`, in the name of the pod's service account."""

    session: aiohttp.ClientSession
    name: str
    namespace: str
    account: Path = SERVICE_ACCOUNT

    async def mark(self, mark: PodMark) -> None:
        annotations = dict.fromkeys(ANNOTATIONS) if mark is PodMark.IDLE else ANNOTATIONS
        labels = LABELS if mark is PodMark.LASTING else dict.fromkeys(LABELS)
        await self._ask(
            "PATCH",
            self._pod,
            data=to_json({"metadata": {"annotations": annotations, "labels": labels}}),
            headers={"Content-Type": "application/merge-patch+json"},
        )

    async def node(self, name: str) -> Node:
        """What the node `name` is; raises `TransientError`."""
        node, pod = await self._ask("GET", f"nodes/{name}"), await self._ask("GET", self._pod)
        try:
            made = _Object.model_validate_json(pod).metadata.created
            return _Object.model_validate_json(node).node(made)
        except ValidationError as error:
            raise TransientError("the API server told no node") from error

    @property
    def _pod(self) -> str:
        return f"namespaces/{self.namespace}/pods/{self.name}"

    async def _ask(
        self,
        method: str,
        path: str,
        *,
        data: bytes | None = None,
        headers: Mapping[str, str] = MappingProxyType({}),
    ) -> bytes:
        try:
            # The files are read for each call: the kubelet writes a new token every hour.
            token, tls = await asyncio.to_thread(self._credentials)
            async with self.session.request(
                method,
                f"{_server()}/api/v1/{path}",
                data=data,
                headers={"Authorization": f"Bearer {token}", **headers},
                ssl=tls,
            ) as answer:
                status, body = answer.status, await answer.read()
        except (aiohttp.ClientError, OSError, TimeoutError) as error:
            raise TransientError("the API server cannot be asked") from error
        if status != HTTPStatus.OK:
            raise TransientError("the API server refused", status=status)
        return body

    def _credentials(self) -> tuple[str, ssl.SSLContext]:
        token = (self.account / "token").read_text().strip()
        return token, ssl.create_default_context(cafile=str(self.account / "ca.crt"))


class _Metadata(BaseModel):
    created: AwareDatetime = Field(alias="creationTimestamp")
    labels: dict[str, str] = {}


class _Status(BaseModel):
    capacity: dict[str, str] = {}


class _Object(BaseModel):
    """A node or a pod: https://kubernetes.io/docs/reference/kubernetes-api/."""

    metadata: _Metadata
    status: _Status = _Status()

    def node(self, pod_made: datetime) -> Node:
        labels = self.metadata.labels
        # Karpenter's word; that of managed node groups is SPOT or ON_DEMAND.
        capacity = labels.get(CAPACITY_TYPE) or labels.get(GROUP_CAPACITY_TYPE, "")
        gpus = self.status.capacity.get(GPUS, "")
        return Node(
            type=labels.get(INSTANCE_TYPE, ""),
            capacity=capacity.lower().replace("_", "-"),
            gpus=int(gpus) if gpus.isascii() and gpus.isdigit() and int(gpus) else 1,
            since=max(self.metadata.created, pod_made),
        )


def _server() -> str:
    # Kubernetes sets both in every pod.
    host = os.environ.get("KUBERNETES_SERVICE_HOST")
    port = os.environ.get("KUBERNETES_SERVICE_PORT")
    if not host or not port:
        raise TransientError("the agent runs in no cluster")
    return f"https://[{host}]:{port}" if ":" in host else f"https://{host}:{port}"


@asynccontextmanager
async def kubernetes_pod(
    name: str, namespace: str, account: Path = SERVICE_ACCOUNT
) -> AsyncIterator[KubernetesPodApi]:
    """Open the API of a pod in the agent's own cluster; nothing is called yet."""
    async with aiohttp.ClientSession(
        timeout=aiohttp.ClientTimeout(total=CALL_BUDGET.total_seconds()),
        connector=aiohttp.TCPConnector(force_close=True),  # calls are minutes apart
        trust_env=False,
    ) as session:
        yield KubernetesPodApi(session=session, name=name, namespace=namespace, account=account)
