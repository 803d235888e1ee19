"""`ImageRuntime` on Stable Diffusion WebUI and Forge."""

from __future__ import annotations

import asyncio
import base64
import logging
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import timedelta
from functools import partial
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
from queue_agent.runtimes.forward import forward
from queue_agent.runtimes.http import Answer, RawAnswer, RuntimeHttp, encoded
from queue_agent.runtimes.json_stream import LongString
from queue_agent.runtimes.loading import LoadedModels
from queue_agent.runtimes.memory import CODE as OUT_OF_MEMORY
from queue_agent.runtimes.memory import is_out_of_memory
from queue_agent.runtimes.port import RuntimeOptions, RuntimeParts
from queue_agent.runtimes.sdwebui.checkpoints import Checkpoint
from queue_agent.runtimes.sdwebui.fallbacks import fallbacks
from queue_agent.runtimes.sdwebui.grids import keeps_grids, with_grid
from queue_agent.runtimes.sdwebui.listings import sdwebui_listings
from queue_agent.runtimes.sdwebui.models import (
    CheckpointShelf,
    asked_checkpoint,
    exact,
    in_body,
)
from queue_agent.runtimes.sdwebui.progress import State, watch_progress
from queue_agent.runtimes.shape import items, mapping, probing, text, understood, whole
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
_ECHOED: Final = ("parameters", "detail", "body", "errors")  # the request, or parts of it
_GENERATIONS: Final = (TaskType.TEXT_TO_IMAGE, TaskType.IMAGE_TO_IMAGE)
_ALWAYS: Final = {
    "send_images": True,
    "override_settings_restore_afterwards": True,  # the next task is somebody else's
}


@dataclass(slots=True)
class Known:
    """What earlier calls have shown, so that it need not be asked again before each run."""

    checkpoint: Checkpoint | None = None  # of the last run, and loaded if that is ours to do
    listed: list[Checkpoint] = field(default_factory=list)
    state: State | None = None  # of `progress`, after the last run
    hanging: float | None = None  # when a run was interrupted that may go on


@dataclass(frozen=True, slots=True, kw_only=True)
class SdWebuiRuntime:
    """Drives one server; `dynamic` lets it load another checkpoint for a job.

    One that is not dynamic has its `own`, which it is asked for with each job, whatever
    somebody else has loaded meanwhile.
    """

    http: RuntimeHttp
    dynamic: bool
    poll: timedelta
    silence: timedelta
    own: str = ""  # empty if it is not known
    loaded: LoadedModels = field(default_factory=LoadedModels)
    known: Known = field(default_factory=Known)

    @probing
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

    @understood
    async def encode(self, job: Job) -> Job:
        if job.tasktype not in _GENERATIONS:
            return replace(job, inputs={}, request=await encoded(job.content, job.inputs))
        _check_overrides(mapping(job.content.get("override_settings")))
        name = self._asked(job)
        checkpoint = await self._shelf.find(name) if name else None
        is_ours = self.dynamic or bool(self.own) or any(in_body(job.content))
        content = await exact(job, checkpoint if is_ours else None, self._shelf)
        request = await encoded({**with_grid(content), **_ALWAYS}, job.inputs)
        chosen = checkpoint.name if checkpoint else None
        return replace(job, inputs={}, request=request, checkpoint=chosen)

    @understood
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
            return await _extras(await _read(raw, job))
        try:
            answer = await self._generate(path, ready, report, release_early)
        except BaseException:
            self.known.checkpoint = None  # whatever went wrong, it may be another by now
            self.known.listed.clear()
            raise
        return await _generated(job, answer)

    def loading(self, job: Job) -> timedelta:
        return self.loaded.loading(self._checkpoints(job))

    async def forget(self, leftovers: Leftovers) -> None:
        """Return. It keeps nothing: images are not saved, and inputs are in the request."""

    @property
    def _shelf(self) -> CheckpointShelf:
        return CheckpointShelf(http=self.http, api=API, listed=self.known.listed)

    def _asked(self, job: Job) -> str | None:
        """The checkpoint of a job; of one that is encoded, its title."""
        if job.request is not None:
            return job.checkpoint
        return self.own if self.own and not self.dynamic else asked_checkpoint(job)

    def _checkpoints(self, job: Job) -> frozenset[str]:
        """What a job needs in memory; without a name it is the server's own choice."""
        generates = job.tasktype in _GENERATIONS
        return frozenset({self._asked(job) or ""} if generates else ())

    async def _generate(
        self, path: str, job: Job, report: Report, release_early: ReleaseEarly
    ) -> dict[str, Any]:
        if job.checkpoint is None:
            raw = await self._work(path, job, report)
            await release_early()
            return await _read(raw, job)
        checkpoint = await self._shelf.find(job.checkpoint)
        if checkpoint == self.known.checkpoint:
            answer = await _read(await self._work(path, job, report), job)
            if await self._shelf.made(checkpoint, read_info(answer)):
                await release_early()
                return answer
            # Somebody else has loaded another one.
        self.known.checkpoint = None
        if self.dynamic:
            await self._shelf.load(checkpoint)
        answer = await _read(await self._work(path, job, report), job)
        if not await self._shelf.made(checkpoint, read_info(answer)):
            raise _mismatch(checkpoint, read_info(answer))
        self.known.checkpoint = checkpoint
        await release_early()
        return answer

    async def _work(self, path: str, job: Job, report: Report) -> RawAnswer:
        before = self.known.state if self.known.state is not None else await self._state()
        self.known.state = None
        try:
            with self.loaded.run(self._checkpoints(job)):
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
        await watch_progress(
            self._state, before, forward(report), poll=self.poll, lost=self.silence
        )

    async def _remember_state(self) -> None:
        """Look at the state that a run has left: its mark of an interrupt stays until the next.

        A server that is gone by now did answer.
        """
        with suppress(RuntimeLostError, TaskFailedError, TimeoutError):
            async with asyncio.timeout(STATE_BUDGET.total_seconds()):
                self.known.state = await self._state()

    async def _state(self) -> State:
        answer = await self.http.get(f"{API}/progress", {"skip_current_image": "true"})
        return mapping(mapping(answer.body).get("state"))

    async def _interrupt(self) -> None:
        """Interrupt until nothing runs: a call that has only just arrived forgets the first."""
        with suppress(RuntimeLostError, TaskFailedError, TimeoutError):
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
        own=options.own_model,
        poll=options.poll,
        silence=options.silence,
        loaded=options.loaded,
    )
    return RuntimeParts(
        runtime=runtime,
        find_inputs=find_in_body,
        out=SdWebuiOut(),
        listings=partial(sdwebui_listings, http, API),
    )


