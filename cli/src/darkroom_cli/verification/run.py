"""Images asked for as a client asks, their callbacks heard, and looked at."""

from __future__ import annotations

import asyncio
import contextlib
import json
import time
from collections.abc import AsyncIterator, Callable, Coroutine, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TypeVar

from awsio import clients
from awsio.errors import translated
from contracts.ids import new_uid
from darkroom_cli.api import Api, UnreadyError
from darkroom_cli.errors import CommandError
from darkroom_cli.objects import keep, read_object, remove_object
from darkroom_cli.pictures import check_shown, decoded
from darkroom_cli.verification.requests import Asked, requests_of
from provisioning.resources import topic_listener

if TYPE_CHECKING:
    from types_aiobotocore_sqs import SQSClient

T = TypeVar("T")

UNREADY_SECONDS: Final = 5
HEAR_SECONDS: Final = 10
TELL_SECONDS: Final = 60
END_SECONDS: Final = 30  # for a task that is taken back


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What is looked at, and how."""

    result_topic_arn: str
    runtimes: Sequence[str]  # empty: all that the stack has
    size: int
    checkpoint: str
    image: str | None
    open_seconds: float
    wait_seconds: float
    folder: Path | None  # where the images are written
    keep: bool  # whether the images stay in their bucket
    tags: Mapping[str, str]  # of the queue that hears the topic

    @property
    def queue_name(self) -> str:
        """A new name for that queue; it begins as the topic does."""
        topic = self.result_topic_arn.rpartition(":")[2].removesuffix("-results")
        return f"{topic[:40]}-verify-{new_uid().lower()}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """One image that is as it should be."""

    id: str
    url: str
    width: int
    height: int
    seconds: float  # from the beginning until its callback


@dataclass(slots=True)
class Report:
    """What was made, and a sentence for each thing that went wrong."""

    images: list[Seen] = field(default_factory=list)
    failures: list[str] = field(default_factory=list)


async def verify(api: Api, plan: Plan, tell: Callable[[str], None]) -> Report:
    """Have every runtime make images and look at them; nothing of it is left at the end.

    Raises `CommandError` if the runtimes cannot be listed, and our errors of AWS.
    """
    work = _Verification(api, plan, tell)
    asked = await work.requests()
    tell(f"listening to {plan.result_topic_arn}")
    async with (
        topic_listener(plan.result_topic_arn, plan.queue_name, plan.tags) as queue_url,
        work.cleaned(),
    ):
        await work.submit(asked)
        await work.hear(queue_url)
    return work.report


class _Verification:
    def __init__(self, api: Api, plan: Plan, tell: Callable[[str], None]) -> None:
        self.report = Report()
        self._api, self._plan, self._tell = api, plan, tell
        self._begun = time.monotonic()
        self._waiting: dict[str, Asked] = {}  # by uid
        self._made: list[str] = []  # URLs of objects

    async def requests(self) -> list[Asked]:
        """Every task that is asked for."""
        listed = await self._patiently(self._api.runtimes)
        plan, known = self._plan, {each["name"]: each for each in listed}
        asked: list[Asked] = []
        for name in [name.lower() for name in plan.runtimes] or known:
            if name in known:
                asked += requests_of(
                    known[name], size=plan.size, checkpoint=plan.checkpoint, image=plan.image
                )
            else:
                self.report.failures.append(
                    f"there is no runtime '{name}'; there are: {', '.join(known)}"
                )
        return asked

    async def submit(self, asked: Sequence[Asked]) -> None:
        """Hand everything in, each task once, however often it is sent."""
        for each in asked:
            send = partial(self._api.post, each.body(), idempotency_key=new_uid())
            try:
                answer = await self._patiently(send)
            except CommandError as error:
                self.report.failures.append(f"{each.id} was refused: {error}")
            else:
                self._waiting[answer["uid"]] = each
                self._tell(f"{each.id}: uid {answer['uid']}")

    async def hear(self, queue_url: str) -> None:
        """Look at what each callback names, until all have come or it takes too long."""
        told = self._seconds
        async with clients.sqs() as sqs:
            while self._waiting and self._seconds < self._plan.wait_seconds:
                if self._seconds - told >= TELL_SECONDS:
                    told = self._seconds
                    names = ", ".join(sorted(each.id for each in self._waiting.values()))
                    self._tell(f"after {told:.0f} s: waiting for {names}")
                left = self._plan.wait_seconds - self._seconds
                for callback in await _receive(
                    sqs, queue_url, min(HEAR_SECONDS, int(left) + 1)
                ):
                    if asked := self._waiting.pop(callback.get("uid", ""), None):
                        await self._look(asked, callback)
        for uid, asked in self._waiting.items():
            self.report.failures.append(
                f"{asked.id}: no callback in {self._plan.wait_seconds:.0f} s;"
                f" its task is {await self._state(uid)}"
            )

    @asynccontextmanager
    async def cleaned(self) -> AsyncIterator[None]:
        """Leave no task and, unless they are to stay, no objects behind the block."""
        try:
            yield
        finally:
            for uid in self._waiting:
                with contextlib.suppress(CommandError, TimeoutError):
                    await self._take_back(uid)
            if not self._plan.keep:
                for url in self._made:
                    await remove_object(url)

    async def _take_back(self, uid: str) -> None:
        """Have a task end now; its end stores a file."""
        async with asyncio.timeout(END_SECONDS):
            with contextlib.suppress(CommandError):  # it has ended meanwhile
                await self._api.cancel(uid)
            self._made += _files(await self._api.finished(uid))

    async def _look(self, asked: Asked, callback: Mapping[str, Any]) -> None:
        seconds = round(self._seconds, 1)
        urls: list[str] = callback.get("image_url") or []
        self._made += _files(callback)
        self._tell(f"{asked.id}: {callback.get('status')} after {seconds} s")
        if callback.get("result") is not True:
            error = callback.get("error") or {}
            why = f"{error.get('code')}: {error.get('message')}"
            self.report.failures.append(f"{asked.id} ended as {callback.get('status')}: {why}")
        elif not urls:
            self.report.failures.append(f"{asked.id} has no images")
        for url in urls:
            try:
                self.report.images.append(await self._seen(asked, url, seconds))
            except CommandError as error:
                self.report.failures.append(f"{asked.id}: {url} {error}")

    async def _seen(self, asked: Asked, url: str, seconds: float) -> Seen:
        content = await read_object(url)
        if self._plan.folder is not None:
            await keep(content, self._plan.folder / url.rpartition("/")[2])
        image = await asyncio.to_thread(decoded, content)
        check_shown(image, asked.size)
        return Seen(
            id=asked.id, url=url, width=image.width, height=image.height, seconds=seconds
        )

    async def _state(self, uid: str) -> str:
        try:
            return str((await self._api.task(uid))["state"])
        except CommandError as error:
            return f"not known: {error}"

    async def _patiently(self, call: Callable[[], Coroutine[Any, Any, T]]) -> T:
        """What a call gives; it is made again as long as the stack may still become ready."""
        while True:
            try:
                return await call()
            except UnreadyError as error:
                if self._seconds >= self._plan.open_seconds:
                    raise
                self._tell(f"not ready yet: {error}")
            await asyncio.sleep(UNREADY_SECONDS)

    @property
    def _seconds(self) -> float:
        return time.monotonic() - self._begun


def _files(ended: Mapping[str, Any]) -> list[str]:
    """The URLs of what a task has stored, by its record or its callback."""
    urls = (*(ended.get("image_url") or ()), ended.get("output_url"))
    return [url for url in urls if url]


async def _receive(sqs: SQSClient, queue_url: str, seconds: int) -> list[dict[str, Any]]:
    with translated("sqs.receive_message"):
        answer = await sqs.receive_message(
            QueueUrl=queue_url, WaitTimeSeconds=seconds, MaxNumberOfMessages=10
        )
        messages = answer.get("Messages", [])
        for message in messages:
            await sqs.delete_message(QueueUrl=queue_url, ReceiptHandle=message["ReceiptHandle"])
    return [json.loads(message["Body"]) for message in messages]
