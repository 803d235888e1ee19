from __future__ import annotations

import asyncio
import json
import time
from dataclasses import asdict, replace
from pathlib import Path
from xml.etree import ElementTree

import pytest
from typer.testing import CliRunner

from darkroom_bench.gpu_idle import MARKS, app, published, read, section
from darkroom_bench.idle_run import Idle, Point, summed_up
from darkroom_bench.latency_proxy import latency_proxy
from darkroom_bench.still_runtime import SIDE, noise
from darkroom_cli.errors import CommandError
from servicekit.listen import free_port

POINT = Point(seconds=0.2, latency_ms=20)
GRID = [(0.0, 0), (0.0, 1), (20.0, 0), (20.0, 1)]


def test_idle_is_the_time_between_two_images() -> None:
    found = summed_up(POINT, [(10.0, 10.2), (10.3, 10.5), (10.501, 10.8)])

    assert found.tasks == 3
    assert found.busy_fraction == pytest.approx(0.699 / 0.8)
    assert found.p50_ms == pytest.approx(50.5)
    assert found.p99_ms == pytest.approx(99.01)


def test_one_gap_is_every_percentile() -> None:
    found = summed_up(POINT, [(1.0, 2.0), (2.5, 3.0)])

    assert (found.p50_ms, found.p99_ms) == (500, 500)


def test_picture_has_the_published_size() -> None:
    picture = noise(SIDE)

    assert picture.startswith(b"\x89PNG")
    assert 145_000 < len(picture) < 160_000


def test_published_grid_has_both_depths_of_each_latency() -> None:
    points = published(80)

    grid = {(point.latency_ms, point.depth) for point in points}
    assert {(latency, depth) for latency in (0, 20, 50) for depth in (0, 1)} <= grid
    assert any(point.with_input for point in points)
    assert any(point.seconds > 1 for point in points)


def test_section_has_a_row_a_run() -> None:
    idle = Idle(point=POINT, tasks=7, busy_fraction=0.98765, p50_ms=2.34, p99_ms=6)
    other = replace(idle, point=replace(POINT, with_input=True, depth=0))

    text = section([idle, other])

    assert "| 0.2 s | 20 | 1 | 7 | 0.9877 | 2.3 | 6.0 | 0.0 |" in text
    assert "| 0.2 s, input | 20 | 0 | 7 |" in text


def test_plot_is_drawn_again_from_the_figures_of_a_file(tmp_path: Path) -> None:
    points = [replace(POINT, latency_ms=latency, depth=depth) for latency, depth in GRID]
    found = [
        Idle(point=point, tasks=9, busy_fraction=0.5, p50_ms=1, p99_ms=2)
        for point in [*points, replace(POINT, seconds=1.5, depth=7)]
    ]
    figures, drawing = tmp_path / "idle.json", tmp_path / "idle.svg"
    figures.write_text(json.dumps([asdict(idle) for idle in found]))

    ran = CliRunner().invoke(app, ["--from", str(figures), "--plot", str(drawing)])

    assert ran.exit_code == 0
    assert read(figures) == found
    svg = ElementTree.fromstring(drawing.read_text())  # noqa: S314  # our own
    texts = [one.text for one in svg.iter() if one.tag.endswith("text")]
    assert {"depth 0, no overlap", "depth 1", "0", "20", "100 %"} <= set(texts)
    assert "depth 7" not in texts


def test_figures_of_something_else_are_refused(tmp_path: Path) -> None:
    file = tmp_path / "other.json"
    file.write_text('[{"seed": 1}]')

    with pytest.raises(CommandError, match=r"other\.json has no figures"):
        read(file)


async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while part := await reader.read(1000):
        writer.write(part)
    writer.close()


@pytest.mark.parametrize("latency", [0, 0.1])
async def test_proxy_makes_each_round_trip_longer_and_keeps_the_bytes(latency: float) -> None:
    port = free_port()
    server = await asyncio.start_server(echo, "127.0.0.1", port)
    async with server, latency_proxy(port, latency) as far:
        reader, writer = await asyncio.open_connection("127.0.0.1", far)
        for text in (b"one", b"two"):
            started = time.perf_counter()
            writer.write(text)
            assert await reader.readexactly(3) == text
            assert time.perf_counter() - started >= latency
        writer.write_eof()
        assert await reader.read() == b""
        writer.close()


async def test_proxy_closes_what_is_open_at_its_end() -> None:
    port = free_port()
    async with await asyncio.start_server(echo, "127.0.0.1", port):
        async with latency_proxy(port, 0) as far:
            reader, writer = await asyncio.open_connection("127.0.0.1", far)
            writer.write(b"one")
            await reader.readexactly(3)
        async with asyncio.timeout(60):
            assert await reader.read() == b""
        writer.close()


def test_document_with_half_the_marks_is_refused_before_the_run(tmp_path: Path) -> None:
    file = tmp_path / "performance.md"
    file.write_text(MARKS.begin)

    assert CliRunner().invoke(app, ["--markdown", str(file)]).exit_code == 1
