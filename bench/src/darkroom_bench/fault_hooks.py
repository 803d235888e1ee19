"""Tenants with bounds, the servers of their webhooks, and what must hold of both."""

from __future__ import annotations

import asyncio
import random
import zlib
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, Final

import httpx
from aiohttp import web
from standardwebhooks import Webhook as Verifier
from standardwebhooks import WebhookVerificationError

from awsio import clients
from contracts.keys import Key, Quota, digest_of, new_key
from darkroom_bench.fault_load import Told
from darkroom_cli.embedded.folder import Folder
from ledger.dynamodb import DynamoDbLedger
from ledger.open_tasks_dynamodb import DynamoDbOpenTasks
from servicekit.listen import free_port

TENANTS: Final = {  # and the ends of tasks that their webhooks want
    "studio": ("completed", "failed", "cancelled"),
    "rival": ("completed",),
}
OPEN_TASKS: Final = 4  # of a tenant at once, which is less than it hands in
HANGS, DROPS, FAILS = 0.02, 0.05, 0.25  # each share holds those before
HANG_SECONDS: Final = 3  # longer than the notifier waits
STUBBORN: Final = 40  # one of so many events is never taken

SETTINGS: Final = {
    "NOTIFIER_WEBHOOK_TIMEOUT": "PT2S",
    "NOTIFIER_WEBHOOK_TRIES": "6",
    "NOTIFIER_WEBHOOK_FIRST_RETRY": "PT1S",
    "NOTIFIER_WEBHOOK_LONGEST_RETRY": "PT4S",
    "NOTIFIER_WEBHOOK_FRESH": "PT0S",
}


def write_keys(folder: Folder) -> dict[str, str]:
    """Give each tenant a key with a bound; the keys by tenant."""
    made = {tenant: new_key() for tenant in TENANTS}
    folder.path.mkdir(parents=True, exist_ok=True)
    folder.write_keys(
        [
            Key(
                name=tenant,
                tenant=tenant,
                sha256=digest_of(secret.encode()),
                quota=Quota(open_tasks=OPEN_TASKS),
            )
            for tenant, secret in made.items()
        ]
    )
    return made


@dataclass(slots=True, kw_only=True)
class Receiver:
    """The servers of all webhooks, which fail at random and now and then for good."""

    rng: random.Random
    secrets: dict[str, str] = field(default_factory=dict)  # by tenant
    kept: dict[str, list[Told]] = field(default_factory=dict)  # what was taken, by uid
    forged: list[str] = field(default_factory=list)
    requests: int = 0
    refused: int = 0

    async def handle(self, request: web.Request) -> web.Response:
        """Take an event, or fail."""
        tenant, body = request.match_info["tenant"], await request.read()
        self.requests += 1
        try:
            event = Verifier(self.secrets[tenant]).verify(body, dict(request.headers))
        except WebhookVerificationError as error:
            self.forged.append(f"a request to the webhook of {tenant}: {error}")
            return web.Response(status=400)
        if await self._fails(event["uid"], request):
            self.refused += 1
            return web.Response(status=500)
        moment = asyncio.get_running_loop().time()
        self.kept.setdefault(event["uid"], []).append(Told(body.decode(), event, moment))
        return web.Response(status=204)

    async def _fails(self, uid: str, request: web.Request) -> bool:
        chance = self.rng.random()
        if chance < HANGS:
            await asyncio.sleep(HANG_SECONDS)
        elif chance < DROPS and request.transport:
            request.transport.abort()
        return chance < FAILS or zlib.crc32(uid.encode()) % STUBBORN == 0


@asynccontextmanager
async def receiving(receiver: Receiver, endpoint: str, api_key: str) -> AsyncIterator[None]:
    """Add a webhook for each tenant, each on a host of its own, and have it listen."""
    app, port = web.Application(), free_port()
    app.router.add_post("/{tenant}", receiver.handle)
    runner = web.AppRunner(app, shutdown_timeout=1)
    await runner.setup()
    headers = {"x-api-key": api_key}
    try:
        async with httpx.AsyncClient(
            base_url=endpoint, headers=headers, trust_env=False, timeout=30
        ) as http:
            for number, (tenant, events) in enumerate(TENANTS.items(), 1):
                host = f"127.0.0.{number}"
                await web.TCPSite(runner, host, port).start()
                answer = await http.post(
                    f"/v1/webhooks?tenant={tenant}",
                    json={"url": f"http://{host}:{port}/{tenant}", "events": events},
                )
                receiver.secrets[tenant] = answer.raise_for_status().json()["secret"]
        yield
    finally:
        await runner.cleanup()


Callbacks = Mapping[str, Mapping[str, Any]]  # by uid


def due_events(tenants: Mapping[str, str], callbacks: Callbacks) -> Callbacks:
    """The callbacks of the tasks whose tenant's webhook is to be told."""
    return {
        uid: callbacks[uid]
        for uid, tenant in tenants.items()
        if uid in callbacks and callbacks[uid]["status"] in TENANTS[tenant]
    }


def broken_promises(
    tenants: Mapping[str, str],
    callbacks: Callbacks,
    heard: Mapping[str, list[Told]],
    parked: Mapping[str, Any],
) -> list[str]:
    """What is wrong with the events of these tasks."""
    due = due_events(tenants, callbacks)
    lost = due.keys() - heard.keys() - parked.keys()
    undue = (heard.keys() & tenants.keys()) - due.keys()
    other = [
        uid
        for uid, callback in due.items()
        for told in heard.get(uid, ())
        if {**callback, "type": told.content["type"], "timestamp": told.content["timestamp"]}
        != told.content
    ]
    return [
        *(f"{uid}: no event, and none in the DLQ" for uid in sorted(lost)),
        *(f"{uid}: an event that nobody asked for" for uid in sorted(undue)),
        *(f"{uid}: an event that is not its callback" for uid in other),
    ]


async def still_counted(table: str, seconds: float) -> list[str]:
    """The tasks that count as open though none is; waits for the sweep until there are none."""
    async with clients.dynamodb() as client:
        open_tasks = DynamoDbOpenTasks(ledger=DynamoDbLedger(client=client, table=table))
        end = asyncio.get_running_loop().time() + seconds
        while True:
            held = [
                f"{uid}: counts as an open task of {owner.tenant}"
                for owner in await open_tasks.owners()
                for uid in sorted(await open_tasks.of(owner))
            ]
            if not held or asyncio.get_running_loop().time() > end:
                return held
            await asyncio.sleep(1)
