"""What SQS does as `Queues`, which the fake does as well."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable

import pytest
from router_fakes import NOW, RUNTIMES, FakeQueues

from awsio import clients
from contracts.ids import new_uid
from contracts.runtimes import WEBHOOKS
from provisioning.resources import Resources, provision
from router.adapters.sqs import SqsQueues
from router.domain import DeadLetter
from router.ports import Queues
from servicekit.errors import AppError

Park = Callable[[str, str, str], Awaitable[None]]  # queue, body, reason


@pytest.fixture
def made(aws: str) -> tuple[str, Resources]:
    """A stack of this test, and its name."""
    name = f"router-{new_uid().lower()}"
    return name, asyncio.run(provision(name, RUNTIMES))


@pytest.fixture
async def sqs(made: tuple[str, Resources]) -> AsyncIterator[tuple[SqsQueues, Park]]:
    name, resources = made
    urls = {**resources.dead_letter_queues, WEBHOOKS: resources.webhook_dead_letter_queue}
    async with clients.sqs() as client:

        async def park(queue: str, body: str, reason: str) -> None:
            said = {"DataType": "String", "StringValue": reason}
            await client.send_message(
                QueueUrl=urls[queue],
                MessageBody=body,
                MessageAttributes={"reason": said} if reason else {},  # type: ignore[dict-item]  # a str is a value
            )

        yield SqsQueues(client=client, prefix=name), park


@pytest.fixture(params=["fake", "sqs"])
def queues(request: pytest.FixtureRequest) -> tuple[Queues, Park]:
    if request.param == "sqs":
        found: tuple[SqsQueues, Park] = request.getfixturevalue("sqs")
        return found
    fake = FakeQueues()

    async def park(queue: str, body: str, reason: str) -> None:
        id = f"m{len(fake.letters)}"
        letter = DeadLetter(
            message_id=id, queue=queue, body=body, receipt=id, sent_at=NOW, reason=reason
        )
        fake.letters.append(letter)

    return fake, park


async def bodies(queues: Queues, name: str, only: frozenset[str] | None = None) -> list[str]:
    async with queues.parked(name, 50, only) as letters:
        return sorted(letter.body for letter in letters)


async def test_a_look_takes_nothing_away_and_nobody_sees_it_meanwhile(
    queues: tuple[Queues, Park],
) -> None:
    made, park = queues
    for number in range(12):
        await park("fixed", f"b{number:02}", "")
    async with made.parked("fixed", 50) as letters:
        assert len(letters) == 12
        assert await bodies(made, "fixed") == []

    assert await bodies(made, "fixed") == [f"b{number:02}" for number in range(12)]
    async with made.parked("fixed", 3) as letters:
        assert len(letters) == 3
    assert len(await bodies(made, "fixed")) == 12


async def test_a_message_that_is_named_is_deleted_and_the_others_stay(
    queues: tuple[Queues, Park],
) -> None:
    made, park = queues
    await park("fixed", "one", "")
    await park("fixed", "two", "")
    async with made.parked("fixed", 50) as letters:
        (named,) = (each.message_id for each in letters if each.body == "two")
    async with made.parked("fixed", 1, frozenset({named, "m99"})) as letters:
        assert [letter.body for letter in letters] == ["two"]
        await made.delete(letters[0])

    assert await bodies(made, "fixed") == ["one"]


async def test_what_a_message_says_is_known_by_its_queue(queues: tuple[Queues, Park]) -> None:
    made, park = queues
    await park(WEBHOOKS, "{}", "given up")
    async with made.parked(WEBHOOKS, 50) as letters:
        (letter,) = letters

    assert (letter.queue, letter.reason, letter.body) == (WEBHOOKS, "given up", "{}")
    assert letter.sent_at.tzinfo is not None
    assert await bodies(made, "fixed") == []


async def test_depths_are_those_of_a_queue_and_of_its_dead_letters(
    sqs: tuple[SqsQueues, Park],
) -> None:
    queues, park = sqs
    for name in ("fixed", "fixed", WEBHOOKS):
        await park(name, "x", "")
    async with queues.parked("fixed", 1) as letters:
        for _ in range(3):
            await queues.put_back(letters[0])
        depth = await queues.depth("fixed")
    url = await queues.url_of(queues.name_of("fixed"))
    await queues.client.receive_message(QueueUrl=url, VisibilityTimeout=30)

    assert (depth.queued, depth.running, depth.dead_letters) == (3, 0, 2)
    later = await queues.depth("fixed")
    assert (later.queued, later.running) == (2, 1)
    assert (await queues.depth(WEBHOOKS)).dead_letters == 1


async def test_a_queue_that_is_not_there_is_one_sentence(sqs: tuple[SqsQueues, Park]) -> None:
    with pytest.raises(AppError, match=r"AWS refused sqs\.get_queue_url"):
        await sqs[0].depth("nosuch")
