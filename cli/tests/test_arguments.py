from __future__ import annotations

import base64
import socket
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
import typer

from contracts.kinds import RuntimeType
from darkroom_cli.commands.stack import read_price
from darkroom_cli.embedded.stack import check_address
from darkroom_cli.errors import CommandError
from darkroom_cli.main import app
from darkroom_cli.requests import comfyui_content, image_argument, sdwebui_content
from darkroom_cli.runtime_option import parse_runtime, parse_runtimes
from darkroom_cli.timeline import timeline


def test_runtime_option_has_name_type_url_model_and_dynamic() -> None:
    attached = parse_runtime("Mine=sdwebui@http://10.0.0.1:7860/,model=a.safetensors,dynamic")

    assert attached.url == "http://10.0.0.1:7860"
    assert attached.runtime.name == "mine"
    assert attached.runtime.type is RuntimeType.SDWEBUI
    assert attached.runtime.model_filename == "a.safetensors"
    assert attached.runtime.dynamic_model is True


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("mine", "must look like"),
        ("mine=sdwebui", "must look like"),
        ("mine=sdwebui@ftp://x", "is no http:// or https:// URL"),
        ("mine=sdwebui@http://", "is no http:// or https:// URL"),
        ("mine=sdwebui@http://h:99999", "Port out of range"),
        ("mine=sdwebui@http://h:web", "Port could not be"),
        ("mine=sdwebui@http://[::1", "Invalid IPv6 URL"),
        ("mine=sdwebui@http://h/sdapi", "without a path"),
        ("mine=sdwebui@http://h?x=1", "without a path"),
        ("mine=webui@http://x", "type: "),
        ("my_name=comfyui@http://x", "name: "),
        ("mine=comfyui@http://x,dynamic=1", "neither model=FILE nor dynamic"),
        ("mine=comfyui@http://x,model=", "neither model=FILE nor dynamic"),
    ],
)
def test_malformed_runtime_option_says_what_is_wrong(text: str, reason: str) -> None:
    with pytest.raises(CommandError) as caught:
        parse_runtime(text)

    assert reason in str(caught.value)
    assert text in str(caught.value)


def test_two_runtimes_of_the_same_name_are_refused_as_options() -> None:
    with pytest.raises(CommandError, match="another runtime has the name 'one'"):
        parse_runtimes(["one=sdwebui@http://a", "ONE=comfyui@http://b"])


def test_address_that_is_in_use_is_said_to_be() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(CommandError, match=f"port {port} of 127.0.0.1 is in use"):
            check_address("127.0.0.1", port)


@pytest.mark.parametrize("host", ["nosuch.host.invalid", "192.0.2.1"])
def test_address_that_is_none_of_this_machine_is_not_said_to_be_in_use(host: str) -> None:
    with pytest.raises(CommandError) as caught:
        check_address(host, 8080)

    assert host in str(caught.value)
    assert "in use" not in str(caught.value)


def test_image_file_becomes_base64_and_a_url_stays(tmp_path: Path) -> None:
    (tmp_path / "x.png").write_bytes(b"bytes")

    assert base64.b64decode(image_argument(str(tmp_path / "x.png"))) == b"bytes"
    assert image_argument("s3://bucket/x.png") == "s3://bucket/x.png"
    with pytest.raises(CommandError, match="cannot read"):
        image_argument(str(tmp_path / "none.png"))


def test_image_is_the_start_of_an_sdwebui_task() -> None:
    content = sdwebui_content("p", size=64, seed=1, image="aGk=")

    assert content["init_images"] == ["aGk="]
    assert "init_images" not in sdwebui_content("p", size=64, seed=1, image=None)


def test_comfyui_workflow_carries_prompt_size_seed_and_checkpoint() -> None:
    graph = comfyui_content("p", size=64, seed=5, checkpoint="c.safetensors")["prompt"]

    nodes = {node["class_type"]: node["inputs"] for node in graph.values()}
    assert nodes["KSampler"]["seed"] == 5
    assert nodes["EmptyLatentImage"]["width"] == 64
    assert nodes["CheckpointLoaderSimple"]["ckpt_name"] == "c.safetensors"
    assert "p" in [n["inputs"].get("text") for n in graph.values()]


def test_time_line_is_the_first_of_each_event_in_the_order_of_the_way(tmp_path: Path) -> None:
    (tmp_path / "a.log").write_text(
        '{"uid": "U", "event": "leased", "time": "2026-01-01T00:00:02+00:00"}\n'
        '{"uid": "U", "event": "leased", "time": "2026-01-01T00:00:01+00:00"}\n'
        '{"uid": "V", "event": "queued", "time": "2026-01-01T00:00:00+00:00"}\n'
        "plain text about U\n"
    )
    (tmp_path / "b.log").write_text(
        '{"uid": "U", "event": "accepted", "time": "2026-01-01T00:00:00+00:00"}\n'
    )

    found = timeline(sorted(tmp_path.glob("*.log")), "U")

    assert list(found) == ["accepted", "leased"]
    assert found["leased"] == datetime(2026, 1, 1, 0, 0, 1, tzinfo=UTC)


@pytest.mark.parametrize("text", ["cheap", "-1", "nan", "inf", "1e7", ""])
def test_a_price_that_is_none_is_refused_with_what_is_allowed(text: str) -> None:
    with pytest.raises(typer.BadParameter, match="allowed: a number, 0 to 1000000"):
        read_price(text)


def test_a_price_is_read_to_the_last_digit() -> None:
    assert read_price("0.1") == Decimal("0.1")


# Which print JSON anyway, or a document.
AS_IT_IS = {
    "submit", "status", "watch", "cancel", "config reference", "config schema", "dlq show",
    "dlq redrive", "dlq purge",
}  # fmt: skip


def test_every_command_that_prints_prints_json_if_it_is_asked() -> None:
    without = set()

    def walk(command: Any, *names: str) -> None:
        for name, inner in getattr(command, "commands", {}).items():
            walk(inner, *names, name)
        options = {option for each in command.params for option in each.opts}
        if not hasattr(command, "commands") and "--json" not in options:
            without.add(" ".join(names))

    walk(typer.main.get_command(app))
    assert without <= AS_IT_IS
