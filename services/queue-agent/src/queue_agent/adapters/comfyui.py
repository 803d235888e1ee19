"""`ImageRuntime` on ComfyUI."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Final

import aiohttp

from contracts.kinds import TaskType
from queue_agent.adapters.comfyui_answers import (
    FileRef,
    check_ending,
    has_text,
    partial_refusal,
    refusal,
    results,
)
from queue_agent.adapters.comfyui_watch import Follower
from queue_agent.adapters.runtime_http import Answer, RuntimeHttp
from queue_agent.domain import File, Generated, Job, RuntimeLostError, TaskFailedError
from queue_agent.inputs import is_wrapped
from queue_agent.ports import Report

CANCEL_BUDGET: Final = timedelta(seconds=3)


@dataclass(frozen=True, slots=True, kw_only=True)
class ComfyUiRuntime:
    """Drives one server; each attempt is one prompt under an id of ours."""

    http: RuntimeHttp
    poll: timedelta
    silence: timedelta

    async def probe(self) -> None:
        answer = await self.http.get("/system_stats")
        if not answer.ok:
            raise RuntimeLostError("the runtime is not ready", status=answer.status)

    async def upload(self, name: str, body: bytes) -> str:
        form = aiohttp.FormData()
        form.add_field("image", body, filename=name, content_type="application/octet-stream")
        answer = await self.http.post("/upload/image", form=form)
        if not answer.ok or not isinstance(answer.body, dict) or "name" not in answer.body:
            raise answer.failure("the runtime did not take an input image")
        # Not the name that was asked for: an existing file gets another one.
        taken, folder = str(answer.body["name"]), answer.body.get("subfolder")
        return f"{folder}/{taken}" if folder else taken

    async def run(self, job: Job, report: Report) -> Generated:
        if job.tasktype is not TaskType.PIPELINE:
            raise TaskFailedError(
                f"ComfyUI does not do {job.tasktype}", code="runtime_rejected"
            )
        prompt_id = f"{job.uid}-{job.attempt}"
        try:
            await self._drop_others_of(job.uid, prompt_id)
            await self._submit(job, prompt_id)
            entry = await self._follower.follow(prompt_id, prompt_id, report)
        except asyncio.CancelledError:
            with suppress(RuntimeLostError, TimeoutError):
                async with asyncio.timeout(CANCEL_BUDGET.total_seconds()):
                    await self._drop(prompt_id)
            raise
        check_ending(entry)
        outputs = entry.get("outputs") or {}
        # At once, by name: the next prompt may write over them.
        files = [await self._file(ref) for ref in results(outputs)]
        answer = {"prompt_id": prompt_id, "outputs": outputs, "status": entry["status"]}
        return Generated(files=tuple(files), answer=answer, has_text=has_text(outputs))

    @property
    def _follower(self) -> Follower:
        return Follower(http=self.http, poll=self.poll, silence=self.silence)

    async def _submit(self, job: Job, prompt_id: str) -> None:
        if await self._follower.knows(prompt_id):
            return
        try:
            answer = await self.http.post("/prompt", json=_body(job, prompt_id))
        except RuntimeLostError:
            # The prompt may have arrived although its answer did not: never queue it twice.
            if await self._follower.knows(prompt_id):
                return
            raise
        if not answer.ok:
            raise refusal(answer)
        await self._check_whole(answer, prompt_id)

    async def _check_whole(self, answer: Answer, prompt_id: str) -> None:
        if isinstance(answer.body, dict) and answer.body.get("node_errors"):
            await self._drop(prompt_id)
            raise partial_refusal(answer)

    async def _drop_others_of(self, uid: str, prompt_id: str) -> None:
        """Drop what an agent that died has left here of the same task."""
        running, waiting = await self._follower.queued()
        for other in running | waiting:
            if other.startswith(f"{uid}-") and other != prompt_id:
                await self._drop(other)

    async def _drop(self, prompt_id: str) -> None:
        await self.http.post("/queue", json={"delete": [prompt_id]})
        running, _ = await self._follower.queued()
        # An interrupt hits whatever runs, so it is only sent when that is ours.
        if prompt_id in running:
            await self.http.post("/interrupt", json={"prompt_id": prompt_id})

    async def _file(self, ref: FileRef) -> File:
        body = await self.http.get_bytes("/view", ref.as_query())
        if body is None:
            raise TaskFailedError(
                f"the runtime has no file {ref.filename}", code="runtime_error", retryable=True
            )
        return File(body=body, name=ref.filename)


def _body(job: Job, prompt_id: str) -> dict[str, Any]:
    content = dict(job.content)
    body = content if is_wrapped(content) else {"prompt": content}
    return {**body, "prompt_id": prompt_id, "client_id": prompt_id}
