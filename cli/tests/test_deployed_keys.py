"""`darkroom keys --stack-name` with the secret and the API Gateway of an emulator."""

from __future__ import annotations

import asyncio
import itertools
import json
from collections.abc import Callable, Coroutine, Sequence
from contextlib import AsyncExitStack
from datetime import UTC, datetime
from threading import Thread
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from awsio import clients
from contracts.ids import new_uid
from contracts.keys import Key, digest_of, read_keys
from darkroom_cli.deployed_keys import DeployedKeys
from darkroom_cli.errors import CommandError
from darkroom_cli.main import app

pytestmark = pytest.mark.usefixtures("aws")


def asked(work: Callable[[Any, Any], Coroutine[Any, Any, Any]]) -> Any:
    """What `work` gives of Secrets Manager and API Gateway."""

    async def opened() -> Any:
        async with AsyncExitStack() as exits:
            return await work(
                await exits.enter_async_context(clients.secrets()),
                await exits.enter_async_context(clients.api_gateway()),
            )

    return asyncio.run(opened())


@pytest.fixture
def stack() -> str:
    """A deployed stack with a usage plan, whose name is written with capitals."""
    name = f"Studio{new_uid()[-8:]}"

    async def made(secrets: Any, gateway: Any) -> None:
        await secrets.create_secret(
            Name=f"{name.lower()}-api-keys", SecretString='{"keys": []}'
        )
        await gateway.create_usage_plan(name=name.lower())

    asked(made)
    return name


def call(stack: str, *arguments: object) -> Result:
    given = ["keys", *map(str, arguments), "--stack-name", stack]
    return CliRunner().invoke(app, given)


def done(stack: str, *arguments: object) -> str:
    result = call(stack, *arguments)
    assert result.exit_code == 0, result.output
    return result.stdout.strip()


def known(stack: str) -> list[Key]:
    """What ingest reads."""

    async def read(secrets: Any, _: Any) -> str:
        found = await secrets.get_secret_value(SecretId=f"{stack.lower()}-api-keys")
        return str(found["SecretString"])

    return read_keys(asked(read).encode())


def passing(stack: str) -> dict[str, bool]:
    """The keys that API Gateway has of the stack, and whether they are in its plan."""

    async def read(_: Any, gateway: Any) -> dict[str, bool]:
        plans = (await gateway.get_usage_plans(limit=500))["items"]
        (plan,) = (each["id"] for each in plans if each["name"] == stack.lower())
        planned = (await gateway.get_usage_plan_keys(usagePlanId=plan))["items"]
        keys = (await gateway.get_api_keys(nameQuery=f"{stack.lower()}/", includeValues=True))[
            "items"
        ]
        ids = {each["id"] for each in planned}
        return {each["value"]: each["id"] in ids for each in keys}

    found: dict[str, bool] = asked(read)
    return found


def test_a_key_is_printed_once_and_is_in_the_plan_and_hashed_in_the_secret(stack: str) -> None:
    secret = done(stack, "create", "bot", "--tenant", "studio", "--concurrency", 50)

    (key,) = known(stack)
    assert (key.name, key.tenant, key.quota.open_tasks) == ("bot", "studio", 50)
    assert key.sha256 == digest_of(secret.encode())
    assert passing(stack) == {secret: True}
    rows = json.loads(done(stack, "list", "--json"))
    assert [row["name"] for row in rows] == ["bot"]
    assert secret not in json.dumps(rows)
    refused = call(stack, "create", "bot", "--tenant", "studio")
    assert refused.exit_code == 1
    assert "there is a key 'bot'" in refused.stderr
    assert passing(stack) == {secret: True}