async def _read(raw: RawAnswer, job: Job) -> dict[str, Any]:
    answer = await raw.decoded(_IMAGES, _ECHOED)
    if not answer.ok:
        raise _failure(answer, mapping(job.content.get("override_settings")))
    if not isinstance(answer.body, dict):
        raise TaskFailedError("the runtime's answer is not an object", code="runtime_error")
    return answer.body


def _check_overrides(settings: Mapping[str, Any]) -> None:
    for name in settings:
        # With `api_enable_requests` a script of the server fetches URLs by itself.
        if name.startswith("api_"):
            raise TaskFailedError(
                f"override_settings.{name} is not for a task to set", code="runtime_rejected"
            )


def _failure(answer: Answer, overrides: Mapping[str, Any]) -> TaskFailedError:
    body = mapping(answer.body)
    kind, errors, detail = body.get("error"), body.get("errors"), body.get("detail")
    if isinstance(detail, list):  # pydantic's: never its `input`, which is the client's
        detail = "; ".join(_field_error(mapping(one)) for one in detail)
    parts = [str(part) for part in (kind, detail or errors) if part]
    message = ": ".join(parts) or f"the runtime answered {answer.status}"
    if answer.status >= HTTPStatus.INTERNAL_SERVER_ERROR and is_out_of_memory(*parts):
        return TaskFailedError(message, code=OUT_OF_MEMORY, retryable=True, answer=answer.body)
    if kind == "KeyError" and text(errors).strip("'\"") in overrides:
        message = f"the runtime has no option {errors}, of override_settings"
        return TaskFailedError(message, code="runtime_rejected", answer=answer.body)
    return answer.failure(message)


def _field_error(one: Mapping[str, Any]) -> str:
    return f"{'.'.join(map(str, items(one.get('loc'))))}: {one.get('msg', '')}"


def _mismatch(asked: Checkpoint, info: Mapping[str, Any]) -> TaskFailedError:
    used = {key: info.get(key) for key in ("sd_model_name", "sd_model_hash")}
    return TaskFailedError(
        f"'{asked.title}' was asked for, but the runtime used "
        f"{used['sd_model_name']} [{used['sd_model_hash']}]",
        code="model_mismatch",
        answer=used,
    )


async def _generated(job: Job, answer: dict[str, Any]) -> Generated:
    images = _list_of_images(answer.pop("images", None))
    grids = max(0, whole(read_info(answer).get("index_of_first_image")))
    kept = keeps_grids(job.content) or grids >= len(images)
    files = await asyncio.to_thread(_decode_all, images[grids:])
    if kept:
        decoded = await asyncio.to_thread(_decode_all, images[:grids])
        files += tuple(replace(grid, is_grid=True) for grid in decoded)
    warnings = fallbacks(job.content, read_info(answer))
    for warning in warnings:
        log.warning(warning, extra={"uid": job.uid})
    return Generated(files=files, answer=answer, warnings=warnings)


async def _extras(answer: dict[str, Any]) -> Generated:
    single = answer.pop("image", None)
    images = _list_of_images(answer.pop("images", None)) or ([single] if single else [])
    return Generated(files=await asyncio.to_thread(_decode_all, images), answer=answer)


def _list_of_images(value: object) -> list[Any]:
    if value is not None and not isinstance(value, list):
        raise _no_images("not a list")
    return value or []


def _decode_all(images: list[Any]) -> tuple[File, ...]:
    if not all(isinstance(image, str | LongString) for image in images):
        raise _no_images("not all text")
    try:
        return tuple(File(body=_decode(image)) for image in images)
    except ValueError as error:
        raise _no_images("not base64") from error


def _no_images(reason: str) -> TaskFailedError:
    return TaskFailedError(f"the runtime's images are {reason}", code="runtime_error")


def _decode(image: str | LongString) -> Body:
    if isinstance(image, LongString):
        return image.decoded()
    return base64.b64decode(image.partition(",")[2] if image.startswith("data:") else image)
