from __future__ import annotations

import random
from itertools import islice

import aiohttp
import pytest
from aiohttp import web
from yarl import URL

from darkroom_bench.fault_catalogue import AWS, VICTIMS, catalogue, deck
from darkroom_bench.fault_checks import Findings, differing
from darkroom_bench.fault_proxy import Call, Rule, Step, Wrong, call_of, fault_proxy
from darkroom_bench.fault_rounds import Outcome, Plan, Round
from darkroom_bench.faults import grid, section
from servicekit.listen import free_port

SCOPE = (
    "AWS4-HMAC-SHA256 Credential=test/20260101/us-east-1/{}/aws4_request, SignedHeaders=host"
)


@pytest.mark.parametrize(
    ("headers", "body", "call"),
    [
        ({"X-Amz-Target": "DynamoDB_20120810.PutItem"}, b"", ("dynamodb", "PutItem")),
        ({"X-Amz-Target": "AmazonSQS.ReceiveMessage"}, b"", ("sqs", "ReceiveMessage")),
        ({"Authorization": SCOPE.format("sns")}, b"Action=Publish&A=b", ("sns", "Publish")),
        ({"Authorization": SCOPE.format("s3")}, b"\x89PNG", ("s3", "POST")),
        ({}, b"", ("s3", "POST")),
    ],
)
def test_a_call_is_known_by_its_request(
    headers: dict[str, str], body: bytes, call: tuple[str, str]
) -> None:
    found = call_of("POST", headers, body)

    assert (found.service, found.operation) == call


def test_a_step_is_on_one_side_of_its_call() -> None:
    call = Call("sns", "Publish", b"topic-tasks")
    before = Step(service="sns", operation="Publish", word="tasks")
    after = Step(service="sns", operation="Publish", word="tasks", after=True)

    assert (before.is_at(call, None), before.is_at(call, b"")) == (True, False)
    assert (after.is_at(call, None), after.is_at(call, b"")) == (False, True)
    assert not Step(service="sns", operation="Publish", word="results").is_at(call, None)
    assert before.is_at(Call("sns", "PublishBatch", b"topic-tasks"), None)


@pytest.mark.parametrize(
    ("wrong", "status", "reached"),
    [
        (Wrong.ERROR, 503, False),
        (Wrong.THROTTLED, 503, False),
        (Wrong.UNSENT, None, False),
        (Wrong.UNHEARD, None, True),
        (Wrong.SLOW, 200, True),
        (Wrong.SILENT, None, False),
    ],
)
async def test_a_call_goes_wrong_once_and_then_passes(
    wrong: Wrong, status: int | None, *, reached: bool
) -> None:
    seen: list[bytes] = []

    async def take(request: web.Request) -> web.Response:
        assert request.raw_path.endswith("/a%20key")
        seen.append(await request.read())
        return web.Response(text="taken")

    app = web.Application()
    app.router.add_post("/bucket/{key}", take)
    runner = web.AppRunner(app, shutdown_timeout=1)
    await runner.setup()
    behind, port = free_port(), free_port()
    await web.TCPSite(runner, "127.0.0.1", behind).start()
    # Posted: a PUT whose connection is lost is repeated by the client itself.
    url = URL(f"http://127.0.0.1:{port}/bucket/a%20key", encoded=True)
    async with (
        fault_proxy(f"http://127.0.0.1:{behind}", port) as proxy,
        aiohttp.ClientSession() as session,
    ):
        proxy.rules.append(Rule(service="s3", wrong=wrong, count=1, seconds=0.05))
        answered = None
        try:
            async with session.post(url, data=b"one") as answer:
                answered = answer.status
        except aiohttp.ClientError:
            pass
        assert (answered, seen) == (status, [b"one"] if reached else [])

        async with session.post(url, data=b"two") as answer:
            assert (await answer.text(), seen[-1]) == ("taken", b"two")
    await runner.cleanup()


def test_each_fault_comes_once_before_any_comes_again() -> None:
    faults = catalogue()

    def names() -> list[str]:
        rng = random.Random(3)  # noqa: S311  # chooses faults
        return [fault.name for fault in islice(deck(faults, rng), len(faults) * 2)]

    assert sorted(names()[: len(faults)]) == sorted({fault.name for fault in faults})
    assert names() == names()


def test_catalogue_has_every_process_and_every_service_of_aws() -> None:
    names = {fault.name for fault in catalogue()}

    assert {f"SIGKILL of {victim} at a step" for victim in VICTIMS} <= names
    assert {f"{service}: {wrong}" for service in AWS for wrong in Wrong} <= names


def test_callbacks_of_one_task_must_be_there_and_the_same() -> None:
    assert differing([]) == ["no callback"]
    assert differing([{"a": 1, "b": 2}, {"b": 2, "a": 1}]) == []
    assert differing([{"a": 1}, {"a": 2}]) == ["2 different callbacks"]


def test_section_has_a_row_a_fault_and_counts_violations() -> None:
    rounds = [
        Round(fault="redelivery", struck=1.0, tasks=[], recovered=seconds)
        for seconds in (1.0, 3.0)
    ]
    findings = Findings(violations=["x: no record"], outcomes={}, told_again=0, unaccepted=0)
    outcome = Outcome(rounds=rounds, findings=findings, seconds=90)

    text = section(Plan(faults=[], rounds=2, seed=5), outcome)

    assert "| redelivery | 2 | 2.0 | 3.0 |" in text
    assert "1 violations" in text
    assert grid(outcome).rows[-1] == ("all", "2", "2.0", "3.0")
