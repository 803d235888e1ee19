"""The process: how it starts, logs its work and stops."""

from __future__ import annotations

import asyncio
import itertools
import json
import subprocess
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import httpx
import pytest
from typer.testing import CliRunner

from sample_runtime.main import app
from testkit.sample_runtimes import SampleRuntime

Until = Callable[[Callable[[], Awaitable[bool]]], Awaitable[None]]
Start = Callable[..., SampleRuntime]
EXIT_BUDGET_SECONDS = 60


def test_help_has_examples() -> None:
    result = CliRunner().invoke(app, ["--help"])

    assert result.exit_code == 0
    assert "Examples" in result.output


async def test_sigterm_during_a_call_drops_it_and_exits_with_0(
    start: Start, until: Until
) -> None:
    url, process = start("sdwebui", "--hang-when", "stuck")

    async with httpx.AsyncClient(base_url=f"{url}/sdapi/v1") as client:

        async def is_working() -> bool:
            return bool((await client.get("/progress")).json()["state"]["job"])

        async with asyncio.TaskGroup() as group:
            group.create_task(_post_and_lose(client))
            await until(is_working)
            code = await asyncio.to_thread(_stop, process)

    assert code == 0


async def test_sigterm_during_a_prompt_exits_with_0_and_leaves_no_files(
    start: Start,
    until: Until,
    workflow: dict[str, Any],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    url, process = start("comfyui", "--hang-when", "glass")
    kept = _files(tmp_path)

    async with httpx.AsyncClient(base_url=url) as client:
        await client.post("/prompt", json={"prompt": workflow})

        async def is_working() -> bool:
            return bool((await client.get("/queue")).json()["queue_running"])

        await until(is_working)
        code = await asyncio.to_thread(_stop, process)

    assert code == 0
    assert len(kept) == 1
    assert _files(tmp_path) == []


def _files(folder: Path) -> list[Path]:
    return list(folder.iterdir())


def _stop(process: subprocess.Popen[str]) -> int:
    process.terminate()
    return process.wait(EXIT_BUDGET_SECONDS)


async def _post_and_lose(client: httpx.AsyncClient) -> None:
    with pytest.raises(httpx.TransportError):
        (await client.post("/txt2img", json={"prompt": "stuck"})).raise_for_status()


async def test_calls_at_once_are_worked_one_after_the_other(
    start: Start, tmp_path: Path
) -> None:
    log = tmp_path / "busy.jsonl"
    url, _ = start("sdwebui", "--seconds-per-image", "0.1", "--busy-log", str(log))

    async with httpx.AsyncClient(base_url=url) as client, asyncio.TaskGroup() as group:
        for number in range(3):
            body = {"steps": 3, "force_task_id": f"task-{number}"}
            group.create_task(client.post("/sdapi/v1/txt2img", json=body))

    spans = [json.loads(line) for line in log.read_text().splitlines()]
    assert {span["id"] for span in spans} == {"task-0", "task-1", "task-2"}
    assert all(span["end"] - span["start"] >= 0.1 for span in spans)
    assert all(one["end"] <= two["start"] for one, two in itertools.pairwise(spans))


@pytest.mark.parametrize("ended_by", ["the file's removal", "an interrupt"])
async def test_held_run_stands_still_until_it_is_ended(
    start: Start, until: Until, tmp_path: Path, ended_by: str
) -> None:
    hold = tmp_path / "hold"
    hold.touch()
    url, _ = start("sdwebui", "--seconds-per-image", "0", "--hold-file", str(hold))

    async with (
        httpx.AsyncClient(base_url=f"{url}/sdapi/v1") as client,
        asyncio.TaskGroup() as group,
    ):
        run = group.create_task(client.post("/txt2img", json={"steps": 3}))

        async def is_held() -> bool:
            state = (await client.get("/progress")).json()["state"]
            return bool(state["sampling_step"] == 1)

        await until(is_held)
        assert not run.done()
        if ended_by == "an interrupt":
            await client.post("/interrupt")
        else:
            hold.unlink()

    assert run.result().status_code == 200


def test_unknown_type_is_refused() -> None:
    result = CliRunner().invoke(app, ["--type", "other"])

    assert result.exit_code == 2
