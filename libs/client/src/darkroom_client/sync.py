"""The client that waits."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextlib import contextmanager
from datetime import date, datetime
from itertools import islice
from threading import Event as Flag
from types import TracebackType
from typing import Any, TypeVar

import httpx
from httpx_sse import EventSource

from darkroom_client import calls
from darkroom_client.calls import ENDS, LINK_SECONDS, PAGE, Call, GroupBy, Request
from darkroom_client.errors import DarkroomError, Unreachable
from darkroom_client.exchange import NOTHING, Answer, Exchange, Send, Step, Steps, window
from darkroom_client.images import Generated, Image, Outcome
from darkroom_client.results import (
    Accepted,
    DeadLetter,
    DeadLetterResult,
    Delivery,
    Model,
    NewSecret,
    Overview,
    Replay,
    Runtime,
    Task,
    TasksPage,
    Usage,
    Webhook,
)
from darkroom_client.transfer import (
    OK,
    Collected,
    http_options,
    http_request,
    reaching,
)
from darkroom_client.watching import Event, Watching

T = TypeVar("T")


class Darkroom:
    """A client of one stack, for any number of threads.

    `timeout` is for one step of one request, in seconds. A call that a connection, a gateway
    or the throttle fails is made again for up to `retry_seconds`; a submission stays one task.
    Proxies of the environment are used unless the endpoint is on this machine; `trust_env` says
    it otherwise. Every method raises `DarkroomError`.
    """

    def __init__(
        self,
        endpoint: str,
        api_key: str,
        *,
        timeout: float = 30,
        retry_seconds: float = 60,
        image_bytes: int = 256 * 2**20,
        trust_env: bool | None = None,
    ) -> None:
        self._http = httpx.Client(**http_options(endpoint, timeout, trust_env))
        self._exchange = Exchange(endpoint.rstrip("/"), api_key, retry_seconds, image_bytes)

    def __enter__(self) -> Darkroom:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the connections."""
        self._http.close()

    def submit(
        self, request: Request, *, wait: int = 0, idempotency_key: str | None = None
    ) -> Accepted:
        """Hand a task in; `wait` is how many seconds, up to 60, its end is waited for."""
        call = calls.submit(request, wait=wait, idempotency_key=idempotency_key)
        return self._call(call)

    def generate(self, request: Request, *, timeout: float = 600) -> Generated:
        """Hand a task in, wait for its end and download its images.

        Raises `TaskFailed`, `TaskCancelled`, and `WaitTimeout` if it takes longer than
        `timeout` seconds; it goes on then.
        """
        return self._run(self._exchange.generate(request, timeout))

    def batch(
        self,
        requests: Iterable[Request],
        *,
        concurrency: int = 4,
        ordered: bool = True,
        timeout: float = 600,
    ) -> Iterator[Outcome]:
        """What becomes of each request, of which `concurrency` are under way at once.

        In the order of the requests, or as they end if not `ordered`. One that fails keeps no
        other from being done. When the iterator is closed, no more are handed in.
        """
        ahead = window(concurrency)
        given_up = Flag()

        def done(index: int, request: Request) -> Outcome:
            try:
                steps = self._exchange.generate(request, timeout)
                return Outcome(index, request, self._run(steps, given_up))
            except DarkroomError as error:
                return Outcome(index, request, error=error)

        numbered = enumerate(requests)
        pending: list[Future[Outcome]] = []
        with ThreadPoolExecutor(concurrency, thread_name_prefix="darkroom-batch") as pool:
            try:
                while True:
                    room = ahead - len(pending)
                    pending += [pool.submit(done, *each) for each in islice(numbered, room)]
                    if not pending:
                        return
                    ended = pending[0] if ordered else _first_of(pending)
                    pending.remove(ended)
                    yield ended.result()
            finally:
                given_up.set()
                pool.shutdown(wait=False, cancel_futures=True)

    def task(self, name: str) -> Task:
        """One task, by uid or by your own id, which means its newest submission."""
        return self._call(calls.task(name))

    def task_request(self, name: str) -> dict[str, Any]:
        """The request of a task, which `submit` takes; not every one is kept."""
        return self._call(calls.task_request(name))

    def wait(self, name: str, *, timeout: float | None = 600) -> Task:
        """The task when it has ended, however; raises `WaitTimeout`."""
        return self._run(self._exchange.wait(name, timeout))

    def images(self, task: Task) -> tuple[Image, ...]:
        """Download the images of a task that has ended."""
        return self._run(self._exchange.images(task))

    def tasks(
        self,
        *,
        runtime: str | None = None,
        state: str | None = None,
        tenant: str | None = None,
        text: str | None = None,
        page: int = PAGE,
    ) -> Iterator[Task]:
        """All tasks, newest first; `page` of them are asked for at once.

        `text` is a part of a uid or id. `tenant` is for a key of scope `admin`.
        """
        cursor: str | None = None
        while True:
            call = calls.tasks(
                runtime=runtime,
                state=state,
                tenant=tenant,
                text=text,
                limit=page,
                cursor=cursor,
            )
            found = self._call(call)
            yield from found.tasks
            cursor = found.cursor
            if cursor is None:
                return

    def tasks_page(
        self,
        *,
        runtime: str | None = None,
        state: str | None = None,
        tenant: str | None = None,
        text: str | None = None,
        limit: int = PAGE,
        cursor: str | None = None,
    ) -> TasksPage:
        """One page of what `tasks` gives; it may be short although more follow."""
        call = calls.tasks(
            runtime=runtime, state=state, tenant=tenant, text=text, limit=limit, cursor=cursor
        )
        return self._call(call)

    def watch(self, name: str, *, resume_seconds: float = 60) -> Iterator[Event]:
        """Each change of a task until it has ended.

        A stream that breaks is taken up where it broke, for up to `resume_seconds` without an
        event.
        """
        watching = Watching(self._exchange, name, resume_seconds)
        while not watching.ended:
            send = watching.request()
            try:
                with self._stream(send) as response:
                    if response.status_code != OK:
                        pause = watching.refused(_whole(response, send))
                    else:
                        for each in EventSource(response).iter_sse():
                            event = watching.take(each.event, each.data, each.id)
                            if event is not None:
                                yield event
                        pause = watching.broken()
            except Unreachable as error:
                pause = watching.broken(error)
            time.sleep(pause)

    def cancel(self, name: str) -> Task:
        """Take a task back and give it as it then is; raises `AlreadyFinished`."""
        return self._run(self._exchange.cancel(name))

    def links(self, name: str, *, seconds: int = LINK_SECONDS) -> list[str]:
        """Links that download a task's files for so long, its images first."""
        return self._call(calls.links(name, seconds))

    def models(self) -> list[Model]:
        """The files of the model bucket."""
        return self._call(calls.models())

    def runtimes(self) -> list[Runtime]:
        """What tasks can be sent to."""
        return self._call(calls.runtimes())

    def usage(self, from_: date, to: date, *, group_by: GroupBy = "runtime") -> Usage:
        """What was used from one day to another, both of them included."""
        return self._call(calls.usage(from_, to, group_by))

    def overview(self) -> Overview:
        """How each runtime does: its queue, its last hour, and today."""
        return self._call(calls.overview())

    def dead_letters(
        self, *, runtime: str | None = None, limit: int = PAGE
    ) -> list[DeadLetter]:
        """What was parked, newest first; `webhooks` stands for the queue of webhooks."""
        return self._call(calls.dead_letters(runtime, limit))

    def redrive(
        self, messages: Iterable[str] | None, *, runtime: str | None = None
    ) -> list[DeadLetterResult]:
        """Have messages done after all; None means all, as many as one call can do."""
        return self._call(calls.redrive(messages, runtime))

    def purge(
        self, messages: Iterable[str] | None, *, runtime: str | None = None
    ) -> list[DeadLetterResult]:
        """Throw messages away; None means all, as many as one call can do."""
        return self._call(calls.purge(messages, runtime))

    def webhooks(self, *, tenant: str | None = None) -> list[Webhook]:
        """The webhooks of a tenant, oldest first; of the key's if `tenant` names none."""
        return self._call(calls.webhooks(tenant))

    def add_webhook(
        self,
        url: str,
        *,
        events: Iterable[str] = ENDS,
        runtime: str | None = None,
        tenant: str | None = None,
    ) -> Webhook:
        """Add a webhook; its `secret` is told this once."""
        return self._call(calls.add_webhook(url, events, runtime, tenant))

    def remove_webhook(self, id: str, *, tenant: str | None = None) -> Webhook:
        """Remove a webhook and give it as it was."""
        return self._call(calls.remove_webhook(id, tenant))

    def rotate_webhook(self, id: str, *, tenant: str | None = None) -> NewSecret:
        """Give a webhook a new secret."""
        return self._call(calls.rotate_webhook(id, tenant))

    def test_webhook(self, id: str, *, tenant: str | None = None) -> str:
        """Have a test sent; gives its name among the deliveries."""
        return self._call(calls.test_webhook(id, tenant))

    def replay_webhook(
        self,
        id: str,
        since: datetime,
        *,
        until: datetime | None = None,
        tenant: str | None = None,
    ) -> Replay:
        """Have the ends of the tasks of a time sent again; a time without a zone is local."""
        return self._call(calls.replay_webhook(id, since, until, tenant))

    def deliveries(self, id: str, *, tenant: str | None = None) -> list[Delivery]:
        """What became of the newest events of a webhook."""
        return self._call(calls.deliveries(id, tenant))

    def request(
        self,
        method: str,
        path: str,
        *,
        json: Any = None,
        params: Mapping[str, str] | None = None,
    ) -> dict[str, Any]:
        """What another route of the API answers; made again like every call."""
        return self._call(calls.other(method, path, json, params))

    def _call(self, call: Call[T]) -> T:
        return self._run(self._exchange.call(call))

    def _run(self, steps: Steps[T], given_up: Flag | None = None) -> T:
        """The end of some steps, which waits for each."""
        try:
            step = next(steps)
            while True:
                try:
                    answer = self._take(step, given_up)
                except Unreachable as error:
                    step = steps.throw(error)
                else:
                    step = steps.send(answer)
        except StopIteration as end:
            value: T = end.value
            return value

    def _take(self, step: Step, given_up: Flag | None) -> Answer:
        if isinstance(step, Send):
            with self._stream(step) as response:
                return _whole(response, step)
        if given_up is None:
            time.sleep(step.seconds)
        elif given_up.wait(step.seconds):
            raise DarkroomError("the batch was given up")
        return NOTHING

    @contextmanager
    def _stream(self, send: Send) -> Iterator[httpx.Response]:
        with reaching(send.url):
            response = self._http.send(http_request(self._http, send), stream=True)
            try:
                yield response
            finally:
                response.close()


def _whole(response: httpx.Response, send: Send) -> Answer:
    collected = Collected(send)
    for part in response.iter_bytes():
        collected.add(part)
    return collected.answer(response)


def _first_of(pending: list[Future[Outcome]]) -> Future[Outcome]:
    return next(iter(wait(pending, return_when=FIRST_COMPLETED).done))
