"""`ImageRuntime` on Stable Diffusion WebUI and Forge."""

from __future__ import annotations

import asyncio
import base64
import logging
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import timedelta
from http import HTTPStatus
from typing import Any, Final

from contracts.kinds import TaskType
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
from queue_agent.files.body import Body
from queue_agent.inputs.find import find_in_body
from queue_agent.ports import ReleaseEarly, Report, Started, no_one_asks, no_one_waits
from queue_agent.runtimes.http import Answer, RawAnswer, RuntimeHttp, encoded
from queue_agent.runtimes.json_stream import LongString
from queue_agent.runtimes.loading import LoadedModels
from queue_agent.runtimes.port import RuntimeOptions, RuntimeParts
from queue_agent.runtimes.sdwebui.models import (
    Checkpoint,
    CheckpointShelf,
    asked_checkpoint,
    without_routing,
)
from queue_agent.runtimes.sdwebui.progress import State, watch_progress
from queue_agent.task.out_document import SdWebuiOut, read_info
from servicekit.errors import FatalError

log = logging.getLogger(__name__)

INTERRUPT_BUDGET: Final = timedelta(seconds=0.6)  # another agent is to have the task in 1 s
INTERRUPT_PAUSE: Final = timedelta(seconds=0.05)
STATE_BUDGET: Final = timedelta(seconds=2)
MOST_HANGING: Final = timedelta(minutes=15)
API: Final = "/sdapi/v1"
_PATHS: Final = {
    TaskType.TEXT_TO_IMAGE: "txt2img",
    TaskType.IMAGE_TO_IMAGE: "img2img",
    TaskType.EXTRA_SINGLE_IMAGE: "extra-single-image",
    TaskType.EXTRA_BATCH_IMAGES: "extra-batch-images",
}
_IMAGES: Final = ("image", "images")
_GENERATIONS: Final = (TaskType.TEXT_TO_IMAGE, TaskType.IMAGE_TO_IMAGE)


@dataclass(slots=True)
class Known:
    """What earlier calls have shown, so that it need not be asked again before each run."""

    checkpoint: Checkpoint | None = None  # listed, and loaded if that is ours to do
    state: dict[str, Any] | None = None  # of `progress`, after the last run
    hanging: float | None = None  # when a run was interrupted that may go on


@dataclass(frozen=True, slots=True, kw_only=True)
class SdWebuiRuntime:
    """Drives one server; `dynamic` lets it load another checkpoint for a job."""

    http: RuntimeHttp
    dynamic: bool
    poll: timedelta
    silence: timedelta
    loaded: LoadedModels = field(default_factory=LoadedModels)
    known: Known = field(default_factory=Known)

    async def probe(self) -> None:
        with self.loaded.forgetting_if_lost():
            await self._probe()

    async def _probe(self) -> None:
        answer = await self.http.get(f"{API}/memory")
        answer.check_ready()
        if self._may_hang() and (await self._state()).get("job"):
            raise RuntimeHangsError("the runtime goes on with a run that was interrupted")
        self.known.hanging = None

    def _may_hang(self) -> bool:
        # Not for ever: a post-processing that fails leaves its mark at a server that is idle.
        since, now = self.known.hanging, asyncio.get_running_loop().time()
        return since is not None and now - since < MOST_HANGING.total_seconds()

    async def upload(self, name: str, body: Body) -> str:
        raise FatalError("SD WebUI takes its inputs in the body")

    async def encode(self, job: Job) -> Job:
        content = dict(job.content)
        if job.tasktype in _GENERATIONS:
            asked = {"send_images": True, "save_images": False}  # nobody empties its folder
            content = {**without_routing(content), **asked}
        return replace(job, inputs={}, request=await encoded(content, job.inputs))

    async def run(
        self,
        job: Job,
        report: Report,
        release_early: ReleaseEarly = no_one_waits,
        started: Started = no_one_asks,
    ) -> Generated:
        path = _PATHS.get(job.tasktype)
        if path is None:
            raise TaskFailedError(
                f"SD WebUI does not do {job.tasktype}", code="runtime_rejected"
            )
        ready = job if job.request is not None else await self.encode(job)
        started()  # it does not tell whether others are before us
        if job.tasktype not in _GENERATIONS:
            raw = await self._work(path, ready, report)
            await release_early()
            return await _extras(await _read(raw))
        try:
            answer = await self._generate(path, ready, report, release_early)
        except BaseException:
            self.known.checkpoint = None  # whatever went wrong, it may be another by now
            raise
        _warn_of_other_sampler(job, read_info(answer))
        return await _generated(answer)

    def loading(self, job: Job) -> timedelta:
        return self.loaded.loading(_checkpoints(job))

    async def forget(self, leftovers: Leftovers) -> None:
        """Return. It keeps nothing: images are not saved, and inputs are in the request."""

    async def _generate(
        self, path: str, job: Job, report: Report, release_early: ReleaseEarly
    ) -> dict[str, Any]:
        asked = asked_checkpoint(job)
        if asked is None:
            raw = await self._work(path, job, report)
            await release_early()
            return await _read(raw)
        known = self.known.checkpoint
        if known and known.answers_to(asked):
            answer = await _read(await self._work(path, job, report))
            if read_info(answer).get("sd_model_name") in known.run_names:
                await release_early()
                return answer
            # Somebody else has loaded another one.
        checkpoint = await self._provide(asked)
        answer = await _read(await self._work(path, job, report))
        _check_model(checkpoint, read_info(answer), answer)
        self.known.checkpoint = checkpoint
        await release_early()
        return answer

    async def _provide(self, asked: str) -> Checkpoint:
        self.known.checkpoint = None
        shelf = CheckpointShelf(http=self.http, api=API)
        checkpoint = await shelf.find(asked)
        if self.dynamic:
            await shelf.load(checkpoint)
        return checkpoint

    async def _work(self, path: str, job: Job, report: Report) -> RawAnswer:
        before = self.known.state if self.known.state is not None else await self._state()
        self.known.state = None
        try:
            with self.loaded.run(_checkpoints(job)):
                raw = await run_with(
                    self.http.post_raw(f"{API}/{path}", job.request, self._remember_state),
                    self._watch(before, report),
                )
        except asyncio.CancelledError:
            # The answer to an interrupted call is a partial image with status 200. It is never
            # seen, because the call itself was given up above.
            self.known.hanging = asyncio.get_running_loop().time()
            await self._interrupt()
            raise
        self._check_whole(raw)
        return raw

    def _check_whole(self, raw: RawAnswer) -> None:
        # A call that is refused never begins, and leaves the mark of an interrupt before it.
        if raw.status == HTTPStatus.OK and (self.known.state or {}).get("interrupted"):
            raise RunInterruptedError("somebody else interrupted the runtime")

    async def _watch(self, before: State, report: Report) -> None:
        await watch_progress(self._state, before, report, poll=self.poll, lost=self.silence)

    async def _remember_state(self) -> None:
        """Look at the state that a run has left: its mark of an interrupt stays until the next.

        A server that is gone by now did answer.
        """
        with suppress(RuntimeLostError, TimeoutError):
            async with asyncio.timeout(STATE_BUDGET.total_seconds()):
                self.known.state = await self._state()

    async def _state(self) -> dict[str, Any]:
        answer = await self.http.get(f"{API}/progress", {"skip_current_image": "true"})
        state = answer.body.get("state") if isinstance(answer.body, dict) else None
        return state if isinstance(state, dict) else {}

    async def _interrupt(self) -> None:
        """Interrupt until nothing runs: a call that has only just arrived forgets the first."""
        with suppress(RuntimeLostError, TimeoutError):
            async with asyncio.timeout(INTERRUPT_BUDGET.total_seconds()):
                while True:
                    await self.http.post(f"{API}/interrupt")
                    await asyncio.sleep(INTERRUPT_PAUSE.total_seconds())
                    if not (await self._state()).get("job"):
                        self.known.hanging = None
                        return


