"""What the clients do, call by call and without I/O: each is a generator of steps.

A client takes the steps one after another, sends each request and hands its answer back, so
that the one that waits and the one that awaits differ in nothing else.
"""

from __future__ import annotations

import json
import random
import time
from collections.abc import Generator, Mapping
from dataclasses import dataclass, field
from typing import Final, TypeVar

from darkroom_client import calls
from darkroom_client.calls import Call, Request
from darkroom_client.errors import (
    AlreadyFinished,
    DarkroomError,
    TaskCancelled,
    TaskFailed,
    Unreachable,
    WaitTimeout,
    reason_of,
    refusal,
)
from darkroom_client.images import Generated, Image
from darkroom_client.results import Accepted, Task
from darkroom_client.uploads import Upload

T = TypeVar("T")

FIRST_PAUSE: Final = 0.25
LONGEST_PAUSE: Final = 8.0
SLOWEST_LOOK: Final = 2.0
# Gateways end calls after half a minute or so.
WAIT_SECONDS: Final = 10
ANSWER_BYTES: Final = 64 * 2**20
_SUCCESS: Final = range(200, 300)
_ANSWER_LOST: Final = frozenset({502, 504})  # of a gateway: the call may have been served
# What S3 says of a link that has run out, or whose credentials have.
_RUN_OUT: Final = frozenset({400, 401, 403})


@dataclass(frozen=True)
class Send:
    """Send a request and hand back the whole `Answer`, or raise `Unreachable`."""

    method: str
    url: str
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    params: Mapping[str, str] = field(default_factory=dict)
    body: bytes | None = field(default=None, repr=False)
    seconds: float = 0  # to be waited for the answer's first byte, besides the usual
    limit: int = ANSWER_BYTES
    once: bool = False  # not sent again when its answer is lost
    upload: Upload | None = None  # in place of `body`


@dataclass(frozen=True)
class Sleep:
    """Do nothing for some seconds."""

    seconds: float


@dataclass(frozen=True)
class Answer:
    """What came back."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def success(self) -> bool:
        """Whether it is what was asked for."""
        return self.status in _SUCCESS


NOTHING: Final = Answer(0, {}, b"")  # what a `Sleep` hands back

Step = Send | Sleep
Steps = Generator[Step, Answer, T]


class Backoff:
    """How long to pause before a call is made again, until `seconds` are over."""

    def __init__(self, seconds: float) -> None:
        self._ends = time.monotonic() + seconds
        self._tries = 0

    def pause(self, error: DarkroomError) -> float:
        """Seconds to pause after `error`; raises it if trying again cannot help."""
        self._tries += 1
        error.tries = self._tries
        longest = min(LONGEST_PAUSE, FIRST_PAUSE * 2 ** (self._tries - 1))
        seconds = random.uniform(longest / 2, longest) + (error.retry_after or 0)  # noqa: S311
        if not error.temporary or time.monotonic() + seconds > self._ends:
            raise error
        return seconds


@dataclass(frozen=True)
class Exchange:
    """The steps of everything that a client can do at one endpoint."""

    endpoint: str
    api_key: str = field(repr=False)
    retry_seconds: float
    image_bytes: int

    def request(self, call: Call[T]) -> Send:
        """The request of a call, with the key."""
        return Send(
            call.method,
            self.endpoint + call.path,
            headers={"x-api-key": self.api_key, **call.headers},
            params=call.params,
            body=call.body,
            seconds=call.seconds,
            once=call.once,
        )

    def call(self, call: Call[T]) -> Steps[T]:
        """The value of a call, which is made again while that can help."""
        answer = yield from self._answered(self.request(call))
        try:
            value = json.loads(answer.body)
        except ValueError:
            raise DarkroomError(f"{self.endpoint} is no Darkroom: no JSON") from None
        try:
            return call.read(value)
        except (KeyError, TypeError, ValueError) as error:
            raise DarkroomError(
                f"{self.endpoint} is no Darkroom: {reason_of(error)}"
            ) from error

    def cancel(self, name: str) -> Steps[Task]:
        """The task that was taken back."""
        try:
            return (yield from self.call(calls.cancel(name)))
        except AlreadyFinished as error:
            task = yield from self.call(calls.task(name))
            if error.tries > 1 and task.state == "cancelled":  # by the try before
                return task
            raise

    def wait(self, name: str, seconds: float | None) -> Steps[Task]:
        """The task when it has ended, however."""
        ends = None if seconds is None else time.monotonic() + seconds
        pause = FIRST_PAUSE
        while True:
            task = yield from self.call(calls.task(name))
            if task.ended:
                return task
            if seconds is not None and ends is not None and time.monotonic() + pause > ends:
                raise WaitTimeout(task, seconds)
            yield Sleep(pause)
            pause = min(SLOWEST_LOOK, pause * 1.5)

    def generate(self, request: Request, seconds: float) -> Steps[Generated]:
        """A task that was done, and its images."""
        begun = time.monotonic()
        accepted: Accepted = yield from self.call(calls.submit(request, wait=WAIT_SECONDS))
        task = accepted.task
        if task is None or not task.ended:
            left = max(0.0, seconds - (time.monotonic() - begun))
            task = yield from self.wait(accepted.uid, left)
        if task.state == "cancelled":
            raise TaskCancelled(task)
        if task.state != "completed":
            raise TaskFailed(task)
        return Generated(task, (yield from self.images(task)))

    def images(self, task: Task) -> Steps[tuple[Image, ...]]:
        """The images of a task that has ended; a link that has run out is replaced once."""
        images: list[Image] = []
        links = (yield from self.call(calls.links(task.uid))) if task.image_url else []
        for number, url in enumerate(task.image_url):
            try:
                content = yield from self._download(links, number, task)
            except DarkroomError as error:
                if error.status not in _RUN_OUT:
                    raise
                links = yield from self.call(calls.links(task.uid))
                content = yield from self._download(links, number, task)
            images.append(Image(url, content))
        return tuple(images)

    def upload(self, upload: Upload, name: str) -> Steps[None]:
        """Put a file into the model bucket."""
        target = yield from self.call(calls.upload_target(name, upload.size))
        # Without the key, like downloads.
        headers = {"content-length": str(upload.size)}
        yield from self._answered(
            Send("PUT", target.upload_url, headers=headers, upload=upload)
        )

    def _download(self, links: list[str], number: int, task: Task) -> Steps[bytes]:
        if number >= len(links):
            raise DarkroomError(f"task {task.uid} has no link for image {number + 1}")
        # Without the key: the server of files is another one.
        send = Send("GET", links[number], limit=self.image_bytes)
        return (yield from self._answered(send)).body

    def _answered(self, send: Send) -> Steps[Answer]:
        backoff = Backoff(self.retry_seconds)
        while True:
            try:
                answer = yield send
            except Unreachable as unreachable:
                if send.once:
                    raise
                yield Sleep(backoff.pause(unreachable))
                continue
            if answer.success:
                return answer
            error = refusal(answer.status, answer.headers, answer.body)
            if send.once and answer.status in _ANSWER_LOST:
                raise error
            yield Sleep(backoff.pause(error))


def window(concurrency: int) -> int:
    """How many requests of a batch are taken at once; raises `ValueError` for no number.

    Twice as many as are under way: in order, one that takes long then keeps no other waiting.
    """
    if concurrency < 1:
        raise ValueError("concurrency must be at least 1")
    return 2 * concurrency
