"""A user's program is clean under `mypy --strict`, with the package as it is installed."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import darkroom_client

PROGRAM = """
from __future__ import annotations

import asyncio
from datetime import date
from decimal import Decimal

from darkroom_client import (
    AsyncDarkroom, Darkroom, DarkroomError, ProgressEvent, QuotaExceeded, StateEvent,
    TaskFailed, TaskRequest, Throttled, parse_callback, parse_webhook,
)


def first(darkroom: Darkroom) -> bytes | None:
    request = TaskRequest(runtime="sdruntime", content={"prompt": "A dog"}, context={"n": 1})
    try:
        generated = darkroom.generate(request, timeout=60)
    except TaskFailed as error:
        print(error.code, error.message, error.retryable, error.task.uid)
    except Throttled as error:
        wait: float | None = error.retry_after
        print(wait)
    except QuotaExceeded as error:
        print(error.quota, error.limit, error.used, error.resets_at)
    except DarkroomError as error:
        print(error.code, error.status, error.detail)
    else:
        return generated.images[0].content
    return None


def rest(darkroom: Darkroom) -> None:
    for outcome in darkroom.batch([{"task": {}}], concurrency=2):
        index: int = outcome.index
        print(index, outcome.error, outcome.images)
    for event in darkroom.watch("first"):
        if isinstance(event, ProgressEvent):
            percent: float = event.percent
            print(percent)
        else:
            changed: StateEvent = event
            print(changed.task.state)
    for task in darkroom.tasks(state="failed"):
        amount: Decimal | None = task.cost.amount if task.cost else None
        print(amount, task.error and task.error.retryable)
    waits: float | None = darkroom.overview().runtimes[0].oldest_wait_seconds
    ids: list[str] = [letter.message_id for letter in darkroom.dead_letters()]
    used: list[Decimal] = [quota.used for key in darkroom.keys() for quota in key.quotas]
    darkroom.upload_model("a.pt", "Lora/a.pt", progress=lambda sent, of: print(sent / of))
    print(waits, darkroom.redrive(ids)[0].outcome, used, darkroom.webhooks()[0].url)
    print(darkroom.submit(darkroom.task_request("first")).uid, darkroom.tasks_page().cursor)
    usage = darkroom.usage(date(2026, 11, 1), date(2026, 11, 30), group_by="tenant")
    print([group.gpu_seconds for group in usage.groups])
    print(parse_callback(b"{}").uid)
    if told := parse_webhook(b"{}", {}, "whsec_x"):
        print(told.status)


async def awaited(endpoint: str) -> list[str]:
    async with AsyncDarkroom(endpoint, "key") as darkroom:
        async for outcome in darkroom.batch([], ordered=False):
            print(outcome.task.uid)
        return [runtime.name for runtime in await darkroom.runtimes()]


with Darkroom("http://127.0.0.1:8080", "key") as opened:
    names: list[str] = [model.name for model in opened.models()]
    first(opened)
    rest(opened)
asyncio.run(awaited("http://127.0.0.1:8080"))
"""
WRONG = """
from darkroom_client import Darkroom

Darkroom("http://127.0.0.1:8080", "key").usage("2026-11-01", "2026-11-30", group_by="colour")
"""


def checked(folder: Path, program: str) -> subprocess.CompletedProcess[str]:
    (folder / "program.py").write_text(program)
    sources = Path(darkroom_client.__file__).parents[1]
    return subprocess.run(
        [sys.executable, "-m", "mypy", "--strict", "--python-version", "3.10",
         "--cache-dir", str(folder / "cache"), "program.py"],
        cwd=folder,
        env={**os.environ, "MYPYPATH": str(sources)},
        capture_output=True,
        text=True,
        check=False,
        timeout=250,
    )  # fmt: skip


def test_program_of_a_user_is_clean(tmp_path: Path) -> None:
    ended = checked(tmp_path, PROGRAM)

    assert ended.returncode == 0, ended.stdout + ended.stderr


def test_program_that_is_wrong_is_told_so(tmp_path: Path) -> None:
    ended = checked(tmp_path, WRONG)

    assert ended.stdout.count(": error: ") == 3, ended.stdout + ended.stderr
