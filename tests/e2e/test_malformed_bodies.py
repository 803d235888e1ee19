"""What is no task message ends in the dead-letter queue, and takes nothing with it.

A queue gives each body ten times before it parks it, so that 1,000 bodies are 10,000
deliveries: about 90 s on two cores, most of it the emulator's.
"""

from __future__ import annotations

import asyncio
import json
import random
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final

import pytest
from harness import Stack, running_stack, text_to_image

from awsio import clients
from contracts.ids import new_uid
from contracts.message import TaskMessage, UndecodableError

BODIES: Final = 1000
BATCH: Final = 10  # the most that SQS takes at once
PATIENCE_SECONDS: Final = 240
RUNTIME: Final = "sdruntime"


@pytest.fixture(scope="module")
def own(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """A stack whose dead letters are nobody else's."""
    folder: Path = tmp_path_factory.mktemp("malformed")
    with running_stack(folder, "--sample-seconds", "0.1") as running:
        yield running


def valid() -> dict[str, Any]:
    return {
        "version": 1,
        "uid": new_uid(),
        "id": "fuzzed",
        "runtime": RUNTIME,
        "tasktype": "text-to-image",
        "prefix": "output",
        "bucket": "outputbucket",
        "accepted_at": "2026-01-01T00:00:00Z",
        "content": text_to_image("fuzzed")["content"],
    }


def cut(chance: random.Random) -> str:
    text = json.dumps(valid())
    return text[: chance.randrange(1, len(text) - 1)]


def noise(chance: random.Random) -> str:
    size = chance.randrange(1, 400)
    return "".join(
        chr(chance.choice((9, 10, chance.randrange(32, 0xD800)))) for _ in range(size)
    )


def without_a_field(chance: random.Random) -> str:
    body = valid()
    del body[chance.choice(("uid", "id", "tasktype", "prefix", "bucket", "content"))]
    return json.dumps(body)


def of_a_wrong_type(chance: random.Random) -> str:
    body = valid()
    field = chance.choice(("uid", "id", "runtime", "tasktype", "prefix", "accepted_at"))
    body[field] = chance.choice((None, [], {}, [None], {"a": 1}, True, 1e308))
    if field == "accepted_at" and not isinstance(body[field], (list, dict)):
        body[field] = "yesterday"
    return json.dumps(body)


def no_object(chance: random.Random) -> str:
    return json.dumps(chance.choice((None, True, 0, -1e308, "text", [], [valid()], {}, "")))


def deep(chance: random.Random) -> str:
    depth = chance.randrange(500, 20_000)
    nested = "[" * depth + "]" * depth
    return json.dumps(valid()).replace('"A dog"', nested, 1)


def for_another_runtime(chance: random.Random) -> str:
    return json.dumps(
        {**valid(), "runtime": chance.choice(("comfyruntime", "none", "", "x" * 999))}
    )


def with_bad_names(chance: random.Random) -> str:
    bad = chance.choice(
        ("../up", "", ".hidden", "a\u0000b", "x" * 5000, "a/../b", "\ud7ff\u202e")
    )
    return json.dumps({**valid(), "id": bad, "prefix": bad})


def flipped(chance: random.Random) -> str:
    """A message in which structure is overwritten, so that it is no JSON any more."""
    text = list(json.dumps(valid()))
    for position in [at for at, sign in enumerate(text) if sign in '{}":,']:
        if chance.random() < 0.5:
            text[position] = chance.choice("~^%\u2028")
    text[0] = "~"
    return "".join(text)


KINDS: Final[tuple[Callable[[random.Random], str], ...]] = (
    cut,
    noise,
    without_a_field,
    of_a_wrong_type,
    no_object,
    deep,
    for_another_runtime,
    with_bad_names,
    flipped,
)


def malformed() -> list[str]:
    """The bodies, the same ones in each run but for the uids."""
    chance = random.Random(20260102)  # noqa: S311  # the same ones in each run
    return [KINDS[number % len(KINDS)](chance) for number in range(BODIES)]


def is_message(body: str) -> bool:
    try:
        return TaskMessage.decode(body).runtime == RUNTIME
    except UndecodableError:
        return False


async def send(url: str, bodies: list[str]) -> None:
    async with clients.sqs() as sqs:
        for start in range(0, len(bodies), BATCH):
            entries: Any = [
                {"Id": str(number), "MessageBody": body}
                for number, body in enumerate(bodies[start : start + BATCH])
            ]
            answer = await sqs.send_message_batch(QueueUrl=url, Entries=entries)
            assert not answer.get("Failed"), answer["Failed"]


async def until_parked(url: str, count: int) -> int:
    """How many messages are in a queue, as soon as there are `count` or no more come."""
    most, deadline = 0, 0.0
    async with clients.sqs() as sqs:
        while True:
            answer = await sqs.get_queue_attributes(
                QueueUrl=url, AttributeNames=["ApproximateNumberOfMessages"]
            )
            found = int(answer["Attributes"]["ApproximateNumberOfMessages"])
            if found > most or not deadline:
                most, deadline = found, time.monotonic() + PATIENCE_SECONDS
            if found >= count or time.monotonic() > deadline:
                return found
            await asyncio.sleep(0.5)


async def taken(url: str, count: int) -> Counter[str]:
    """Take the bodies out of a queue."""
    found: Counter[str] = Counter()
    async with clients.sqs() as sqs:
        while found.total() < count:
            answer = await sqs.receive_message(
                QueueUrl=url, MaxNumberOfMessages=BATCH, VisibilityTimeout=600
            )
            messages = answer.get("Messages", [])
            if not messages:
                break
            found.update(message["Body"] for message in messages)
    return found


async def test_bodies_that_are_no_message_are_all_parked_and_the_agent_goes_on(
    own: Stack,
) -> None:
    bodies = malformed()
    assert not [body for body in bodies if is_message(body)]
    queue, agent = own.info["queues"][RUNTIME], own.agent(RUNTIME).pid

    await send(queue, bodies)
    parked = await until_parked(f"{queue}-dlq", len(bodies))

    assert parked == len(bodies)
    assert await taken(f"{queue}-dlq", len(bodies)) == Counter(bodies)
    accepted = await own.submit(**text_to_image("after-them"))
    await own.until(accepted["uid"], "completed")
    assert own.agent(RUNTIME).pid == agent
