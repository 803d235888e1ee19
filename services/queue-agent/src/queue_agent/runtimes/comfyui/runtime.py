"""`ImageRuntime` on ComfyUI."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import astuple, dataclass, field, replace
from datetime import timedelta
from functools import partial
from itertools import chain
from typing import Any, Final

import aiohttp

from contracts.kinds import TaskType
from modelfiles.formats import BY_RUNTIME
from queue_agent.concurrency import run_with
from queue_agent.domain import (
    File,
    Generated,
    Job,
    Leftovers,
    RunInterruptedError,
    RuntimeHangsError,
    RuntimeLostError,
    TaskFailedError,
)
from queue_agent.files.body import Body, open_body
from queue_agent.inputs.find import is_wrapped
from queue_agent.ports import ReleaseEarly, Report, Started, no_one_asks, no_one_waits
from queue_agent.runtimes.comfyui.answers import (
    FileRef,
    check_ending,
    from_cache,
    has_text,
    partial_refusal,
    refusal,
    results,
    why_nothing,
)
from queue_agent.runtimes.comfyui.follow import END_WITHIN, Follower, Signs
from queue_agent.runtimes.comfyui.listings import comfyui_listings
from queue_agent.runtimes.comfyui.node_definitions import NodeDefinitions
from queue_agent.runtimes.comfyui.progress import GraphProgress
from queue_agent.runtimes.comfyui.prompt_ids import earlier_prompts, prompt_id_of
from queue_agent.runtimes.comfyui.sent_images import SentImages
from queue_agent.runtimes.forward import forward
from queue_agent.runtimes.http import Answer, RuntimeHttp, encoded
from queue_agent.runtimes.loading import LoadedModels
from queue_agent.runtimes.port import RuntimeOptions, RuntimeParts
from queue_agent.runtimes.shape import mapping, probing, text, understood
from queue_agent.task.out_document import ComfyUiOut

UPLOAD_BUDGET: Final = timedelta(minutes=2)  # videos
CANCEL_BUDGET: Final = timedelta(seconds=0.6)  # another agent is to have the task in 1 s


@dataclass(frozen=True, slots=True, kw_only=True)
class ComfyUiRuntime:
    """Drives one server; each attempt is one prompt under an id of ours."""

    http: RuntimeHttp
    poll: timedelta
    silence: timedelta
    loaded: LoadedModels = field(default_factory=LoadedModels)
    hanging: set[str] = field(default_factory=set)  # prompts that were interrupted
    nodes: NodeDefinitions = field(default_factory=NodeDefinitions)
    _order: asyncio.Lock = field(default_factory=asyncio.Lock)

    @probing
    async def probe(self) -> None:
        with self.nodes.forgotten_if_lost(), self.loaded.forgetting_if_lost():
            await self._probe()

    async def _probe(self) -> None:
        answer = await self.http.get("/system_stats")
        answer.check_ready()
        await self.nodes.look(self.http)
        if self.hanging:
            running, _ = await self._follower.queued()
            if running & self.hanging:
                raise RuntimeHangsError(
                    "the runtime goes on with a prompt that was interrupted"
                )
            self.hanging.clear()

    @understood
    async def upload(self, name: str, body: Body) -> str:
        with open_body(body) as image:
            form = aiohttp.FormData()
            kind = "application/octet-stream"
            within, _, base = name.rpartition("/")
            form.add_field("image", image, filename=base, content_type=kind)  # of any kind
            if within:
                form.add_field("subfolder", within)
            answer = await self.http.post("/upload/image", form=form, budget=UPLOAD_BUDGET)
        # Not the name that was asked for: an existing file gets another one.
        said = mapping(answer.body)
        taken, folder = text(said.get("name")), text(said.get("subfolder"))
        if not answer.ok or not taken:
            raise answer.failure("the runtime did not take an input")
        return f"{folder}/{taken}" if folder else taken

    @understood
    async def encode(self, job: Job) -> Job:
        body = _body(job, prompt_id_of(job.uid, job.attempt))
        return replace(job, inputs={}, request=await encoded(body, job.inputs))

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
                f"ComfyUI does not do {job.tasktype}", code="runtime_rejected"
            )
        prompt_id, graph = prompt_id_of(job.uid, job.attempt), _graph(job)
        sent = SentImages(graph if job.keep_previews else {}, self.http.answer_bytes)
        signs = Signs(GraphProgress.of(graph), started, sent)
        try:
            listening = self._follower.listen(prompt_id, forward(report), signs)
            entry = await run_with(self._done(job, prompt_id, signs), listening)
        except asyncio.CancelledError:
            self.hanging.add(prompt_id)
            with suppress(RuntimeLostError, TaskFailedError, TimeoutError):
                async with asyncio.timeout(CANCEL_BUDGET.total_seconds()):
                    await self._drop(prompt_id)
            raise
        await release_early()
        outputs = mapping(entry.get("outputs"))
        # At once, by name: the next prompt may write over them.
        files = await self._files(entry, job)
        return Generated(
            files=(*files, *chain.from_iterable(sent.files.values())),
            answer={
                "prompt_id": prompt_id,
                "outputs": sent.shown_in(outputs),
                "status": entry.get("status"),
            },
            has_text=has_text(outputs),
            why_nothing=why_nothing(outputs, graph, keep_previews=job.keep_previews),
        )

    async def _done(self, job: Job, prompt_id: str, signs: Signs) -> dict[str, Any]:
        """The history entry of a prompt that went well, from its submission on."""
        await signs.sent.ready(self.silence)
        async with self._order:  # prompts run in the order in which they are queued
            await signs.open()
            signs.submitted = True
            if not await self._has_taken(job, prompt_id):
                await self._submit(job, prompt_id)
        with self.loaded.run(_model_files(job)):
            entry = await self._follower.ended(prompt_id, signs)
            check_ending(entry)
        await signs.sent.complete(END_WITHIN)
        return entry

    def loading(self, job: Job) -> timedelta:
        return self.loaded.loading(_model_files(job))

    @understood
    async def forget(self, leftovers: Leftovers) -> None:
        """Have its graph forgotten; a server cannot be asked to delete its files."""
        done = prompt_id_of(leftovers.uid, leftovers.attempt)
        await self.http.post("/history", json={"delete": [done]})

    @property
    def _follower(self) -> Follower:
        return Follower(http=self.http, poll=self.poll, silence=self.silence)

    async def _submit(self, job: Job, prompt_id: str) -> None:
        ready = job if job.request is not None else await self.encode(job)
        try:
            answer = await self.http.post("/prompt", body=ready.request)
        except RuntimeLostError:
            # The prompt may have arrived although its answer did not: never queue it twice.
            if await self._follower.knows(prompt_id):
                return
            raise
        if not answer.ok:
            raise refusal(answer, _graph(job))
        await self._check_whole(answer, prompt_id)

    async def _check_whole(self, answer: Answer, prompt_id: str) -> None:
        body = mapping(answer.body)
        taken_as = str(body.get("prompt_id", prompt_id))
        if taken_as != prompt_id:
            await self._drop(taken_as)
            raise TaskFailedError(
                "this ComfyUI is too old: it does not take the id of a prompt",
                code="runtime_error",
            )
        if body.get("node_errors"):
            await self._drop(prompt_id)
            raise partial_refusal(answer)

    async def _has_taken(self, job: Job, prompt_id: str) -> bool:
        """Whether it is here already; earlier attempts that a dead agent left are dropped."""
        running, waiting = await self._follower.queued()
        for other in earlier_prompts(job.uid, job.attempt) & (running | waiting):
            await self._drop(other)
        return prompt_id in running | waiting or bool(await self._follower.entry(prompt_id))

    async def _drop(self, prompt_id: str) -> None:
        await self.http.post("/queue", json={"delete": [prompt_id]})
        running, _ = await self._follower.queued()
        # An interrupt hits whatever runs, so it is only sent when that is ours.
        if prompt_id in running:
            await self.http.post("/interrupt", json={"prompt_id": prompt_id})

    async def _files(self, entry: Mapping[str, Any], job: Job) -> list[File]:
        outputs = mapping(entry.get("outputs"))
        refs = results(outputs, keep_previews=job.keep_previews)
        return [await self._file(ref, entry) for ref in refs]

    async def _file(self, ref: FileRef, entry: Mapping[str, Any]) -> File:
        body = await self.http.get_file("/view", ref.as_query())
        if body is not None:
            return File(body=body, name=ref.filename, ref=astuple(ref))
        if from_cache(entry):
            # Of an earlier prompt, and removed meanwhile; ComfyUI would name it for ever.
            await self.http.post("/free", json={"free_memory": True})
            raise RunInterruptedError(f"the cached file {ref.filename} is no more")
        raise TaskFailedError(
            f"the runtime has no file {ref.filename}", code="runtime_error", retryable=True
        )


def comfyui_parts(http: RuntimeHttp, options: RuntimeOptions) -> RuntimeParts:
    """A ComfyUI has a queue of its own: the next prompt waits there while one runs."""
    runtime = ComfyUiRuntime(
        http=http,
        poll=options.poll,
        silence=options.silence,
        loaded=options.loaded,
    )
    return RuntimeParts(
        runtime=runtime,
        find_inputs=runtime.nodes.find_inputs,
        out=ComfyUiOut(),
        listings=partial(comfyui_listings, http),
        width=2,
    )


def _model_files(job: Job) -> frozenset[str]:
    """The files of models that the nodes of a graph name."""
    nodes = [mapping(mapping(node).get("inputs")) for node in _graph(job).values()]
    values = [value for one in nodes for value in one.values()]
    return frozenset(
        one for one in values if isinstance(one, str) and one.endswith(BY_RUNTIME["comfyui"])
    )


def _graph(job: Job) -> Mapping[str, Any]:
    content = job.content
    return mapping(content["prompt"]) if is_wrapped(content) else content


def _body(job: Job, prompt_id: str) -> dict[str, Any]:
    content = dict(job.content)
    body = content if is_wrapped(content) else {"prompt": content}
    return {**body, "prompt_id": prompt_id, "client_id": prompt_id}
