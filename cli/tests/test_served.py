"""`darkroom up --with`: an installed server as a process of the stack."""

from __future__ import annotations

import asyncio
import json
import os
from decimal import Decimal
from pathlib import Path

import pytest
from typer.testing import CliRunner

from darkroom_cli.embedded import programs
from darkroom_cli.embedded import sweep as sweeping
from darkroom_cli.embedded.folder import Folder
from darkroom_cli.embedded.processes import Processes, Program
from darkroom_cli.embedded.programs import Addresses, Attached
from darkroom_cli.errors import CommandError
from darkroom_cli.main import app
from darkroom_cli.runtime_option import parse_runtimes, parse_servers
from darkroom_cli.runtimes import served
from darkroom_cli.runtimes.installed import Installed, write_installed
from darkroom_cli.runtimes.known import SERVERS
from darkroom_cli.runtimes.server import Device, Place
from provisioning.resources import Resources
from small_servers import small_server

ANSWERS = """
    import http.server, os, sys

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            self.send_response(200)
            self.end_headers()

    print("PYTHONPATH" in os.environ, *sys.argv[2:], flush=True)
    http.server.HTTPServer(("127.0.0.1", int(sys.argv[1])), Handler).serve_forever()
"""


def installed_at(
    folder: Path,
    name: str = "comfyui",
    device: Device = Device.CPU,
    source: Path | None = None,
) -> None:
    (folder / "venv" / "bin").mkdir(parents=True)
    (folder / "venv" / "bin" / "python").touch()
    about = Installed(name=name, version="1.0", device=device, source=source)
    write_installed(Place(folder), about)


def attached_at(folder: Path, monkeypatch: pytest.MonkeyPatch, launched: str) -> Attached:
    server = small_server(lambda _place, _wish: (), launched=launched)
    monkeypatch.setitem(SERVERS, "comfyui", server)
    installed_at(folder)
    (attached,) = parse_servers([f"comfyui={folder}"], folder)
    return attached


def program_of(attached: Attached, folder: Path) -> Program:
    assert attached.served
    return programs.served_runtime(attached, attached.served, Folder(folder), folder / "models")


def test_server_is_found_in_the_data_folder_or_in_the_one_that_is_named(tmp_path: Path) -> None:
    installed_at(tmp_path / "runtimes" / "sdwebui", "sdwebui")
    installed_at(tmp_path / "mine")

    first, second = parse_servers(["sdwebui", f"comfyui={tmp_path / 'mine'}"], tmp_path)

    assert (first.runtime.name, first.runtime.dynamic_model) == ("sdwebui", True)
    assert (second.runtime.name, second.runtime.dynamic_model) == ("comfyui", False)
    assert second.url.startswith("http://127.0.0.1:")


def test_server_that_is_not_installed_is_told_with_the_command(tmp_path: Path) -> None:
    with pytest.raises(CommandError) as caught:
        parse_servers(["comfyui"], tmp_path)

    place = tmp_path / "runtimes" / "comfyui"
    remedy = f"install it with `darkroom runtime install comfyui --dir {place}`"
    assert str(caught.value).endswith(remedy)


@pytest.mark.parametrize("gone", ["place/venv/bin/python", "checkout"])
def test_server_of_which_something_is_gone_is_told_with_the_remedy(
    tmp_path: Path, gone: str
) -> None:
    (tmp_path / "checkout").touch()
    installed_at(tmp_path / "place", source=tmp_path / "checkout")
    (tmp_path / gone).unlink()

    with pytest.raises(CommandError, match=f"{gone} is gone; remove what is left with"):
        parse_servers([f"comfyui={tmp_path / 'place'}"], tmp_path)


def test_two_runtimes_of_one_name_are_refused(tmp_path: Path) -> None:
    installed_at(tmp_path / "runtimes" / "comfyui")
    others = parse_runtimes(["comfyui=comfyui@http://127.0.0.1:1"])

    with pytest.raises(CommandError, match="another runtime has the name 'comfyui'"):
        parse_servers(["comfyui"], tmp_path, others)
    with pytest.raises(CommandError, match="another runtime has the name 'comfyui'"):
        parse_servers(["comfyui", "comfyui"], tmp_path)


def test_another_aws_has_no_models_as_files() -> None:
    done = CliRunner().invoke(
        app, ["up", "--with", "comfyui", "--aws-endpoint-url", "http://127.0.0.1:1"]
    )

    assert done.exit_code == 1
    assert "--with needs the models as files" in done.stderr


