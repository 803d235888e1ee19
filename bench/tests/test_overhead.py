from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from typer.testing import CliRunner

from darkroom_bench.cpu import OTHERS, SERVICES, Meter, milliseconds_a_task, name_of
from darkroom_bench.figures import OVERHEAD, as_json, grids, markdown, replace_section
from darkroom_bench.load import Lap
from darkroom_bench.measure import Level, Plan
from darkroom_bench.overhead import app
from darkroom_bench.times import MEASURES, Percentiles, Span, percentiles, read_spans, split
from darkroom_cli.errors import CommandError

BEGIN, END = OVERHEAD.begin, OVERHEAD.end
START = datetime(2024, 1, 1, tzinfo=UTC)


def at(milliseconds: float) -> datetime:
    return START + timedelta(milliseconds=milliseconds)


LAP = Lap(uid="A", posted=at(0), received=at(1000))
EVENTS = {"queued": at(20), "leased": at(520), "generated": at(600), "notified": at(940)}


def level(in_flight: int) -> Level:
    return Level(
        in_flight=in_flight,
        tasks=4,
        timed=3,
        tasks_a_second=2.5,
        cpu={name: 1.25 for name in (*SERVICES, *OTHERS)},
        times={name: Percentiles(p50=10, p99=20) for name in MEASURES},
    )


def test_percentiles_are_in_milliseconds_and_lie_within_the_values() -> None:
    found = percentiles(number / 1000 for number in range(101))
    assert found.p50 == pytest.approx(50)
    assert found.p99 == pytest.approx(99)
    assert percentiles([0.003, 0.003]) == Percentiles(p50=3, p99=3)


def test_the_time_of_a_task_is_split_at_its_events() -> None:
    spans = [Span(at(100), at(150)), Span(at(530), at(580)), Span(at(700), at(750))]
    found = split(LAP, EVENTS, spans)
    assert found.total == 1
    assert found.generation == 0.05
    assert found.overhead == pytest.approx(0.95)
    assert found.without_wait == pytest.approx(0.45)
    assert found.inside == pytest.approx(0.39)


@pytest.mark.parametrize("spans", [[], [Span(at(100), at(150))], [Span(at(700), at(750))]])
def test_a_task_without_a_span_of_the_device_is_refused(spans: list[Span]) -> None:
    with pytest.raises(CommandError, match="no span of A"):
        split(LAP, EVENTS, spans)


def test_a_task_that_lacks_an_event_is_refused() -> None:
    with pytest.raises(CommandError, match="no leased of A"):
        split(LAP, {key: EVENTS[key] for key in EVENTS if key != "leased"}, [])


def test_spans_are_read_in_order_of_their_start(tmp_path: Path) -> None:
    file = tmp_path / "busy.jsonl"
    lines = [{"start": start, "end": start + 1, "id": "x"} for start in (20.0, 10.0)]
    file.write_text("".join(json.dumps(line) + "\n" for line in lines))
    assert [span.start.timestamp() for span in read_spans(file)] == [10, 20]


@pytest.mark.parametrize(
    ("arguments", "runtime", "name"),
    [
        (["python", "-m", "ingest.main"], None, "ingest"),
        (["python", "-m", "model_sync.main"], None, "model-sync"),
        (["python", "-m", "queue_agent.main"], "sdruntime", "queue-agent"),
        (["python", "-m", "queue_agent.main"], "comfyruntime", None),
        (["python", "-m", "sample_runtime.main", "--type", "x"], None, "sample runtime"),
        (["python", "-m", "ministack"], None, "AWS emulator"),
        (["python", "-m", "other"], None, None),
        (["cat", "-m"], None, None),
        ([], None, None),
    ],
)
def test_a_process_is_named_by_its_module_and_runtime(
    arguments: list[str], runtime: str | None, name: str | None
) -> None:
    environment = {"QUEUE_AGENT_RUNTIME_NAME": runtime} if runtime else {}
    assert name_of(arguments, environment, "sdruntime") == name


def test_a_service_that_does_not_run_is_named() -> None:
    with pytest.raises(CommandError, match="no process was found for ingest, router"):
        Meter("sdruntime")


def test_cpu_is_divided_by_the_tasks() -> None:
    assert milliseconds_a_task({"a": 1.0}, {"a": 1.5}, 10) == {"a": 50}


def test_only_what_is_between_the_marks_is_replaced() -> None:
    document = f"# Title\n\n{BEGIN}\nold\n{END}\n\nThe rest\n"
    once = replace_section(document, "new")
    assert once == f"# Title\n\n{BEGIN}\n\nnew\n\n{END}\n\nThe rest\n"
    assert replace_section(once, "new") == once


def test_a_document_without_marks_gets_the_section_at_its_end() -> None:
    assert replace_section("", "new") == f"{BEGIN}\n\nnew\n\n{END}\n"
    assert replace_section("# A\n", "new") == f"# A\n\n{BEGIN}\n\nnew\n\n{END}\n"


@pytest.mark.parametrize(
    "document", [BEGIN, END, f"{END}{BEGIN}", f"{BEGIN}{BEGIN}{END}", f"{BEGIN}{END}{END}"]
)
def test_marks_that_are_no_pair_are_refused(document: str) -> None:
    with pytest.raises(CommandError, match="needs one"):
        replace_section(document, "new")


def test_a_level_is_long_enough_for_its_queue_to_turn_over() -> None:
    plan = Plan(levels=(1, 50), tasks=100, image_seconds=0.05)
    assert [plan.timed(in_flight) for in_flight in plan.levels] == [100, 150]


def test_tables_have_a_column_for_each_level_and_a_sum_of_the_services() -> None:
    services, others, times = grids([level(1), level(10)])
    assert services.rows[-1] == ("together", "6.2", "6.2")
    assert [row[0] for row in others.rows] == list(OTHERS)
    assert times.header[1:3] == ("1 in flight, p50", "1 in flight, p99")
    assert times.rows[0] == ("POST to callback", "10", "20", "10", "20")
    lines = times.markdown().splitlines()
    assert lines[1] == "| --- | ---: | ---: | ---: | ---: |"
    assert {line.count("|") for line in lines} == {6}


def test_the_section_says_what_was_run_and_what_each_row_means() -> None:
    text = markdown([level(1)], 0.05)
    assert all(f"**{name}**" in text for name in MEASURES)
    assert "Machine: " in text
    assert "1 in flight: 4 tasks" in text


def test_the_json_has_milliseconds_by_name() -> None:
    figures = json.loads(as_json([level(1)], 0.05))["levels"][0]
    assert figures["cpu"]["ingest"] == 1.25
    assert figures["times"]["overhead"] == {"p50": 10, "p99": 20}


def test_help_shows_examples() -> None:
    shown = CliRunner().invoke(app, ["--help"])
    assert shown.exit_code == 0
    assert "./pants run bench:overhead -- --markdown" in shown.output


@pytest.mark.parametrize("levels", ["", "0", "1,x", "1,1"])
def test_levels_that_make_no_sense_are_refused(levels: str) -> None:
    assert CliRunner().invoke(app, ["--in-flight", levels]).exit_code == 2


def test_a_document_that_cannot_be_updated_is_refused_before_the_run(tmp_path: Path) -> None:
    file = tmp_path / "performance.md"
    file.write_text(BEGIN)
    assert CliRunner().invoke(app, ["--markdown", str(file)]).exit_code == 1
    missing = tmp_path / "no" / "overhead.json"
    assert CliRunner().invoke(app, ["--json", str(missing)]).exit_code == 1
