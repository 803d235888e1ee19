"""`ImageRuntime` on InvokeAI."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import Any, Final

import aiohttp

from contracts.kinds import TaskType
from queue_agent.domain import (
    File,
    Generated,
    Job,
    Leftovers,
    RuntimeLostError,
    RuntimeSilentError,
    TaskFailedError,
)
from queue_agent.files.body import Body, open_body
from queue_agent.files.types import file_type
from queue_agent.inputs.find import find_in_nodes
from queue_agent.ports import ReleaseEarly, Report, Started, no_one_asks, no_one_waits
from queue_agent.runtimes.http import RuntimeHttp, encoded
from queue_agent.runtimes.invokeai.answers import ENDS, PENDING, Item, is_image_name, refusal
from queue_agent.runtimes.invokeai.graph import references, without_reuse
from queue_agent.runtimes.invokeai.models import ModelLibrary
from queue_agent.runtimes.loading import LoadedModels
from queue_agent.runtimes.port import RuntimeOptions, RuntimeParts, no_listings
from queue_agent.runtimes.shape import items, mapping, probing, understood, whole
from queue_agent.runtimes.turn import Turn
from queue_agent.task.out_document import ComfyUiOut

API: Final = "/api/v1"
QUEUE: Final = f"{API}/queue/default"
ORIGIN: Final = "darkroom"
FIRST_LOOK: Final = timedelta(seconds=0.1)  # an idle server has begun by then
CANCEL_BUDGET: Final = timedelta(seconds=3)
DELETED_AT_ONCE: Final = 1000  # the server takes no more
_CREATED: Final = 201
_UPLOAD: Final = f"{API}/images/upload?image_category=user&is_intermediate=true"


@dataclass(frozen=True, slots=True, kw_only=True)
class InvokeAiRuntime:
    """Drives one server; each attempt is one queue item under a destination of ours."""

    http: RuntimeHttp
    poll: timedelta
    silence: timedelta
    models: ModelLibrary
    loaded: LoadedModels = field(default_factory=LoadedModels)

    @probing
    async def probe(self) -> None:
        with self.loaded.forgetting_if_lost():
            answer = await self.http.get(f"{API}/app/version")
            answer.check_ready()
            await self.models.ensure_registered()

    @understood
    async def upload(self, name: str, body: Body) -> str:
        kind = file_type(body).content_type  # the server takes images only
        with open_body(body) as image:
            form = aiohttp.FormData()
            form.add_field("file", image, filename=name, content_type=kind)
            answer = await self.http.post(_UPLOAD, form=form)
        taken = mapping(answer.body).get("image_name")
        if answer.status != _CREATED or not is_image_name(taken):
            raise answer.failure("the runtime did not take an input image")
        return str(taken)

    @understood
    async def encode(self, job: Job) -> Job:
        destination = _destination(job)
        batch = _batch(job.content, destination)
        if isinstance(batch.get("graph"), Mapping):
            graph = await self.models.resolved(batch["graph"])
            batch = {**batch, "graph": without_reuse(graph)}
        body = {"batch": batch, "prepend": False}
        return replace(job, inputs={}, request=await encoded(body, job.inputs))

    def loading(self, job: Job) -> timedelta:
        return self.loaded.loading(_models(job))

    @understood
    async def run(
        self,
        job: Job,
        report: Report,
        release_early: ReleaseEarly = no_one_waits,
        started: Started = no_one_asks,
    ) -> Generated:
        if job.tasktype is not TaskType.PIPELINE:
            raise TaskFailedError(
                f"InvokeAI does not do {job.tasktype}", code="runtime_rejected"
            )
        destination = _destination(job)
        try:
            # What an agent that died has left here of the same task.
            for earlier in range(1, job.attempt):
                await self._cancel(f"{job.uid}-{earlier}")
            queued = await self._enqueued(job, destination)
            with self.loaded.run(_models(job)):
                item = await self._follow(queued, report, started)
                item.check_ending()
        except asyncio.CancelledError:
            with suppress(RuntimeLostError, TaskFailedError, TimeoutError):
                async with asyncio.timeout(CANCEL_BUDGET.total_seconds()):
                    await self._cancel(destination)
            raise
        await release_early()
        files = [await self._file(name) for name in item.image_names()]
        return Generated(files=tuple(files), answer=_answer(item), has_text=item.has_values())

    @understood
    async def forget(self, leftovers: Leftovers) -> None:
        item = await self._find(f"{leftovers.uid}-{leftovers.attempt}")
        names = [*leftovers.uploads, *(item.made() if item else ())]
        for start in range(0, len(names), DELETED_AT_ONCE):
            part = {"image_names": names[start : start + DELETED_AT_ONCE]}
            answer = await self.http.post(f"{API}/images/delete", json=part)
            if not answer.ok:
                raise answer.failure("the runtime did not delete the images of a task")
        if item is not None:
            await self.http.delete(f"{QUEUE}/i/{item.item_id}")  # names the images: last

    async def _enqueued(self, job: Job, destination: str) -> Item:
        """The item of this attempt, which is queued once however often this is called."""
        found = await self._find(destination)
        if found is not None:
            return found
        ready = job if job.request is not None else await self.encode(job)
        try:
            answer = await self.http.post(f"{QUEUE}/enqueue_batch", body=ready.request)
        except RuntimeLostError:
            # The batch may have arrived although its answer did not: never queue it twice.
            found = await self._find(destination)
            if found is not None:
                return found
            raise
        if not answer.ok:
            raise refusal(answer)
        ids = [whole(one) for one in items(mapping(answer.body).get("item_ids"))]
        queued = await self._item(ids[0]) if ids else await self._find(destination)
        if queued is None:
            raise RuntimeLostError("the runtime does not know what it has just taken")
        return queued

    async def _find(self, destination: str) -> Item | None:
        answer = await self.http.get(f"{QUEUE}/list_all", {"destination": destination})
        shown = answer.body if answer.ok and isinstance(answer.body, list) else []
        items = [item for item in map(Item.read, shown) if item is not None]
        # A server that does not know the filter lists everything.
        ours = [item for item in items if item.destination == destination]
        return ours[-1] if ours else None

    async def _item(self, item_id: int) -> Item | None:
        answer = await self.http.get(f"{QUEUE}/i/{item_id}")
        return Item.read(answer.body) if answer.ok else None

    async def _follow(self, item: Item, report: Report, started: Started) -> Item:
        turn = Turn(started)
        with turn.judged_if_lost():
            ended = await self._ended(item, report, turn)
        turn.begun()
        return ended

    async def _ended(self, item: Item, report: Report, turn: Turn) -> Item:
        loop = asyncio.get_running_loop()
        heard, silence = loop.time(), self.silence.total_seconds()
        pause = min(FIRST_LOOK, self.poll)
        while item.status not in ENDS:
            if progress := item.progress():
                report(progress)
            await asyncio.sleep(pause.total_seconds())
            pause = min(2 * pause, self.poll)
            try:
                async with asyncio.timeout(silence):
                    newer = await self._item(item.item_id)
            except (RuntimeSilentError, TimeoutError):
                if loop.time() - heard >= silence:
                    raise RuntimeLostError("the runtime fell silent") from None
                continue
            if newer is None:
                raise RuntimeLostError("the runtime has forgotten the item")
            item, heard = newer, loop.time()
            if item.status == PENDING:  # not at first: an idle server takes a moment, too
                turn.waits()
            else:
                turn.begun()
        return item

    async def _cancel(self, destination: str) -> None:
        item = await self._find(destination)
        if item is not None and item.status not in ENDS:
            await self.http.put(f"{QUEUE}/i/{item.item_id}/cancel")

    async def _file(self, name: str) -> File:
        body = await self.http.get_file(f"{API}/images/i/{name}/full", {})
        if body is None:
            raise TaskFailedError(
                f"the runtime has no image {name}", code="runtime_error", retryable=True
            )
        return File(body=body, name=name, ref=(name,))


def invokeai_parts(http: RuntimeHttp, options: RuntimeOptions) -> RuntimeParts:
    """An InvokeAI knows the models of a folder; its `.out` has the form of ComfyUI's.

    It has a queue of its own, where the next item waits while one runs.
    """
    runtime = InvokeAiRuntime(
        http=http,
        poll=options.poll,
        silence=options.silence,
        models=ModelLibrary(http=http, folder=options.models_folder, poll=options.poll),
        loaded=options.loaded,
    )
    return RuntimeParts(
        runtime=runtime,
        find_inputs=find_in_nodes,
        out=ComfyUiOut(),
        listings=no_listings,
        width=2,
    )


def _destination(job: Job) -> str:
    return f"{job.uid}-{job.attempt}"


def _batch(content: Mapping[str, Any], destination: str) -> dict[str, Any]:
    batch = _given_batch(content)
    if batch.get("data"):
        raise TaskFailedError("a batch with data is many tasks", code="runtime_rejected")
    # One task is one item: more of them are more tasks.
    return {**batch, "runs": 1, "origin": ORIGIN, "destination": destination}


def _given_batch(content: Mapping[str, Any]) -> dict[str, Any]:
    given = content.get("batch")
    if isinstance(given, Mapping):
        return dict(given)
    graph = content.get("graph")
    return {"graph": dict(graph) if isinstance(graph, Mapping) else dict(content)}


def _models(job: Job) -> frozenset[str]:
    """The models that a graph needs in memory."""
    graph = _given_batch(job.content).get("graph")
    return frozenset(map(str, references(graph) if isinstance(graph, Mapping) else ()))


def _answer(item: Item) -> dict[str, Any]:
    return {
        "prompt_id": str(item.item_id),
        "outputs": item.outputs(),
        "status": {"status_str": "success", "completed": True, "messages": item.messages()},
    }
