from __future__ import annotations

import asyncio
import os
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner

from darkroom_bench.command import levels
from darkroom_bench.figures import replace_section
from darkroom_bench.ingest_load import MARKS, app, grid, limit, section
from darkroom_bench.ingest_run import Level, RouterKind, cores, on_core
from darkroom_bench.submitters import Submitted, drive


def level(
    *, ingest_busy: float = 0.95, rest_busy: float = 0.5, foreign_busy: float = 0
) -> Level:
    return Level(
        router=RouterKind.STUB,
        protocol="grpc",
        clients=16,
        submitted=Submitted(submissions=100, a_second=900, p50_ms=16, p99_ms=30),
        ingest_ms=1.25,
        router_ms=0.5,
        ingest_busy=ingest_busy,
        rest_busy=rest_busy,
        foreign_busy=foreign_busy,
    )


def test_a_row_has_what_a_core_of_ingest_is_worth() -> None:
    [row] = grid([level()]).rows

    assert row == (
        "stub", "gRPC", "16", "900", "1.25", "800", "0.50", "16.0", "30.0", "95%", "50%",
        "0%", "ingest",
    )  # fmt: skip


@pytest.mark.parametrize(
    ("busy", "named"),
    [
        ((0.95, 0.95, 0.0), "ingest"),
        ((0.5, 0.95, 0.0), "other core"),
        ((0.5, 0.5, 0.5), "other programs"),
        ((0.5, 0.5, 0.0), "latency"),
    ],
)
def test_what_is_busy_is_the_limit(busy: tuple[float, float, float], named: str) -> None:
    ingest_busy, rest_busy, foreign_busy = busy
    found = level(ingest_busy=ingest_busy, rest_busy=rest_busy, foreign_busy=foreign_busy)
    assert limit(found) == named


def test_the_section_goes_between_its_own_marks() -> None:
    document = f"a\n{MARKS.begin}\nold\n{MARKS.end}\nb\n"

    replaced = replace_section(document, section([level()]), MARKS)

    assert "old" not in replaced
    assert replaced.startswith("a\n")
    assert "| stub | gRPC | 16 | 900 |" in replaced


async def test_clients_submit_until_the_time_is_over(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("darkroom_bench.submitters.WARM_UP_SECONDS", 0.02)
    calls = 0

    async def submit() -> None:
        nonlocal calls
        calls += 1
        await asyncio.sleep(0.001)

    submitted = await drive([submit] * 3, 0.05)

    assert submitted.submissions == calls
    assert 0 < submitted.p50_ms <= submitted.p99_ms
    assert submitted.a_second > 0


def test_the_core_of_this_process_is_given_back() -> None:
    own, other = cores()
    before = os.sched_getaffinity(0)

    with on_core(other):
        assert os.sched_getaffinity(0) == {other}

    assert os.sched_getaffinity(0) == before
    assert own != other


@pytest.mark.parametrize("text", ["", "0", "1,x", "1,1"])
def test_numbers_of_clients_that_make_no_sense_are_refused(text: str) -> None:
    with pytest.raises(typer.BadParameter):
        levels(text, "1,16")


def test_a_document_with_half_a_pair_of_marks_is_refused_before_the_run(
    tmp_path: Path,
) -> None:
    file = tmp_path / "performance.md"
    file.write_text(MARKS.begin)

    assert CliRunner().invoke(app, ["--markdown", str(file)]).exit_code == 1
