from __future__ import annotations

import asyncio
import json
import logging
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from ingest_fakes import CALLER, KEY, WRONG_KEY, digest

from contracts.keys import KeyScope
from ingest.domain import Caller
from ingest.keys import Gate, KeysFile, open_gate, watch_keys
from ingest.throttle import Room, Throttle, ThrottledError
from servicekit.errors import FatalError, RejectedError

TICK = timedelta(milliseconds=1)


def key(name: str, secret: str, **limits: Any) -> dict[str, Any]:
    return {"name": name, "tenant": "studio", "sha256": digest(secret), **limits}


def write(path: Path, *keys: dict[str, Any]) -> None:
    new = path.with_suffix(".new")
    new.write_text(json.dumps({"keys": keys}))
    new.replace(path)


def keys_file(path: Path) -> KeysFile:
    return KeysFile(path, rate_per_second=30, burst=50)


async def admits(gate: Gate, secret: str) -> bool:
    try:
        await gate.admit([secret.encode()], KeyScope.READ)
    except RejectedError as error:
        assert error.code == "unauthorized"  # noqa: PT017  # either outcome is right
        return False
    return True


class ObservedGate(Gate):
    """Tells when it was given other callers."""

    def __init__(self, callers: dict[str, Caller]) -> None:
        super().__init__(callers)
        self.replaced = asyncio.Event()

    def replace(self, callers: dict[str, Caller]) -> None:
        super().replace(callers)
        self.replaced.set()


class Errors(logging.Handler):
    """Keeps what is logged as an error, and tells when the first comes."""

    def __init__(self) -> None:
        super().__init__(logging.ERROR)
        self.messages: list[str] = []
        self.first = asyncio.Event()

    def emit(self, record: logging.LogRecord) -> None:
        self.messages.append(record.getMessage())
        self.first.set()


async def test_key_of_the_file_is_admitted_with_its_limits(tmp_path: Path) -> None:
    path = tmp_path / "keys.json"
    write(path, key("a", KEY, rate_per_second=2.5, burst=7), key("b", WRONG_KEY))
    gate = open_gate(keys_file(path))

    assert await gate.admit([KEY.encode()], KeyScope.READ) == Caller(
        name="a", tenant="studio", rate_per_second=2.5, burst=7
    )
    assert await gate.admit([WRONG_KEY.encode()], KeyScope.READ) == Caller(
        name="b", tenant="studio", rate_per_second=30, burst=50
    )


@pytest.mark.parametrize(
    "keys", [[], [b""], [b"\xff"], [KEY.encode()] * 2, [digest(KEY).encode()]]
)
async def test_anything_but_one_valid_key_is_refused(keys: list[bytes]) -> None:
    with pytest.raises(RejectedError, match="a valid x-api-key is needed"):
        await Gate({digest(KEY): CALLER}).admit(keys, KeyScope.READ)


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("{", "Invalid JSON"),
        ('{"keys": [{"name": "a", "tenant": "t"}]}', "keys.0.sha256: Field required"),
        (f'{{"keys": [{{"name": "a", "tenant": "t", "sha256": "{KEY}"}}]}}', "keys.0.sha256"),
        (
            json.dumps({"keys": [key("a", KEY), {**key("a", WRONG_KEY), "tenant": "b"}]}),
            "two keys of different tenants have the same name",
        ),
        (json.dumps({"keys": [key("a", KEY, scope="all")]}), "keys.0.scope"),
        (json.dumps({"keys": [key("a", KEY, expires_at="2026-01-02T03:04:05")]}), "timezone"),
        (json.dumps({"keys": [key("a", KEY), key("b", KEY)]}), "the same sha256"),
        (json.dumps({"keys": [key("a", KEY, burst=0)]}), "keys.0.burst"),
        (json.dumps({"keys": [key("a", KEY, rate_per_second=0)]}), "keys.0.rate_per_second"),
        (json.dumps({"keys": [key("a", KEY, key="plain")]}), "keys.0.key"),
    ],
)
def test_broken_file_at_the_start_is_told_in_one_sentence(
    tmp_path: Path, text: str, why: str
) -> None:
    path = tmp_path / "keys.json"
    path.write_text(text)

    with pytest.raises(FatalError) as caught:
        open_gate(keys_file(path))

    assert str(caught.value).startswith(f"the API keys file {path} cannot be used: ")
    assert why in str(caught.value)
    assert KEY not in str(caught.value)


def test_missing_file_at_the_start_is_told_in_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(FatalError, match="cannot be used: No such file or directory"):
        open_gate(keys_file(tmp_path / "none.json"))


@pytest.mark.parametrize(
    ("scope", "good_for"),
    [("read", {"read"}), ("submit", {"read", "submit"}), ("admin", set(KeyScope))],
)
async def test_key_is_good_for_what_its_scope_says(scope: str, good_for: set[str]) -> None:
    gate = Gate({digest(KEY): replace(CALLER, scope=KeyScope(scope))})
    for needs in KeyScope:
        if needs in good_for:
            await gate.admit([KEY.encode()], needs)
            continue
        with pytest.raises(RejectedError, match=f"needs a key of scope '{needs}'") as caught:
            await gate.admit([KEY.encode()], needs)
        assert caught.value.code == "forbidden"


