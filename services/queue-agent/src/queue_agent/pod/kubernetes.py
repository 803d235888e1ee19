"""Marks this pod at the Kubernetes API."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, Final

import aiohttp

from servicekit.errors import TransientError

if TYPE_CHECKING:
    from kubernetes_asyncio.client import ApiClient

# https://kubernetes.io/docs/concepts/workloads/controllers/replicaset/#pod-deletion-cost and
# https://karpenter.sh/docs/concepts/disruption/#pod-level-controls. Null takes a mark away.
BUSY: Final = {
    "controller.kubernetes.io/pod-deletion-cost": "100",
    "karpenter.sh/do-not-disrupt": "true",
}
IDLE: Final = dict.fromkeys(BUSY)


@dataclass(slots=True, kw_only=True)
class KubernetesPodApi:
    """`PodApi` of the pod `name`; `host` is for an API server that wants no credentials."""

    name: str
    namespace: str
    host: str | None = None
    _client: ApiClient | None = field(default=None, init=False)

    async def mark(self, *, busy: bool) -> None:
        # The library takes seconds to load, and a task must not wait for it.
        kubernetes = await asyncio.to_thread(_library)
        known = (kubernetes.client.OpenApiException, kubernetes.config.ConfigException)
        try:
            if self._client is None:
                self._client = self._opened(kubernetes)
            answer = await kubernetes.client.CoreV1Api(self._client).patch_namespaced_pod(
                self.name,
                self.namespace,
                {"metadata": {"annotations": BUSY if busy else IDLE}},
                _content_type="application/merge-patch+json",
                _preload_content=False,  # the whole pod, which nobody reads
            )
        except (*known, aiohttp.ClientError, OSError, TimeoutError) as error:
            raise TransientError("the API server cannot be asked") from error
        answer.release()
        if answer.status != HTTPStatus.OK:
            raise TransientError("the API server refused the mark", status=answer.status)

    def _opened(self, kubernetes: Any) -> ApiClient:
        configuration = kubernetes.client.Configuration()
        if self.host:
            configuration.host = self.host
        else:
            kubernetes.config.load_incluster_config(client_configuration=configuration)
        client: ApiClient = kubernetes.client.ApiClient(configuration)
        return client

    async def close(self) -> None:
        """Close the connections."""
        if self._client is not None:
            await self._client.close()


def _library() -> Any:
    import kubernetes_asyncio.client  # noqa: PLC0415  # see `mark`
    import kubernetes_asyncio.config  # noqa: PLC0415

    return kubernetes_asyncio


@asynccontextmanager
async def kubernetes_pod(
    name: str, namespace: str, host: str | None = None
) -> AsyncIterator[KubernetesPodApi]:
    """Open the API of a pod; by default the API server is that of its own cluster."""
    api = KubernetesPodApi(name=name, namespace=namespace, host=host)
    try:
        yield api
    finally:
        await api.close()
