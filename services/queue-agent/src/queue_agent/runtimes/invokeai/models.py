"""The models of an InvokeAI: registered from a folder, and found by what a graph calls them."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import PurePosixPath
from typing import Any, Final
from uuid import NAMESPACE_URL, uuid5

from queue_agent.domain import RuntimeLostError, TaskFailedError
from queue_agent.runtimes.http import Answer, RuntimeHttp
from queue_agent.runtimes.invokeai.graph import references, with_references
from queue_agent.runtimes.shape import mapping, text

log = logging.getLogger(__name__)

API: Final = "/api/v2/models"
SCAN_BUDGET: Final = timedelta(minutes=2)
REGISTER_BUDGET: Final = timedelta(minutes=15)  # of all the files of a folder
_OVER: Final = frozenset({"completed", "error", "cancelled"})
_UNKNOWN: Final = "unknown"  # the type of what the server takes without knowing what it is


@dataclass(slots=True, kw_only=True)
class ModelLibrary:
    """The models of one server; `folder` is as the server sees it, empty if there is none.

    A server keeps its models in a database that is lost when it restarts.
    """

    http: RuntimeHttp
    folder: str = ""
    poll: timedelta = timedelta(seconds=1)
    budget: timedelta = REGISTER_BUDGET
    _known: frozenset[str] | None = field(default=None, init=False)  # keys, when last looked
    _registered: set[str] = field(default_factory=set, init=False)  # paths
    _given_up: set[str] = field(default_factory=set, init=False)
    _lock: asyncio.Lock = field(default_factory=asyncio.Lock, init=False)

    async def ensure_registered(self) -> None:
        """Return when what is in the folder is registered; done again if the server forgot it.

        A file that cannot be registered is logged and left out. Raises `RuntimeLostError` if
        the server cannot look into the folder.
        """
        if not self.folder:
            return
        try:
            async with self._lock:
                await self._ensure_registered()
        except TaskFailedError as error:  # here is no task
            raise RuntimeLostError(str(error)) from error

    async def _ensure_registered(self) -> None:
        if self._known is not None and self._known <= await self._keys():
            return
        self._known = None
        self._registered.clear()
        self._given_up.clear()
        await self._register()
        self._known = await self._keys()

    async def resolved(self, graph: Mapping[str, Any]) -> dict[str, Any]:
        """The graph with this server's own keys in the place of those of other servers.

        Raises `TaskFailedError` with the code `model_not_found` for a model that it has not.
        """
        asked = references(graph)
        if not asked:
            return dict(graph)
        listed = await self._listed()
        if self.folder and any(one.required and one.find(listed) is None for one in asked):
            async with self._lock:
                await self._register()  # it may have come into the folder since
            listed = await self._listed()
        missing = [one for one in asked if one.required and one.find(listed) is None]
        if missing:
            names = ", ".join(dict.fromkeys(map(str, missing)))
            raise TaskFailedError(
                f"the runtime has no model {names}",
                code="model_not_found",
                retryable=bool(self._given_up),
            )
        return with_references(graph, [(one, one.find(listed)) for one in asked])

    async def _keys(self) -> frozenset[str]:
        return frozenset(str(model.get("key")) for model in await self._listed())

    async def _listed(self) -> Sequence[Mapping[str, Any]]:
        answer = await self.http.get(f"{API}/")
        models = answer.body.get("models") if isinstance(answer.body, Mapping) else None
        if not answer.ok or not isinstance(models, list):
            raise answer.failure("the runtime did not list its models", retryable=True)
        return [model for model in models if isinstance(model, Mapping)]

    async def _register(self) -> None:
        new = await self._found()
        if not new:
            return
        log.info("registering models", extra={"count": len(new)})
        jobs = {path: await self._install(path) for path in new}
        ended = await self._ended({job for job in jobs.values() if job is not None})
        for path, job in jobs.items():
            self._record(path, ended.get(job) if job is not None else None)
        names = [PurePosixPath(path).name for path in new if path in self._registered]
        log.info("models are registered", extra={"count": len(names), "models": names})

    async def _found(self) -> list[str]:
        """What the folder has and the server does not know, but for what was given up."""
        answer = await self.http.get(
            f"{API}/scan_folder", {"scan_path": self.folder}, budget=SCAN_BUDGET
        )
        if not answer.ok or not isinstance(answer.body, list):
            said = f"the runtime cannot look into the folder of models, {self.folder}"
            raise answer.failure(said, retryable=True)
        found = {
            str(one["path"]): bool(one.get("is_installed"))
            for one in map(mapping, answer.body)
            if "path" in one
        }
        self._registered |= {path for path, known in found.items() if known}
        return sorted(found.keys() - self._registered - self._given_up)

    async def _install(self, path: str) -> int | None:
        """Have a file registered where it lies; returns the job, None if it was refused."""
        # By its path a model has the same key in every pod, and after a restart. Given a hash,
        # the server does not read gigabytes from a bucket to make one.
        key = str(uuid5(NAMESPACE_URL, path))
        answer = await self.http.post(
            f"{API}/install",
            params={"source": path, "inplace": "true"},
            json={"key": key, "hash": f"path:{key}"},
        )
        job = answer.body.get("id") if isinstance(answer.body, Mapping) else None
        if answer.ok and isinstance(job, int):
            return job
        self._give_up(path, _said(answer))
        return None

    async def _ended(self, jobs: set[int]) -> dict[int, Mapping[str, Any]]:
        """The jobs that have ended, within the budget."""
        loop = asyncio.get_running_loop()
        deadline = loop.time() + self.budget.total_seconds()
        while True:
            answer = await self.http.get(f"{API}/install")
            shown = answer.body if answer.ok and isinstance(answer.body, list) else []
            ended = {
                one["id"]: one
                for one in map(mapping, shown)
                if isinstance(one.get("id"), int) and text(one.get("status")) in _OVER
            }
            if jobs <= ended.keys() or loop.time() >= deadline:
                return ended
            await asyncio.sleep(self.poll.total_seconds())

    def _record(self, path: str, job: Mapping[str, Any] | None) -> None:
        if path in self._given_up:
            return
        if job is None:
            self._give_up(path, "it takes too long")
        elif job.get("status") != "completed":
            self._give_up(path, str(job.get("error_reason") or job.get("error")))
        else:
            self._registered.add(path)
            made = job.get("config_out")
            if isinstance(made, Mapping) and made.get("type") == _UNKNOWN:
                log.warning("the runtime does not know this kind of model: %s", path)

    def _give_up(self, path: str, reason: str) -> None:
        self._given_up.add(path)
        log.warning("not registered as a model: %s", path, extra={"reason": reason})


def _said(answer: Answer) -> str:
    detail = answer.body.get("detail") if isinstance(answer.body, Mapping) else answer.body
    return str(detail or answer.status)
