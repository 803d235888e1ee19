"""Webhooks are a tenant's own, bounded, and where they may be."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any

import grpc
import pytest
from webhook_fakes import WEBHOOK, FakeJobs, FakeStore, webhooks
from webhook_parts import ALL, Room, room

from contracts.ids import new_uid
from darkroom.notifier.v1 import webhooks_pb2, webhooks_pb2_grpc
from egress.addresses import AddressRules
from notifier.webhooks.domain import (
    Delivery,
    DeliveryState,
    ReplayJob,
    TestJob,
    WebhookState,
)
from notifier.webhooks.manage import MOST, SHOWN, Manage
from notifier.webhooks.ports import Store
from notifier.webhooks.rpc import WebhookService
from servicekit.errors import RejectedError
from servicekit.health import Health
from servicekit.listen import HOST, free_port
from servicekit.rpc import channel, serving

PUBLIC = "https://8.8.8.8/in"


@dataclass
class Given:
    store: FakeStore = field(default_factory=lambda: FakeStore(webhooks(WEBHOOK)))
    jobs: FakeJobs = field(default_factory=FakeJobs)

    @property
    def manage(self) -> Manage:
        return Manage(store=self.store, jobs=self.jobs, rules=AddressRules.read(ports=[443]))


@pytest.fixture
def given() -> Given:
    return Given()


@pytest.mark.parametrize(
    ("url", "events", "runtime", "told"),
    [
        ("http://8.8.8.8/in", ALL, "", "url is refused: port 80 is not one that is allowed"),
        ("https://127.0.0.1/in", ALL, "", "url is refused: the host has an address that"),
        ("https://localhost/in", ALL, "", "url is refused: the host has an address that"),
        ("https://no-such.invalid/", ALL, "", "url is refused: the host's name cannot be"),
        ("https://me:secret@8.8.8.8/", ALL, "", "url is refused: the URL has credentials"),
        ("ftp://8.8.8.8/in", ALL, "", "url is refused: it leads to something else"),
        (f"https://8.8.8.8/{'a' * 2048}", ALL, "", "url must not be longer than 2048"),
        (PUBLIC, (), "", "events must be some of completed, failed, cancelled"),
        (PUBLIC, ("completed", "ended"), "", "events must be some of"),
        (PUBLIC, ALL, "a\n", "runtime must not have control characters"),
    ],
)
async def test_what_cannot_be_told_is_refused_by_its_field(
    given: Given, url: str, events: tuple[str, ...], runtime: str, told: str
) -> None:
    with pytest.raises(RejectedError) as caught:
        await given.manage.create("studio", url, events, runtime)

    assert str(caught.value).startswith(told)
    assert caught.value.code == "invalid_request"
    assert [error.field for error in caught.value.errors] == [told.split(maxsplit=1)[0]]
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize(
    ("tenant", "url", "told"),
    [
        ("studio", "https://studio.example.com/other?a=b", None),
        ("studio", "https://STUDIO.example.com:443/", None),
        ("studio", "http://studio.example.com/", "must be on"),
        ("studio", "https://studio.example.com:8443/", "must be on"),
        ("studio", "https://studio.example.com.evil.example/", "must be on"),
        ("rival", "https://studio.example.com/other", "must be on"),
        ("studio", "https://me:secret@studio.example.com/", "is refused: the URL has"),
        ("studio", "ftp://studio.example.com/", "is refused: it leads to something else"),
        ("studio", "https://studio.example.com\\@evil.example/", "is refused: the URL has"),
        ("studio", "", "is refused: it leads"),
    ],
)
async def test_a_task_may_name_urls_where_its_tenant_has_a_webhook(
    given: Given, tenant: str, url: str, told: str | None
) -> None:
    if told is None:
        await given.manage.check_callback_url(tenant, url)
        return
    with pytest.raises(RejectedError) as caught:
        await given.manage.check_callback_url(tenant, url)
    assert str(caught.value).startswith(f"callback_url {told}")
    assert [error.field for error in caught.value.errors] == ["callback_url"]


async def test_a_webhook_that_has_ended_allows_no_url(given: Given) -> None:
    ended = WEBHOOK.model_copy(update={"state": WebhookState.ENDED})
    given.store.kept = webhooks(ended)
    with pytest.raises(RejectedError):
        await given.manage.check_callback_url("studio", WEBHOOK.url)


async def test_a_tenant_has_twenty_webhooks_at_most(given: Given) -> None:
    for _ in range(MOST - 1):
        await given.manage.create("studio", PUBLIC, ALL, "")

    with pytest.raises(RejectedError) as caught:
        await given.manage.create("studio", PUBLIC, ALL, "")
    assert caught.value.code == "webhook_limit"
    await given.manage.create("rival", PUBLIC, ALL, "")


async def test_the_webhook_of_another_tenant_is_not_there(given: Given) -> None:
    manage, now = given.manage, datetime.now(UTC)
    calls: list[Any] = [
        manage.find, manage.delete, manage.rotate, manage.test, manage.deliveries,
        lambda tenant, id: manage.replay(tenant, id, now, now),
    ]  # fmt: skip
    for call in calls:
        with pytest.raises(RejectedError) as caught:
            await call("rival", WEBHOOK.id)
        assert caught.value.code == "webhook_not_found"
    assert await manage.list("rival") == ()
    assert (given.store.kept, given.jobs.sent) == (webhooks(WEBHOOK), [])


async def test_tests_and_replays_are_queued(given: Given) -> None:
    since = datetime(2026, 1, 2, tzinfo=UTC)
    uid = await given.manage.test("studio", WEBHOOK.id)
    await given.manage.replay("studio", WEBHOOK.id, since, since + timedelta(days=1))

    test, replay = given.jobs.sent
    assert isinstance(replay, ReplayJob)
    assert [test, replay] == [
        TestJob(tenant="studio", webhook=WEBHOOK.id, uid=uid),
        ReplayJob(
            tenant="studio",
            webhook=WEBHOOK.id,
            id=replay.id,
            since=since,
            until=since + timedelta(days=1),
        ),
    ]
    with pytest.raises(RejectedError, match="since must not be later than until"):
        await given.manage.replay("studio", WEBHOOK.id, since, since - timedelta(days=1))


async def test_a_webhook_that_has_ended_is_neither_tried_nor_told_again(given: Given) -> None:
    ended = WEBHOOK.model_copy(update={"state": WebhookState.ENDED})
    given.store.kept = webhooks(ended)

    with pytest.raises(RejectedError) as caught:
        await given.manage.test("studio", WEBHOOK.id)
    assert caught.value.code == "webhook_ended"


async def test_ingest_has_it_all_over_grpc(given: Given) -> None:
    address, service = f"{HOST}:{free_port()}", WebhookService(given.manage)

    def register(server: grpc.aio.Server) -> None:
        webhooks_pb2_grpc.add_WebhookServiceServicer_to_server(service, server)

    whose: dict[str, Any] = {"tenant": "studio", "id": WEBHOOK.id}
    async with serving(address, Health(), (), register), channel(address) as opened:
        stub = webhooks_pb2_grpc.WebhookServiceStub(opened)
        listed = await stub.ListWebhooks(webhooks_pb2.ListWebhooksRequest(tenant="studio"))
        rotated = await stub.RotateWebhook(webhooks_pb2.RotateWebhookRequest(**whose))
        removed = await stub.DeleteWebhook(webhooks_pb2.DeleteWebhookRequest(**whose))

    (shown,) = listed.webhooks
    assert (shown.id, shown.url, list(shown.events)) == (
        WEBHOOK.id, WEBHOOK.url, list(WEBHOOK.events),
    )  # fmt: skip
    assert rotated.secret.startswith("whsec_")
    assert removed.webhook == shown
    assert given.store.kept == {"studio": ()}


@pytest.fixture
async def hooks(aws: str) -> AsyncIterator[Room]:
    async with room() as made:
        yield made


@pytest.fixture(params=["fake", "dynamodb"])
def store(request: pytest.FixtureRequest) -> Store:
    """The fake may not do what the emulator refuses."""
    if request.param == "fake":
        return FakeStore()
    hooks: Room = request.getfixturevalue("hooks")
    return hooks.store


async def test_a_store_keeps_what_tenants_add_at_once(store: Store) -> None:
    async def add(number: int) -> None:
        new = WEBHOOK.model_copy(update={"id": f"wh_{number}"})
        await store.change("studio", lambda kept: (*kept, new))

    async with asyncio.TaskGroup() as group:
        for number in range(3):
            group.create_task(add(number))

    assert {one.id for one in await store.of("studio")} == {"wh_0", "wh_1", "wh_2"}
    assert (await store.of("rival"), await store.tenants()) == ((), frozenset({"studio"}))
    await store.change("studio", lambda _: ())
    assert (await store.of("studio"), await store.tenants()) == ((), frozenset())


async def test_a_store_tells_the_newest_deliveries_of_a_webhook_first(store: Store) -> None:
    first = Delivery(
        webhook="wh_1",
        uid=new_uid(),
        event="task.failed",
        state=DeliveryState.RETRYING,
        tries=1,
        status=500,
        error="the answer was 500",
        tried_at=datetime.now(UTC),
        next_try_at=datetime.now(UTC) + timedelta(seconds=5),
    )
    second = replace(first, uid=new_uid(), state=DeliveryState.DELIVERED, next_try_at=None)
    for each in (second, first, replace(first, webhook="wh_2")):
        await store.keep(each)
    again = replace(first, tries=2)
    await store.keep(again)

    expected = sorted([again, second], key=lambda each: each.uid, reverse=True)
    assert list(await store.deliveries("wh_1", SHOWN)) == expected
    assert list(await store.deliveries("wh_1", 1)) == expected[:1]
    own = replace(again, own_url=True, tries=9)
    await store.keep(own)
    assert await store.delivery("wh_1", first.uid, own_url=True) == own
    assert await store.delivery("wh_1", first.uid, own_url=False) == again
    assert await store.delivery("wh_1", new_uid(), own_url=False) is None
    assert await store.deliveries("wh_3", SHOWN) == []