def test_server_for_a_gpu_that_is_gone_uses_the_processor(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    installed_at(tmp_path / "runtimes" / "comfyui", device=Device.CUDA)
    devices = []
    for driver in (None, "570.10"):
        monkeypatch.setattr(served, "nvidia_driver", lambda found=driver: found)
        (attached,) = parse_servers(["comfyui"], tmp_path)
        assert attached.served
        devices.append(attached.served.device)

    assert devices == [Device.CPU, Device.CUDA]


async def test_server_runs_with_its_own_packages_and_folders(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    attached = attached_at(tmp_path / "place", monkeypatch, ANSWERS)
    folder = Folder(tmp_path / "stack")
    with folder.locked() as lock:
        program = program_of(attached, folder.path)
        processes = Processes(lambda _: None, lock)
        await processes.start(program)
        answers = programs.answering(attached.url)
        async with asyncio.timeout(60):
            while await answers():  # noqa: ASYNC110  # it tells nobody
                await asyncio.sleep(0.05)
        await processes.stop()

    files = folder.written_by("comfyui")
    assert program.log.read_text().splitlines()[0] == f"False {files} cpu"
    assert (files / "output").is_dir()
    assert (tmp_path / "stack" / "models").is_dir()


async def test_server_that_always_dies_is_given_up_and_said_to_be(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    attached = attached_at(tmp_path / "place", monkeypatch, "raise SystemExit('no torch here')")
    monkeypatch.setattr(programs, "SERVER_RESTARTS", 1)
    reports: list[str] = []
    gone = asyncio.Event()

    def report(text: str) -> None:
        reports.append(text)
        if "not started again" in text:
            gone.set()

    with Folder(tmp_path / "stack").locked() as lock:
        program = program_of(attached, tmp_path / "stack")
        processes = Processes(report, lock)
        await processes.start(program)
        async with asyncio.timeout(60), asyncio.TaskGroup() as group:
            watch = group.create_task(processes.watch(program))
            await gone.wait()
            watch.cancel()
        await processes.stop()

    assert "comfyui ended with status 1, restarted in 0.5 s" in reports[0]
    assert "ended 2 times in a row and is not started again: no torch here" in reports[1]
    assert len(reports) == 2


def test_agent_of_a_started_server_registers_the_models_of_the_bucket(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ours = attached_at(tmp_path / "place", monkeypatch, "")
    (theirs,) = parse_runtimes(["canvas=invokeai@http://127.0.0.1:9090"])
    resources = Resources(
        task_topic_arn="tasks", result_topic_arn="results", table="ledger",
        output_bucket="output", model_bucket="models", claim_bucket="claims",
        queues={"comfyui": "one", "canvas": "two"}, dead_letter_queues={},
        webhook_queue="hooks", webhook_dead_letter_queue="parked",
    )  # fmt: skip
    addresses = Addresses(
        host="127.0.0.1", rest=1, grpc=2, router=3, notifier=4, model_sync=5,
        agents={"comfyui": 6, "canvas": 7},
    )  # fmt: skip
    folder = Folder(tmp_path / "stack")

    parts = programs.services(addresses, (ours, theirs), resources, folder, {})

    folders = {
        part.name: part.environment.get("QUEUE_AGENT_INVOKEAI_MODELS_FOLDER") for part in parts
    }
    assert folders["queue-agent-comfyui"] == str(folder.objects("models"))
    assert folders["queue-agent-canvas"] == ""
    kinds = {part.environment.get("QUEUE_AGENT_NODE_TYPE") for part in parts} - {None}
    assert kinds == {"local"}


@pytest.mark.parametrize(
    ("price", "table"),
    [(None, {}), (Decimal("0.50"), {"local": {"on-demand": "0.50"}})],
)
def test_the_price_of_this_machine_is_that_of_its_agents(
    tmp_path: Path, price: Decimal | None, table: object
) -> None:
    attached = parse_runtimes(["canvas=invokeai@http://127.0.0.1:9090"])
    resources = Resources(
        task_topic_arn="tasks", result_topic_arn="results", table="ledger",
        output_bucket="output", model_bucket="models", claim_bucket="claims",
        queues={"canvas": "one"}, dead_letter_queues={}, webhook_queue="webhooks",
        webhook_dead_letter_queue="parked",
    )  # fmt: skip
    addresses = Addresses(
        host="127.0.0.1",
        rest=1,
        grpc=2,
        router=3,
        notifier=4,
        model_sync=5,
        agents={"canvas": 6},
    )

    parts = programs.services(
        addresses, attached, resources, Folder(tmp_path), {}, gpu_price=price
    )

    (agent,) = (part for part in parts if part.name == "queue-agent-canvas")
    assert json.loads(agent.environment["QUEUE_AGENT_NODE_PRICES"]) == table


async def test_sweep_goes_on_after_a_file_that_the_server_removed_meanwhile(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    swept: list[object] = []

    def failing(folders: object) -> None:
        swept.append(folders)
        raise FileNotFoundError

    monkeypatch.setattr(sweeping, "sweep", failing)
    monkeypatch.setattr(sweeping, "EVERY_SECONDS", 0)
    async with asyncio.timeout(60):
        async with asyncio.TaskGroup() as group:
            task = group.create_task(sweeping.keep_swept([tmp_path]))
            while len(swept) < 2:  # noqa: ASYNC110  # it tells nobody
                await asyncio.sleep(0.01)
            task.cancel()

    assert swept[:2] == [[tmp_path], [tmp_path]]


def test_sweep_removes_what_is_old_and_then_the_oldest_of_too_much(tmp_path: Path) -> None:
    (tmp_path / "output" / "deep").mkdir(parents=True)
    for name, age, size in (("old", 100, 1), ("b", 20, 10), ("deep/c", 10, 10), ("d", 0, 10)):
        file = tmp_path / "output" / name
        file.write_bytes(bytes(size))
        changed = file.stat().st_mtime - age
        os.utime(file, (changed, changed))

    sweeping.sweep([tmp_path / "output", tmp_path / "none"], kept_seconds=50, kept_bytes=25)

    left = sorted(file.name for file in tmp_path.rglob("*") if file.is_file())
    assert left == ["c", "d"]
