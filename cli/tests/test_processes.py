from __future__ import annotations

import asyncio
import os
import signal
from pathlib import Path

import pytest

from contracts.kinds import RuntimeType
from contracts.runtimes import Runtime
from darkroom_cli.embedded.folder import Folder
from darkroom_cli.embedded.processes import Processes, Program, last_line
from darkroom_cli.embedded.programs import Addresses, Attached, answering, services
from darkroom_cli.errors import CommandError
from darkroom_cli.interruption import unless
from provisioning.resources import Resources
from servicekit.health import Health
from servicekit.listen import free_port
from servicekit.web import http_serving, ops_app


def program(folder: Path, *arguments: str, marked: str = "marker") -> Program:
    marker = folder / "marker"

    async def unready() -> str | None:
        made = await asyncio.to_thread((folder / marked).exists)
        return None if made else "the runtime does not answer"

    return Program(
        name="sample",
        module="cli_program",
        arguments=arguments or (str(marker),),
        log=folder / "sample.log",
        unready=unready,
    )


async def test_program_that_dies_is_reported_and_started_again(tmp_path: Path) -> None:
    reports: list[str] = []
    told = asyncio.Event()

    def report(text: str) -> None:
        reports.append(text)
        told.set()

    sample = program(tmp_path)
    with Folder(tmp_path / "lock").locked() as lock:
        processes = Processes(report, lock)
        await processes.start(sample)
        first = processes.pid("sample")
        async with asyncio.timeout(60), asyncio.TaskGroup() as group:
            watch = group.create_task(processes.watch(sample))
            os.kill(first, signal.SIGKILL)
            await told.wait()
            while processes.pid("sample") == first:  # noqa: ASYNC110  # it tells nobody
                await asyncio.sleep(0.01)
            watch.cancel()
        await processes.stop()

    assert "sample ended with status -9, restarted in 0.5 s" in reports[0]


async def test_program_that_cannot_start_is_told_in_its_own_words(tmp_path: Path) -> None:
    with Folder(tmp_path / "lock").locked() as lock:
        processes = Processes(lambda _: None, lock)
        with pytest.raises(CommandError, match="status 1: this program cannot start"):
            await processes.start(program(tmp_path, "--fail"))
        await processes.stop()


async def test_stop_leaves_no_process(tmp_path: Path) -> None:
    with Folder(tmp_path / "lock").locked() as lock:
        processes = Processes(lambda _: None, lock)
        await processes.start(program(tmp_path))
        pid = processes.pid("sample")
        await processes.stop()

    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)


async def test_program_that_takes_too_long_is_named_with_its_reason(tmp_path: Path) -> None:
    reports: list[str] = []
    with Folder(tmp_path / "lock").locked() as lock:
        processes = Processes(reports.append, lock, ready_seconds=0.3, patience_seconds=0.02)
        with pytest.raises(CommandError) as caught:
            await processes.start(program(tmp_path, marked="never"))
        await processes.stop()

    waiting = "sample (the runtime does not answer)"
    assert reports == [f"waiting for {waiting}"]  # once, for nothing changed
    assert f"not ready after 0.3 s: {waiting}; see the logs in {tmp_path}" in str(caught.value)


async def test_interrupted_start_ends_at_once_and_leaves_no_process(tmp_path: Path) -> None:
    ids: dict[str, int] = {}
    stop, sample = asyncio.Event(), program(tmp_path, marked="never")
    with Folder(tmp_path / "lock").locked() as lock:
        processes = Processes(lambda _: stop.set(), lock, ids.update, patience_seconds=0.02)
        with pytest.raises(CommandError, match="interrupted"):
            async with asyncio.timeout(60):
                await unless(stop, processes.start(sample))
        await processes.stop()

    with pytest.raises(ProcessLookupError):
        os.kill(ids["sample"], 0)


async def test_interruption_does_not_hide_what_work_gives_or_raises() -> None:
    async def gives() -> str:
        return "done"

    async def fails() -> None:
        raise CommandError("its own reason")

    assert await unless(asyncio.Event(), gives()) == "done"
    with pytest.raises(ExceptionGroup) as caught:
        await unless(asyncio.Event(), fails())
    assert str(caught.value.exceptions[0]) == "its own reason"


async def test_service_is_unready_for_the_reason_that_it_tells(tmp_path: Path) -> None:
    health = Health()
    port = free_port()
    unready = answering(f"http://127.0.0.1:{port}/readyz")
    assert await unready() == "does not answer"
    async with http_serving(ops_app(health), "127.0.0.1", port):
        await health.not_ready("the router does not answer")
        assert await unready() == "the router does not answer"
        assert await answering(f"http://127.0.0.1:{port}/none")() == "answers 404"
        await health.ready()
        assert await unready() is None


async def test_edge_is_asked_for_its_readiness_where_it_listens(tmp_path: Path) -> None:
    runtime = Runtime(name="mine", type=RuntimeType.SDWEBUI)
    attached = (Attached(runtime=runtime, url="http://127.0.0.1:1"),)
    port, health = free_port(), Health()
    addresses = Addresses(
        host="127.0.0.2", rest=port, grpc=1, router=2, notifier=3, model_sync=4,
        agents={"mine": 5},
    )  # fmt: skip
    resources = Resources(
        task_topic_arn="tasks", result_topic_arn="results", table="ledger",
        output_bucket="output", model_bucket="models", claim_bucket="claims",
        queues={"mine": "queue"}, dead_letter_queues={},
        webhook_queue="hooks", webhook_dead_letter_queue="parked",
    )  # fmt: skip
    ingest = services(addresses, attached, resources, Folder(tmp_path), {})[-1]
    await health.ready()

    async with http_serving(ops_app(health), "127.0.0.2", port):
        assert await ingest.unready() is None


def test_last_line_of_a_group_of_errors_is_the_last_with_words(tmp_path: Path) -> None:
    log = tmp_path / "service.log"
    log.write_text("  | ValueError: port out of range\n  +------------------\n\n")

    assert last_line(log) == "ValueError: port out of range"


def test_last_line_of_a_missing_log_is_said_to_be_missing(tmp_path: Path) -> None:
    assert last_line(tmp_path / "none.log") == "its log cannot be read"
