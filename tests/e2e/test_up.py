"""`darkroom up` as a person runs it: again on the same data, stopped, and refused."""

from __future__ import annotations

import asyncio
import json
import signal
import socket
import subprocess
import time
from pathlib import Path
from typing import Any

import pytest
from commands import failed, run
from harness import Stack, command, environment, running_stack, stop, text_to_image

from awsio import clients
from darkroom_cli.embedded.models import sample_weights


async def test_second_up_continues_with_the_data_of_the_first(tmp_path: Path) -> None:
    with running_stack(tmp_path, "--sample-seconds", "0.1") as first:
        accepted = await first.submit(**text_to_image("kept"))
        done = await first.until(accepted["uid"], "completed")
        assert stop(first.process, signal.SIGINT) == 0
        key = first.info["api_key"]

    port = first.info["grpc"].rpartition(":")[2]
    with running_stack(tmp_path, "--sample-seconds", "0.1", "--grpc-port", port) as second:
        assert second.info["api_key"] == key
        assert second.info["grpc"] == first.info["grpc"]
        assert await second.task(accepted["uid"]) == done
        assert (await second.object(done["image_url"][0]))[0].startswith(b"\x89PNG")
        again = await second.submit(**text_to_image("new"))
        await second.until(again["uid"], "completed")


def test_signal_during_the_start_ends_it_with_everything_stopped(tmp_path: Path) -> None:
    process = subprocess.Popen(
        command("up", "--port", "0", "--data-dir", str(tmp_path)),
        env=environment(),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stderr is not None
    told = iter(process.stderr.readline, "")
    assert any("starting" in line and "model-sync" in line for line in told)
    assert stop(process, signal.SIGINT) == 1
    assert process.stderr.read().endswith("darkroom: interrupted\n")
    process.stderr.close()


async def test_second_up_does_what_was_queued_in_the_first(tmp_path: Path) -> None:
    with running_stack(tmp_path) as first, first.held():
        waiting = [await first.submit(**text_to_image(f"waiting-{n}")) for n in range(4)]
        assert stop(first.process, signal.SIGINT) == 0

    with running_stack(tmp_path, "--sample-seconds", "0.1") as second:
        for accepted in waiting:
            await second.until(accepted["uid"], "completed")


def test_data_folder_in_use_is_one_sentence(stack: Stack) -> None:
    assert "is in use by another stack" in failed(
        "up", "--port", "0", "--data-dir", str(stack.folder)
    )


@pytest.mark.parametrize("option", ["--port", "--grpc-port"])
def test_port_in_use_is_one_sentence(tmp_path: Path, option: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        # The later option counts.
        sentence = failed("up", "--port", "0", option, str(port), "--data-dir", str(tmp_path))
    assert f"port {port} of 127.0.0.1 is in use; choose another with {option}" in sentence


def test_unreachable_aws_is_one_sentence(tmp_path: Path) -> None:
    url = "http://127.0.0.1:9"
    sentence = failed(
        "up", "--port", "0", "--data-dir", str(tmp_path), "--aws-endpoint-url", url
    )
    assert f"AWS at {url}" in sentence


def test_folder_that_cannot_be_made_is_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    sentence = failed("up", "--port", "0", "--data-dir", str(tmp_path / "file" / "below"))
    assert f"cannot use {tmp_path / 'file' / 'below'}" in sentence


def test_malformed_runtime_is_one_sentence(tmp_path: Path) -> None:
    sentence = failed("up", "--data-dir", str(tmp_path), "--runtime", "mine=webui@nowhere")
    assert "--runtime mine=webui@nowhere" in sentence


def test_command_without_a_stack_says_how_to_start_one(tmp_path: Path) -> None:
    assert "start one with `darkroom up`" in failed("status", "x", "--data-dir", str(tmp_path))


def test_submitted_image_is_downloaded(stack: Stack, tmp_path: Path) -> None:
    folder, image = str(stack.folder), tmp_path / "image.png"

    task = json.loads(
        run("submit", "--prompt", "A dog", "--out", str(image), "--data-dir", folder)
    )

    assert image.read_bytes().startswith(b"\x89PNG")
    assert json.loads(run("status", task["uid"], "--data-dir", folder)) == task


def test_many_seeds_are_many_images(stack: Stack, tmp_path: Path) -> None:
    many = ("--prompt", "a boat", "--size", "64", "--count", "3", "--seed-from", "1")
    folder = tmp_path / "boats"

    printed = run("submit", *many, "--dir", str(folder), "--data-dir", str(stack.folder))

    tasks = json.loads(printed)
    names = {url.rpartition("/")[2] for task in tasks for url in task["image_url"]}
    assert [task["state"] for task in tasks] == ["completed"] * 3
    assert {file.name for file in folder.iterdir()} == names
    assert len({file.read_bytes() for file in folder.iterdir()}) == 3


def test_image_file_becomes_the_start_of_another(stack: Stack, tmp_path: Path) -> None:
    folder, image = str(stack.folder), tmp_path / "image.png"
    run("submit", "--prompt", "A dog", "--out", str(image), "--data-dir", folder)

    arguments = ("--prompt", "as a drawing", "--image", str(image), "--wait")
    task = json.loads(run("submit", *arguments, "--data-dir", folder))

    assert (task["tasktype"], task["state"]) == ("image-to-image", "completed")


def test_unknown_runtime_names_those_that_exist(stack: Stack) -> None:
    sentence = failed(
        "submit", "--prompt", "x", "--runtime", "none", "--data-dir", str(stack.folder)
    )
    assert "there are: sdruntime, sddynamic, comfyruntime" in sentence


async def listed(stack: Stack, name: str) -> dict[str, Any]:
    """The catalogue by name once it has a model; it is at most a second old."""
    deadline = time.monotonic() + 120  # a guard, for a machine that does much else
    async with stack.client() as client:
        while True:
            answer = (await client.get("/v1/models")).json()
            models = {model["name"]: model for model in answer["models"]}
            if name in models:
                return models
            assert time.monotonic() < deadline, f"{name} is not in {sorted(models)}"
            await asyncio.sleep(0.1)


async def test_added_model_is_listed_and_can_be_asked_for(stack: Stack, tmp_path: Path) -> None:
    file = tmp_path / "added.safetensors"
    file.write_bytes(sample_weights())
    broken = tmp_path / "broken.safetensors"
    broken.write_bytes(sample_weights()[:-1])
    folder = ("--data-dir", str(stack.folder))
    run("models", "add", str(file), *folder)
    assert "its header promises" in failed("models", "add", str(broken), *folder)
    async with clients.s3() as s3:  # which takes all
        await s3.put_object(
            Bucket=stack.info["model_bucket"],
            Key="Stable-diffusion/broken.safetensors",
            Body=broken.read_bytes(),
        )

    accepted = await stack.submit(
        **text_to_image(
            "added",
            runtime="sddynamic",
            alwayson_scripts={"sd_model_checkpoint": "added.safetensors"},
        )
    )

    assert (await stack.until(accepted["uid"], "completed"))["error"] is None
    models = await listed(stack, "broken.safetensors")
    assert models["added.safetensors"]["valid"] is True
    assert "header promises" in models["broken.safetensors"]["problem"]


def test_demo_shows_two_decoded_images(tmp_path: Path) -> None:
    shown = run("demo", "--data-dir", str(tmp_path))

    assert shown.count("PNG 512x512") == 2
    assert len(list((tmp_path / "images").glob("*.png"))) == 2
    assert "?" not in shown.split("time line")[1]