async def test_key_ends_when_it_expires(tmp_path: Path) -> None:
    path = tmp_path / "keys.json"
    ends = {"expires_at": "2026-01-02T03:04:05Z"}, {"expires_at": "2126-01-02T03:04:05Z"}
    write(path, key("a", KEY, **ends[0]), key("a", WRONG_KEY, **ends[1]))
    gate = open_gate(keys_file(path))

    assert not await admits(gate, KEY)
    assert await admits(gate, WRONG_KEY)


async def test_changed_file_changes_who_is_admitted(tmp_path: Path) -> None:
    path, stop = tmp_path / "keys.json", asyncio.Event()
    write(path, key("a", KEY))
    file = keys_file(path)
    gate = ObservedGate(file.read())
    async with asyncio.timeout(60), asyncio.TaskGroup() as group:
        group.create_task(watch_keys(file, gate, stop, TICK), name="watch")
        assert await admits(gate, KEY)
        write(path, key("b", WRONG_KEY))
        await gate.replaced.wait()
        assert await admits(gate, WRONG_KEY)
        assert not await admits(gate, KEY)
        stop.set()


@pytest.mark.parametrize("broken", [True, False])
async def test_broken_or_lost_file_keeps_the_old_keys_and_is_logged_once(
    tmp_path: Path, broken: bool
) -> None:
    path, stop = tmp_path / "keys.json", asyncio.Event()
    write(path, key("a", KEY))
    file = keys_file(path)
    gate, errors = ObservedGate(file.read()), Errors()
    logging.getLogger("ingest.keys").addHandler(errors)
    async with asyncio.timeout(60), asyncio.TaskGroup() as group:
        group.create_task(watch_keys(file, gate, stop, TICK), name="watch")
        if broken:
            path.write_text("{")
        else:
            path.unlink()
        await errors.first.wait()
        assert await admits(gate, KEY)
        write(path, key("b", WRONG_KEY))
        await gate.replaced.wait()
        assert await admits(gate, WRONG_KEY)
        stop.set()

    logging.getLogger("ingest.keys").removeHandler(errors)
    assert errors.messages == ["kept the old API keys: the file is broken"]


async def test_burst_is_admitted_at_once_and_no_more() -> None:
    throttle, caller = Throttle(), replace(CALLER, rate_per_second=0.25, burst=3)
    for _ in range(3):
        await throttle.take(caller)

    with pytest.raises(ThrottledError) as caught:
        await throttle.take(caller)

    assert caught.value.code == "throttled"
    assert caught.value.retry_after == timedelta(seconds=4)


async def test_key_is_admitted_again_after_the_time_that_it_was_told(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    throttle, caller = Throttle(), replace(CALLER, rate_per_second=0.25, burst=1)
    loop = asyncio.get_running_loop()
    now = loop.time()
    await throttle.take(caller)
    with pytest.raises(ThrottledError) as caught:
        await throttle.take(caller)
    assert caught.value.retry_after is not None
    later = now + caught.value.retry_after.total_seconds() + 1
    with monkeypatch.context() as patch:
        patch.setattr(loop, "time", lambda: later)
        await throttle.take(caller)


async def test_one_key_does_not_slow_another() -> None:
    throttle = Throttle()
    slow = replace(CALLER, name="slow", rate_per_second=0.1, burst=1)
    await throttle.take(slow)

    await throttle.take(replace(slow, name="other"))


async def test_key_that_stays_in_the_file_stays_throttled() -> None:
    slow = replace(CALLER, rate_per_second=0.1, burst=1)
    gate = Gate({digest(KEY): slow})
    await gate.admit([KEY.encode()], KeyScope.READ)

    gate.replace({digest(KEY): slow, digest(WRONG_KEY): replace(slow, name="new")})

    with pytest.raises(ThrottledError):
        await gate.admit([KEY.encode()], KeyScope.READ)
    assert await admits(gate, WRONG_KEY)


async def test_replicas_share_the_rate_and_the_burst_of_a_key(tmp_path: Path) -> None:
    path = tmp_path / "keys.json"
    write(path, key("a", KEY, rate_per_second=2.5, burst=7))
    file = KeysFile(path, rate_per_second=30, burst=50, replicas=2)

    (caller,) = file.read().values()

    assert (caller.rate_per_second, caller.burst) == (1.25, 4)


async def test_room_is_what_is_left_of_the_burst() -> None:
    throttle, caller = Throttle(), replace(CALLER, rate_per_second=0.001, burst=5)
    assert throttle.room(caller) == Room(5, timedelta(0))
    for left in (4, 3, 2, 1, 0):
        await throttle.take(caller)
        assert throttle.room(caller) == Room(left, timedelta(seconds=1000 * (5 - left)))