def test_a_rotated_key_works_for_a_day_and_a_revoked_one_nowhere(stack: str) -> None:
    other = done(stack, "create", "bot/2", "--tenant", "studio")
    first = done(stack, "create", "bot", "--tenant", "studio")
    second = done(stack, "rotate", "bot")

    ends = {key.sha256: key.expires_at for key in known(stack) if key.name == "bot"}
    assert list(ends) == [digest_of(each.encode()) for each in (first, second)]
    former = ends[digest_of(first.encode())]
    assert former is not None
    assert 23 < (former - datetime.now(UTC)).total_seconds() / 3600 < 24
    assert passing(stack) == {first: True, second: True, other: True}

    third = done(stack, "rotate", "bot", "--keep", 0)
    assert passing(stack) == {third: True, other: True}
    done(stack, "revoke", "bot")
    assert passing(stack) == {other: True}
    assert [key.name for key in known(stack)] == ["bot/2"]
    gone = call(stack, "revoke", "bot")
    assert "there is no key 'bot'; there are: bot/2" in gone.stderr


def test_what_has_ended_is_removed_from_api_gateway_by_the_next_change(stack: str) -> None:
    done(stack, "create", "bot", "--tenant", "studio")
    past = {"expires_at": datetime.now(UTC)}

    DeployedKeys(stack_name=stack).change(
        "bot", lambda keys: [key.model_copy(update=past) for key in keys]
    )

    assert passing(stack) == {}
    assert [key.name for key in known(stack)] == ["bot"]


def test_two_operators_at_once_do_not_overwrite_each_other(stack: str) -> None:
    keys = DeployedKeys(stack_name=stack)
    calls: list[int] = []

    def key(name: str) -> Key:
        return Key(name=name, tenant="studio", sha256=digest_of(name.encode()))

    def added(before: Sequence[Key]) -> list[Key]:
        calls.append(len(before))
        if len(calls) == 2:  # it has read the keys, and writes them now
            other = Thread(target=keys.change, args=("b", lambda all_: [*all_, key("b")]))
            other.start()
            other.join()
        return [*before, key("a")]

    keys.change("a", added)

    assert [each.name for each in known(stack)] == ["b", "a"]
    assert calls == [0, 0, 1]


def test_who_never_gets_to_write_is_told_so(stack: str) -> None:
    keys, numbers = DeployedKeys(stack_name=stack), itertools.count()

    def added(before: Sequence[Key]) -> list[Key]:
        number = next(numbers)
        key = Key(name=f"b{number}", tenant="t", sha256=digest_of(bytes([number])))
        other = Thread(target=keys.change, args=(key.name, lambda all_: [*all_, key]))
        other.start()
        other.join()
        return [*before]

    with pytest.raises(CommandError, match=r"others change the secret .*, too"):
        keys.change("a", added)


def test_a_stack_that_is_not_there_is_one_sentence() -> None:
    result = call("nowhere", "list")

    assert result.exit_code == 1
    assert result.stderr.startswith(
        "darkroom: there is no secret nowhere-api-keys in us-east-1"
    )


def test_a_stack_without_api_gateway_has_the_secret_alone(stack: str) -> None:
    async def without(_: Any, gateway: Any) -> None:
        plans = (await gateway.get_usage_plans(limit=500))["items"]
        for plan in plans:
            await gateway.delete_usage_plan(usagePlanId=plan["id"])

    asked(without)
    done(stack, "create", "bot", "--tenant", "studio")
    done(stack, "revoke", "bot")
    assert known(stack) == []


def test_a_secret_that_is_broken_is_left_alone(stack: str) -> None:
    async def broken(secrets: Any, _: Any) -> None:
        await secrets.put_secret_value(
            SecretId=f"{stack.lower()}-api-keys",
            SecretString='{"keys": [{"name": "a-secret"}]}',
        )

    asked(broken)
    result = call(stack, "create", "bot", "--tenant", "studio")

    assert result.exit_code == 1
    assert f"the secret {stack.lower()}-api-keys cannot be used" in result.stderr
    assert "a-secret" not in result.stderr
    assert passing(stack) == {}


def test_one_stack_at_a_time(stack: str) -> None:
    result = call(stack, "list", "--data-dir", "/tmp")  # noqa: S108  # is not read

    assert result.exit_code == 1
    assert "give one" in result.stderr
