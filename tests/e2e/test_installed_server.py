"""`darkroom up --with comfyui`: an installed server that the stack starts, with its models."""

from __future__ import annotations

import asyncio
import json
import os
import re
import shlex
import signal
import struct
import subprocess
import sys
import time
from pathlib import Path

import httpx
from commands import failed, run
from harness import HOLD_FILE, TASK_SECONDS, command, environment, running_stack
from PIL import Image, ImageChops

from darkroom_cli.embedded.folder import Folder
from darkroom_cli.embedded.programs import STACK
from darkroom_cli.errors import CommandError
from provisioning.resources import model_bucket_of

HEAD = b'{"w": {"dtype": "F32", "shape": [1], "data_offsets": [0, 4]}}'

# In place of ComfyUI's own: it takes ComfyUI's options, and draws.
MAIN = """
import argparse, pathlib, sys, yaml
from sample_runtime.main import main

parser = argparse.ArgumentParser()
for option in ("--port", "--extra-model-paths-config", "--output-directory"):
    parser.add_argument(option, required=True)
given, _ = parser.parse_known_args()
(models,) = yaml.safe_load(pathlib.Path(given.extra_model_paths_config).read_text()).values()
folder = pathlib.Path(models["base_path"], models["checkpoints"].split()[0])
folder.mkdir(exist_ok=True)
sys.argv[1:] = ["--type", "comfyui", "--port", given.port, "--models-dir", str(folder)]
sys.argv += ["--output-dir", given.output_directory, "--seconds-per-image", "0.1"]
main()
"""


def installed(folder: Path) -> Path:
    """A folder that holds such a ComfyUI, as if `darkroom runtime install` had made it."""
    place, checkout = folder / "place", folder / "checkout"
    checkout.mkdir()
    (checkout / "main.py").write_text(MAIN)
    python = place / "venv" / "bin" / "python"
    python.parent.mkdir(parents=True)
    # The server is started in another folder.
    path = os.pathsep.join(str(Path(each).resolve()) for each in sys.path)
    hold = folder / HOLD_FILE  # while it is there, nothing is drawn to its end
    given = f"PYTHONPATH={shlex.quote(path)} SAMPLE_RUNTIME_HOLD_FILE={shlex.quote(str(hold))}"
    python.write_text(f'#!/bin/sh\n{given} exec {shlex.quote(sys.executable)} "$@"\n')
    python.chmod(0o755)
    about = {"name": "comfyui", "version": "1", "device": "cpu", "source": str(checkout)}
    (place / "installed.json").write_text(json.dumps(about))
    return place


def model(path: Path) -> Path:
    """The least that is a model file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(struct.pack("<Q", len(HEAD)) + HEAD + bytes(4))
    return path


def demo_with(place: Path, data: Path) -> tuple[str, ...]:
    """The arguments of a real demo, whose model is there."""
    models = Folder(data).objects(model_bucket_of(STACK))
    model(models / "Stable-diffusion" / "mine.safetensors")
    server = ("--with", f"comfyui={place}", "--model", "mine.safetensors")
    return ("demo", "--real", *server, "--data-dir", str(data))


def running_task(folder: Folder) -> str:
    """Wait until a stack has begun a task, and give its uid."""
    deadline = time.monotonic() + TASK_SECONDS
    while time.monotonic() < deadline:
        try:
            stack = folder.running()
            headers, asked = {"x-api-key": stack.api_key}, {"state": "running"}
            url = f"{stack.endpoint}/v1/tasks"
            listed = httpx.get(url, headers=headers, params=asked, trust_env=False).json()
        except (CommandError, httpx.HTTPError):  # it is still being started
            listed = {"tasks": []}
        if listed["tasks"]:
            uid: str = listed["tasks"][0]["uid"]
            return uid
        time.sleep(0.1)
    raise AssertionError(f"no task runs after {TASK_SECONDS} s")


def test_demo_with_a_real_server_makes_an_image_and_another_from_it(tmp_path: Path) -> None:
    said = run(*demo_with(installed(tmp_path), tmp_path / "data"))

    shown = re.findall(r"^(.*): PNG 512x512 (\S+); \d+\.\d s on cpu$", said, re.MULTILINE)
    assert [title for title, _ in shown] == ["text-to-image", "image-to-image"]
    first, second = (Image.open(file).convert("RGB") for _, file in shown)
    # The stand-in writes the prompt on the image that it is given, and leaves its edges.
    left, _, right, _ = ImageChops.difference(first, second).getbbox() or (0, 0, 512, 512)
    assert 0 < left < right < 512


def test_task_of_a_demo_that_is_broken_off_is_cancelled(tmp_path: Path) -> None:
    place, data = installed(tmp_path), tmp_path / "data"
    (tmp_path / HOLD_FILE).touch()
    with subprocess.Popen(
        command(*demo_with(place, data)),
        env=environment(),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    ) as demo:
        uid = running_task(Folder(data))
        demo.send_signal(signal.SIGINT)
        _, said = demo.communicate(timeout=TASK_SECONDS)

    assert said.endswith("darkroom: interrupted\n")
    with running_stack(data, "--with", f"comfyui={place}") as stack:
        assert asyncio.run(stack.task(uid))["state"] == "cancelled"


def test_demo_names_the_models_that_it_can_fetch(tmp_path: Path) -> None:
    server = ("--with", f"comfyui={installed(tmp_path)}", "--model", "other.safetensors")

    said = failed("demo", "--real", *server, "--data-dir", str(tmp_path / "data"))

    assert "other.safetensors: is none of sd15, sd15-fp16, sd-turbo, sdxl" in said


def test_options_of_a_real_demo_are_refused_without_it() -> None:
    assert "--with, --model and --yes are for --real" in failed("demo", "--yes")


def test_installed_server_draws_with_the_models_of_the_bucket_and_is_kept_up(
    tmp_path: Path,
) -> None:
    place = installed(tmp_path)
    mine = model(tmp_path / "mine.safetensors")

    with running_stack(tmp_path / "up", "--with", f"comfyui={place}") as stack:
        where = ("--data-dir", str(stack.folder))
        assert list(stack.info["queues"]) == ["comfyui"]
        assert "comfyui computes on the CPU: an image takes minutes" in stack.said()
        run("models", "add", str(mine), *where)
        words = ("--runtime", "comfyui", "--prompt", "a fox", "--checkpoint", mine.name)
        run("submit", *words, "--out", str(tmp_path / "first.png"), *where)

        stack.find(str(tmp_path / "checkout" / "main.py")).kill()
        run("submit", *words, "--out", str(tmp_path / "second.png"), *where)
        assert "comfyui ended with status -9, restarted" in stack.said()
        in_use = failed("runtime", "remove", "comfyui", "--dir", str(place), "--yes")

    assert "is in use by a `darkroom up --with`" in in_use
    for name in ("first.png", "second.png"):
        assert (tmp_path / name).read_bytes().startswith(b"\x89PNG")
    assert list((stack.folder / "servers" / "comfyui" / "output").rglob("*.png"))
