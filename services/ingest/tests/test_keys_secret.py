"""Keys in a secret of Secrets Manager, beside those of the file."""

from __future__ import annotations

import asyncio
import json
import os
import signal
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest
from ingest_fakes import CALLER, KEY, WRONG_KEY, digest

from awsio import clients
from contracts.ids import new_uid
from contracts.keys import BrokenKeysError, Key, KeyScope
from ingest.adapters.secrets import SecretsManagerKeys
from ingest.keys import Gate, Limits, watch_secret
from ingest.main import serve
from ingest.settings import Settings
from servicekit.errors import FatalError, TransientError
from servicekit.health import Health
from servicekit.listen import HOST, free_port
from servicekit.rpc import serving
from testkit.aws import aws

__all__ = ["aws"]

LIMITS = Limits(rate_per_second=30, burst=50, replicas=2)


def key(name: str, secret: str) -> Key:
    return Key(name=name, tenant="studio", sha256=digest(secret))


def text(*keys: Key) -> str:
    return json.dumps({"keys": [each.model_dump(mode="json") for each in keys]})


@dataclass
class Scripted:
    """Gives what it is told, then stops whoever asks."""

    stop: asyncio.Event
    given: list[list[Key] | Exception | None] = field(default_factory=list)

    async def changed(self) -> list[Key] | None:
        told = self.given.pop(0)
        if not self.given:
            self.stop.set()
        if isinstance(told, Exception):
            raise told
        return told


@pytest.fixture
async def client(aws: str) -> AsyncIterator[Any]:
    async with clients.secrets() as opened:
        yield opened


async def test_a_secret_is_read_again_when_it_has_changed(client: Any) -> None:
    name = f"{new_uid().lower()}-api-keys"
    secret = SecretsManagerKeys(client=client, name=name)
    with pytest.raises(FatalError):
        await secret.changed()
    await client.create_secret(Name=name, SecretString=text(key("a", KEY)))

    assert await secret.changed() == [key("a", KEY)]
    assert await secret.changed() is None
    await client.put_secret_value(SecretId=name, SecretString="{")
    for _ in range(2):
        with pytest.raises(BrokenKeysError):
            await secret.changed()
    await client.put_secret_value(SecretId=name, SecretString=text())
    assert await secret.changed() == []


async def test_keys_of_the_secret_are_let_in_beside_those_of_the_file() -> None:
    gate, stop = Gate({digest(KEY): CALLER}), asyncio.Event()
    bad: list[list[Key] | Exception | None] = [
        TransientError("no"),
        BrokenKeysError("no"),
        None,
    ]
    secret = Scripted(stop, [[key("b", WRONG_KEY)], *bad])

    def use(keys: list[Key]) -> None:
        gate.replace_besides(LIMITS.callers(keys))

    async with asyncio.timeout(60):
        await watch_secret(secret, use, stop, timedelta())

    for each, name in ((KEY, CALLER.name), (WRONG_KEY, "b")):
        caller = await gate.admit([each.encode()], KeyScope.SUBMIT)
        assert caller.name == name
    assert gate.caller([WRONG_KEY.encode()]).rate_per_second == 15

    gate.replace_besides(LIMITS.callers([key("of-the-secret", KEY), key("b", WRONG_KEY)]))
    assert gate.caller([KEY.encode()]).name == CALLER.name  # the file's own word counts
    gate.replace({})
    assert gate.caller([KEY.encode()]).name == "of-the-secret"
    assert gate.caller([WRONG_KEY.encode()]).name == "b"
    gate.replace_besides({})
    with pytest.raises(Exception, match="a valid x-api-key is needed"):
        gate.caller([WRONG_KEY.encode()])


async def test_ingest_is_ready_once_it_has_read_the_secret(tmp_path: Path, client: Any) -> None:
    name, file = f"{new_uid().lower()}-api-keys", tmp_path / "keys.json"
    file.write_text(text(key("a", KEY)))
    health, neighbour = Health(), f"{HOST}:{free_port()}"
    await health.ready()
    chosen = Settings(
        http_port=free_port(),
        grpc_port=free_port(),
        api_keys_file=file,
        api_keys_secret=name,
        api_keys_secret_interval=timedelta(milliseconds=5),
        router_target=neighbour,
        model_sync_target=neighbour,
        notifier_target=neighbour,
        readiness_interval=timedelta(milliseconds=5),
    )
    url = f"http://{HOST}:{chosen.http_port}"
    async with (
        asyncio.timeout(120),
        serving(neighbour, health, (), lambda _: None),
        httpx.AsyncClient(base_url=url, transport=httpx.AsyncHTTPTransport(retries=8)) as http,
        asyncio.TaskGroup() as group,
    ):
        group.create_task(serve(chosen), name="ingest")
        while (waiting := await http.get("/readyz")).json()["reason"] == "starting":
            pass
        await client.create_secret(Name=name, SecretString=text(key("b", WRONG_KEY)))
        while not (await http.get("/readyz")).is_success:
            pass
        refused = [
            (await http.get("/v1/models", headers={"x-api-key": each})).status_code == 401
            for each in (KEY, WRONG_KEY, "another")
        ]
        os.kill(os.getpid(), signal.SIGTERM)

    assert waiting.json()["reason"] == "the secret of API keys cannot be read"
    assert refused == [False, False, True]