def sdwebui_parts(http: RuntimeHttp, options: RuntimeOptions) -> RuntimeParts:
    """An SD WebUI is handed one run: an interrupt would hit any."""
    runtime = SdWebuiRuntime(
        http=http,
        dynamic=options.dynamic_model,
        poll=options.poll,
        silence=options.silence,
        loaded=options.loaded,
    )
    return RuntimeParts(runtime=runtime, find_inputs=find_in_body, out=SdWebuiOut())


def _checkpoints(job: Job) -> frozenset[str]:
    """What a job needs in memory; without a name it is the server's own choice."""
    generates = job.tasktype in _GENERATIONS
    return frozenset({asked_checkpoint(job) or ""} if generates else ())


async def _read(raw: RawAnswer) -> dict[str, Any]:
    answer = await raw.decoded(_IMAGES)
    if not answer.ok:
        raise _failure(answer)
    if not isinstance(answer.body, dict):
        raise TaskFailedError("the runtime's answer is not an object", code="runtime_error")
    return answer.body


def _failure(answer: Answer) -> TaskFailedError:
    body = answer.body if isinstance(answer.body, Mapping) else {}
    kind, errors, detail = body.get("error"), body.get("errors"), body.get("detail")
    if isinstance(detail, list):  # pydantic's: never its `input`, which is the client's
        detail = "; ".join(_field_error(one) for one in detail if isinstance(one, Mapping))
    parts = [str(part) for part in (kind, detail or errors) if part]
    message = ": ".join(parts) or f"the runtime answered {answer.status}"
    return answer.failure(message, retryable=kind == "OutOfMemoryError")


def _field_error(one: Mapping[str, Any]) -> str:
    return f"{'.'.join(map(str, one.get('loc', ())))}: {one.get('msg', '')}"


def _check_model(asked: Checkpoint, info: Mapping[str, Any], answer: object) -> None:
    used = info.get("sd_model_name")
    if used not in asked.run_names:
        raise TaskFailedError(
            f"{asked.model_name} was asked for, but the runtime used {used}",
            code="model_mismatch",
            answer={"sd_model_name": used},
        )


def _warn_of_other_sampler(job: Job, info: Mapping[str, Any]) -> None:
    asked = job.content.get("sampler_name")
    used = info.get("sampler_name")
    # Older clients name the schedule with the sampler: "DPM++ 2M Karras".
    if isinstance(asked, str) and isinstance(used, str) and not asked.startswith(used):
        log.warning("the runtime used another sampler", extra={"uid": job.uid, "used": used})


async def _generated(answer: dict[str, Any]) -> Generated:
    images = answer.pop("images", None) or []
    start = read_info(answer).get("index_of_first_image", 0)
    files = await asyncio.to_thread(_decode_all, images[start:])
    return Generated(files=files, answer=answer)


async def _extras(answer: dict[str, Any]) -> Generated:
    single = answer.pop("image", None)
    images = answer.pop("images", None) or ([single] if single else [])
    return Generated(files=await asyncio.to_thread(_decode_all, images), answer=answer)


def _decode_all(images: list[str | LongString]) -> tuple[File, ...]:
    try:
        return tuple(File(body=_decode(image)) for image in images)
    except (TypeError, ValueError) as error:
        raise TaskFailedError(
            "the runtime's images are not base64", code="runtime_error"
        ) from error


def _decode(image: str | LongString) -> Body:
    if isinstance(image, LongString):
        return image.decoded()
    return base64.b64decode(image.partition(",")[2] if image.startswith("data:") else image)
