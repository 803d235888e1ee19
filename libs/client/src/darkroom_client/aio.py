"""The client that awaits."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterable, Mapping
from contextlib import asynccontextmanager
from datetime import date, datetime
from itertools import islice
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


class AsyncDarkroom:
    """A client of one stack, for one event loop; its methods are those of `Darkroom`.

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
        self._http = httpx.AsyncClient(**http_options(endpoint, timeout, trust_env))
        self._exchange = Exchange(endpoint.rstrip("/"), api_key, retry_seconds, image_bytes)

    async def __aenter__(self) -> AsyncDarkroom:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        """Close the connections."""
        await self._http.aclose()

    async def submit(
        self, request: Request, *, wait: int = 0, idempotency_key: str | None = None
    ) -> Accepted:
        """Hand a task in; `wait` is how many seconds, up to 60, its end is waited for."""
        call = calls.submit(request, wait=wait, idempotency_key=idempotency_key)
        return await self._call(call)

    async def generate(self, request: Request, *, timeout: float = 600) -> Generated:
        """Hand a task in, wait for its end and download its images.

        Raises `TaskFailed`, `TaskCancelled`, and `WaitTimeout` if it takes longer than
        `timeout` seconds; it goes on then.
        """
        return await self._run(self._exchange.generate(request, timeout))

    async def batch(
        self,
        requests: Iterable[Request],
        *,
        concurrency: int = 4,
        ordered: bool = True,
        timeout: float = 600,
    ) -> AsyncIterator[Outcome]:
        """What becomes of each request, of which `concurrency` are under way at once.

        In the order of the requests, or as they end if not `ordered`. One that fails keeps no
        other from being done. When the iterator is closed, no more are handed in.
        """
        ahead = window(concurrency)
        working = asyncio.Semaphore(concurrency)

        async def done(index: int, request: Request) -> Outcome:
            try:
                async with working:
                    steps = self._exchange.generate(request, timeout)
                    return Outcome(index, request, await self._run(steps))
            except DarkroomError as error:
                return Outcome(index, request, error=error)

        numbered = enumerate(requests)
        pending: list[asyncio.Task[Outcome]] = []
        try:
            while True:
                for each in islice(numbered, ahead - len(pending)):
                    name = f"darkroom-batch-{each[0]}"
                    pending.append(asyncio.create_task(done(*each), name=name))
                if not pending:
                    return
                ended = pending[0] if ordered else await _first_of(pending)
                outcome = await ended
                pending.remove(ended)
                yield outcome
        finally:
            for each_task in pending:
                each_task.cancel()
            await asyncio.gather(*pending, return_exceptions=True)

    async def task(self, name: str) -> Task:
        """One task, by uid or by your own id, which means its newest submission."""
        return await self._call(calls.task(name))

    async def task_request(self, name: str) -> dict[str, Any]:
        """The request of a task, which `submit` takes; not every one is kept."""
        return await self._call(calls.task_request(name))

    async def wait(self, name: str, *, timeout: float | None = 600) -> Task:
        """The task when it has ended, however; raises `WaitTimeout`."""
        return await self._run(self._exchange.wait(name, timeout))

    async def images(self, task: Task) -> tuple[Image, ...]:
        """Download the images of a task that has ended."""
        return await self._run(self._exchange.images(task))

    async def tasks(
        self,
        *,
        runtime: str | None = None,
        state: str | None = None,
        tenant: str | None = None,
        text: str | None = None,
        page: int = PAGE,
    ) -> AsyncIterator[Task]:
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
            found = await self._call(call)
            for task in found.tasks:
                yield task
            cursor = found.cursor
            if cursor is None:
                return

    async def tasks_page(
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
        return await self._call(call)

    async def watch(self, name: str, *, resume_seconds: float = 60) -> AsyncIterator[Event]:
        """Each change of a task until it has ended.

        A stream that breaks is taken up where it broke, for up to `resume_seconds` without an
        event.
        """
        watching = Watching(self._exchange, name, resume_seconds)
        while not watching.ended:
            send = watching.request()
            try:
                async with self._stream(send) as response:
                    if response.status_code != OK:
                        pause = watching.refused(await _whole(response, send))
                    else:
                        async for each in EventSource(response).aiter_sse():
                            event = watching.take(each.event, each.data, each.id)
                            if event is not None:
                                yield event
                        pause = watching.broken()
            except Unreachable as error:
                pause = watching.broken(error)
            await asyncio.sleep(pause)

    async def cancel(self, name: str) -> Task:
        """Take a task back and give it as it then is; raises `AlreadyFinished`."""
        return await self._run(self._exchange.cancel(name))

    async def links(self, name: str, *, seconds: int = LINK_SECONDS) -> list[str]:
        """Links that download a task's files for so long, its images first."""
        return await self._call(calls.links(name, seconds))

    async def models(self) -> list[Model]:
        """The files of the model bucket."""
        return await self._call(calls.models())

    async def runtimes(self) -> list[Runtime]:
        """What tasks can be sent to."""
        return await self._call(calls.runtimes())

    async def usage(self, from_: date, to: date, *, group_by: GroupBy = "runtime") -> Usage:
        """What was used from one day to another, both of them included."""
        return await self._call(calls.usage(from_, to, group_by))

    async def overview(self) -> Overview:
        """How each runtime does: its queue, its last hour, and today."""
        return await self._call(calls.overview())

    async def dead_letters(
        self, *, runtime: str | None = None, limit: int = PAGE
    ) -> list[DeadLetter]:
        """What was parked, newest first; `webhooks` stands for the queue of webhooks."""
        return await self._call(calls.dead_letters(runtime, limit))

    async def redrive(
        self, messages: Iterable[str] | None, *, runtime: str | None = None
    ) -> list[DeadLetterResult]:
        """Have messages done after all; None means all, as many as one call can do."""
        return await self._call(calls.redrive(messages, runtime))

    async def purge(
        self, messages: Iterable[str] | None, *, runtime: str | None = None
    ) -> list[DeadLetterResult]:
        """Throw messages away; None means all, as many as one call can do."""
        return await self._call(calls.purge(messages, runtime))

    async def webhooks(self, *, tenant: str | None = None) -> list[Webhook]:
        """The webhooks of a tenant, oldest first; of the key's if `tenant` names none."""
        return await self._call(calls.webhooks(tenant))

    async def add_webhook(
        self,
        url: str,
        *,
        events: Iterable[str] = ENDS,
        runtime: str | None = None,
        tenant: str | None = None,
    ) -> Webhook:
        """Add a webhook; its `secret` is told this once."""
        return await self._call(calls.add_webhook(url, events, runtime, tenant))

    async def remove_webhook(self, id: str, *, tenant: str | None = None) -> Webhook:
        """Remove a webhook and give it as it was."""
        return await self._call(calls.remove_webhook(id, tenant))

    async def rotate_webhook(self, id: str, *, tenant: str | None = None) -> NewSecret:
        """Give a webhook a new secret."""
        return await self._call(calls.rotate_webhook(id, tenant))

    async def test_webhook(self, id: str, *, tenant: str | None = None) -> str:
        """Have a test sent; gives its name among the deliveries."""
        return await self._call(calls.test_webhook(id, tenant))

    async def replay_webhook(
        self,
        id: str,
        since: datetime,
        *,
        until: datetime | None = None,
        tenant: str | None = None,
    ) -> Replay:
        """Have the ends of the tasks of a time sent again; a time without a zone is local."""
        return await self._call(calls.replay_webhook(id, since, until, tenant))

    async def deliveries(self, id: str, *, tenant: str | None = None) -> list[Delivery]:
        """What became of the newest events of a webhook."""
        return await self._call(calls.deliveries(id, tenant))

    async def request(
        self,
        method: str,
        path: str,
        *,
        json: Any = None,
        params: Mapping[str, str] | None = None,
    ) -> dict[str, Any]:
        """What another route of the API answers; made again like every call."""
        return await self._call(calls.other(method, path, json, params))

    async def _call(self, call: Call[T]) -> T:
        return await self._run(self._exchange.call(call))

    async def _run(self, steps: Steps[T]) -> T:
        """The end of some steps, each awaited."""
        try:
            step = next(steps)
            while True:
                try:
                    answer = await self._take(step)
                except Unreachable as error:
                    step = steps.throw(error)
                else:
                    step = steps.send(answer)
        except StopIteration as end:
            value: T = end.value
            return value

    async def _take(self, step: Step) -> Answer:
        if isinstance(step, Send):
            async with self._stream(step) as response:
                return await _whole(response, step)
        await asyncio.sleep(step.seconds)
        return NOTHING

    @asynccontextmanager
    async def _stream(self, send: Send) -> AsyncIterator[httpx.Response]:
        with reaching(send.url):
            response = await self._http.send(http_request(self._http, send), stream=True)
            try:
                yield response
            finally:
                await response.aclose()


async def _whole(response: httpx.Response, send: Send) -> Answer:
    collected = Collected(send)
    async for part in response.aiter_bytes():
        collected.add(part)
    return collected.answer(response)


async def _first_of(pending: list[asyncio.Task[Outcome]]) -> asyncio.Task[Outcome]:
    done, _ = await asyncio.wait(pending, return_when=asyncio.FIRST_COMPLETED)
    return done.pop()
