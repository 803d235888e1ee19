"""The parts of webhooks on the emulator, a receiver to send to, and jobs to have done."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import Any

from aiohttp import web
from aiohttp.test_utils import TestServer
from notifier_fakes import DONE, RECORD
from standardwebhooks import Webhook as Verifier

from awsio import clients
from contracts.ids import Uid, new_uid
from egress.addresses import AddressRules
from ledger.dynamodb import DynamoDbLedger
from ledger.record import Record, Result
from notifier.webhooks.announce import Announce
from notifier.webhooks.consumer import Consumer
from notifier.webhooks.deliver import Deliver
from notifier.webhooks.domain import Retries
from notifier.webhooks.dynamodb import DynamoDbStore
from notifier.webhooks.hosts import Hosts
from notifier.webhooks.http import http_sender
from notifier.webhooks.manage import Manage
from notifier.webhooks.replay import Replay
from notifier.webhooks.sqs import SqsJobs
from provisioning.resources import provision

LOOPBACK = AddressRules.read(["127.0.0.0/8", "::1/128"])
ALL = ("completed", "failed", "cancelled")
SOON = Retries(first=timedelta(milliseconds=1), longest=timedelta(milliseconds=2), tries=12)
WAIT_SECONDS = 300
Answer = Callable[[int], Awaitable[int]]  # from how often it was asked, the status


async def always(_: int) -> int:
    return 200


@dataclass
class Receiver:
    """A stranger's server: what came, by path, and how each path answers."""

    requests: defaultdict[str, list[tuple[dict[str, str], bytes]]] = field(
        default_factory=lambda: defaultdict(list)
    )
    answers: dict[str, Answer] = field(default_factory=dict)
    came: asyncio.Condition = field(default_factory=asyncio.Condition)
    port: int = 0

    def url(self, path: str, host: str = "127.0.0.1") -> str:
        return f"http://{host}:{self.port}{path}"

    async def handle(self, request: web.Request) -> web.Response:
        body = await request.read()
        async with self.came:
            self.requests[request.path].append((dict(request.headers), body))
            self.came.notify_all()
        count = len(self.requests[request.path])
        status = await self.answers.get(request.path, always)(count)
        return web.Response(status=status, headers={"Location": "/elsewhere"})

    async def until(self, path: str, count: int) -> list[tuple[dict[str, str], bytes]]:
        """What came to a path, once there are so many."""
        async with asyncio.timeout(WAIT_SECONDS), self.came:
            await self.came.wait_for(lambda: len(self.requests[path]) >= count)
        return self.requests[path]

    def verified(self, path: str, secret: str) -> list[dict[str, Any]]:
        """The events that came to a path; raises if one is not signed with the secret."""
        verifier = Verifier(secret)
        return [verifier.verify(body, headers) for headers, body in self.requests[path]]


@asynccontextmanager
async def receiver() -> AsyncIterator[Receiver]:
    """A receiver on all addresses of this machine's loopback."""
    made, app = Receiver(), web.Application()
    app.router.add_route("*", "/{path:.*}", made.handle)
    async with TestServer(app, host="0.0.0.0") as server:  # noqa: S104  # on 127.0.0.2, too
        made.port = server.port or 0
        yield made


@dataclass(kw_only=True)
class Room:
    """Webhooks with an AWS of their own behind them."""

    store: DynamoDbStore
    jobs: SqsJobs
    ledger: DynamoDbLedger
    manage: Manage
    announce: Announce
    deliver: Deliver
    tenant: str

    async def ended(self, result: Result = DONE, **changes: Any) -> Record:
        """A task that has ended now, in the ledger."""
        uid = new_uid()
        new = replace(RECORD, uid=uid, tenant=self.tenant, **changes)
        await self.ledger.create(new)
        record, _ = await self.ledger.finish(uid, result, self.deliver.now())
        assert record is not None
        return record

    @asynccontextmanager
    async def consuming(self, most: int = 50) -> AsyncIterator[None]:
        """Messages are delivered until the block ends."""
        stop = asyncio.Event()
        consumer = Consumer(jobs=self.jobs, deliver=self.deliver, most=most)
        async with asyncio.TaskGroup() as group:
            group.create_task(consumer.run_until_stopped(stop))
            try:
                yield
            finally:
                stop.set()

    async def delivered(
        self, webhook: str, uid: Uid, state: str, *, own_url: bool = False
    ) -> Any:
        """What became of an event, once it is in that state."""
        async with asyncio.timeout(WAIT_SECONDS):
            while True:
                found = await self.store.delivery(webhook, uid, own_url=own_url)
                if found is not None and found.state == state:
                    return found
                await asyncio.sleep(0.02)

    async def parked(self) -> list[dict[str, Any]]:
        """What is in the dead-letter queue."""
        answer = await self.jobs.client.receive_message(
            QueueUrl=self.jobs.dead_letter_url,
            MaxNumberOfMessages=10,
            MessageAttributeNames=["All"],
        )
        return [dict(message) for message in answer.get("Messages", [])]


@asynccontextmanager
async def room(
    *,
    rules: AddressRules = LOOPBACK,
    retries: Retries = SOON,
    patience: timedelta = timedelta(seconds=30),
) -> AsyncIterator[Room]:
    """Webhooks on an emulator, with a stack that nobody else uses."""
    made = await provision(f"hooks-{new_uid().lower()}", [])
    async with AsyncExitStack() as stack:
        sqs = await stack.enter_async_context(clients.sqs())
        dynamodb = await stack.enter_async_context(clients.dynamodb())
        ledger = DynamoDbLedger(client=dynamodb, table=made.table)
        store = DynamoDbStore(client=dynamodb, table=made.table)
        jobs = SqsJobs(
            client=sqs,
            url=made.webhook_queue,
            dead_letter_url=made.webhook_dead_letter_queue,
            wait=timedelta(seconds=1),
            lease=patience + timedelta(seconds=30),
        )
        sender = await stack.enter_async_context(http_sender(rules=rules, patience=patience))
        yield Room(
            store=store,
            jobs=jobs,
            ledger=ledger,
            manage=Manage(store=store, jobs=jobs, rules=rules),
            announce=Announce(store=store, jobs=jobs, fresh=timedelta()),
            deliver=Deliver(
                store=store,
                jobs=jobs,
                ledger=ledger,
                sender=sender,
                replay=Replay(ledger=ledger, jobs=jobs),
                hosts=Hosts(4),
                retries=retries,
            ),
            tenant="studio",
        )
