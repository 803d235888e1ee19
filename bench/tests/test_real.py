from __future__ import annotations

import json
from typing import Any

import httpx
import pytest
from typer.testing import CliRunner

from contracts.kinds import RuntimeType
from darkroom_bench.real import app, section
from darkroom_bench.real_run import Found, Plan, summed_up
from darkroom_bench.real_servers import ComfyUi, InvokeAi, Picture
from darkroom_cli.errors import CommandError

# As ComfyUI 0.3.64 and InvokeAI 6.14.2 answered, without what is not read.
HISTORY = {
    "one": {
        "status": {
            "status_str": "success",
            "messages": [
                ["execution_start", {"prompt_id": "one", "timestamp": 1764252000100}],
                ["execution_cached", {"nodes": [], "timestamp": 1764252000101}],
                ["execution_success", {"prompt_id": "one", "timestamp": 1764252000350}],
            ],
        }
    },
    "broken": {
        "status": {
            "status_str": "error",
            "messages": [
                ["execution_start", {"timestamp": 1764252000100}],
                ["execution_error", {"timestamp": 1764252000120}],
            ],
        }
    },
}
ITEMS = [
    {
        "item_id": 7,
        "status": "completed",
        "started_at": "2026-11-27 14:00:00.100",
        "completed_at": "2026-11-27 14:00:00.350",
    },
    {"item_id": 8, "status": "in_progress", "started_at": "2026-11-27 14:00:01.000"},
]
PLAN = Plan(
    kind=RuntimeType.COMFYUI,
    url="http://127.0.0.1:8188",
    picture=Picture(side=512, steps=20, checkpoint="random.safetensors"),
    tasks=3,
    patience=60,
)


def answering(body: Any, status: int = 200) -> httpx.AsyncClient:
    transport = httpx.MockTransport(lambda _: httpx.Response(status, json=body))
    return httpx.AsyncClient(transport=transport, base_url="http://server")


def test_figures_are_those_of_the_servers_own_clock() -> None:
    way = summed_up("Darkroom", [(3.0, 4.0), (0.0, 1.0), (1.1, 2.1)])

    assert way.images == 3
    assert way.image_seconds == pytest.approx(1.0)
    assert way.busy_fraction == pytest.approx(0.75)
    assert way.p50_ms == pytest.approx(500)


async def test_comfyui_tells_when_it_worked_on_what_went_well() -> None:
    async with answering(HISTORY) as http:
        assert await ComfyUi(http).spans() == {"one": (1764252000.1, 1764252000.35)}


async def test_invokeai_tells_when_it_worked_on_what_is_completed() -> None:
    async with answering(ITEMS) as http:
        spans = await InvokeAi(http).spans()

    assert list(spans) == ["7"]
    start, end = spans["7"]
    assert end - start == pytest.approx(0.25)


async def test_no_graph_is_made_twice() -> None:
    async with answering({}) as http:
        made = [json.dumps(await ComfyUi(http).graph(PLAN.picture)) for _ in range(3)]

    assert len(set(made)) == 3


async def test_server_that_refuses_says_why() -> None:
    async with answering({"error": "no such node"}, 400) as http:
        with pytest.raises(CommandError, match="no such node"):
            await ComfyUi(http).queue({})


async def test_missing_model_names_those_that_are_there() -> None:
    async with answering({"models": [{"name": "other"}]}) as http:
        with pytest.raises(CommandError, match=r"random\.safetensors.*other"):
            await InvokeAi(http).graph(PLAN.picture)


def test_section_names_the_device_and_both_ways() -> None:
    spans = [(0.0, 1.0), (1.1, 2.1), (2.2, 3.2)]
    ways = (summed_up("its own queue", spans), summed_up("Darkroom", spans))

    text = section(PLAN, Found(device="ComfyUI 1 on a card", ways=ways))

    assert "ComfyUI 1 on a card; pictures of 512 x 512, 20 steps, random.safetensors." in text
    assert "| its own queue | 3 | 1.000 |" in text
    assert "| Darkroom | 3 | 1.000 |" in text


def test_sdwebui_is_refused() -> None:
    done = CliRunner().invoke(app, ["http://127.0.0.1:1", "--runtime", "sdwebui"])

    assert done.exit_code == 2
    assert "comfyui or invokeai" in done.output


def test_server_that_is_not_there_is_one_sentence() -> None:
    done = CliRunner().invoke(app, ["http://127.0.0.1:1"])

    assert done.exit_code == 1
    assert "http://127.0.0.1:1/system_stats" in done.output
