"""What is particular about each server, and what the machine must have for it."""

from __future__ import annotations

import json
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import yaml

from darkroom_cli.errors import CommandError
from darkroom_cli.runtimes import machine, sdwebui
from darkroom_cli.runtimes.known import SERVERS, server_named
from darkroom_cli.runtimes.server import Device, Launch, Place, Serving, Wish

IMAGES = Path(__file__).resolve().parents[2] / "runtimes"
CHECKOUT = Path("/sources")
VENV = "/place/venv/bin"


def launch(name: str, device: Device = Device.CPU) -> Launch:
    to = Serving(port=7, models=Path("/models"), files=Path("/files"), device=device)
    asked = Wish(version="1.0", device=device, source=CHECKOUT)
    return SERVERS[name].launch(Place(Path("/place")), asked, to)


def commands(name: str, device: Device, source: Path | None = None) -> list[str]:
    asked = Wish(version="1.0", device=device, source=source, make_venv=("venv",))
    steps = SERVERS[name].steps(Place(Path("/place")), asked)
    return [" ".join(each.command) for each in steps]


@pytest.fixture
def path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder that is all of the path."""
    monkeypatch.setenv("PATH", str(tmp_path))
    return tmp_path


def program(folder: Path, name: str, text: str) -> None:
    (folder / name).write_text(f"#!/bin/sh\n{text}\n")
    (folder / name).chmod(0o755)


@pytest.mark.parametrize("name", SERVERS)
def test_every_server_listens_on_the_loopback_address_only(name: str) -> None:
    started = launch(name)

    words = " ".join([*started.command, *(f"{k}={v}" for k, v in started.environment.items())])
    assert "127.0.0.1" in words
    assert started.command[0].startswith(VENV)
    assert all(str(folder).startswith("/files/") for folder in started.swept)


def test_comfyui_finds_models_by_the_folders_of_the_original_and_its_own() -> None:
    ((path, text),) = launch("comfyui").texts.items()

    (models,) = yaml.safe_load(text).values()
    assert models["base_path"] == "/models"
    assert models["checkpoints"].split("\n") == ["Stable-diffusion", "checkpoints"]
    assert "Lora" in models["loras"].split("\n")
    words = launch("comfyui").command
    assert words[words.index("--extra-model-paths-config") + 1] == str(path)


def test_images_find_models_in_the_folders_that_a_stack_has() -> None:
    (here,) = (yaml.safe_load(text) for text in launch("comfyui").texts.values())
    image = yaml.safe_load((IMAGES / "comfyui" / "extra_model_paths.yaml").read_text())
    start = (IMAGES / "sdwebui" / "start.sh").read_text()

    assert image["darkroom"] == here["darkroom"] | {"base_path": "/opt/ml/code/models"}
    for option, name in sdwebui.FOLDERS.items():
        assert f'{option} "$models/{name}"' in start


def test_sd_webui_finds_models_by_options_and_reads_them_without_mmap() -> None:
    started = launch("sdwebui")

    words = started.command
    assert words[words.index("--ckpt-dir") + 1] == "/models/Stable-diffusion"
    assert words[words.index("--lora-dir") + 1] == "/models/Lora"
    ((path, text),) = started.texts.items()
    assert words[words.index("--ui-settings-file") + 1] == str(path)
    assert json.loads(text)["disable_mmap_load_safetensors"] is True


@pytest.mark.parametrize(
    ("name", "words"), [("comfyui", ("--cpu",)), ("sdwebui", ("--use-cpu", "all", "--no-half"))]
)
def test_server_is_told_to_use_the_processor_where_there_is_no_gpu(
    name: str, words: tuple[str, ...]
) -> None:
    assert set(words) <= set(launch(name, Device.CPU).command)
    assert not set(words) & set(launch(name, Device.CUDA).command)


def test_invokeai_is_told_its_device_by_a_variable() -> None:
    assert launch("invokeai", Device.CPU).environment["INVOKEAI_DEVICE"] == "cpu"
    assert launch("invokeai", Device.CUDA).environment["INVOKEAI_DEVICE"] == "auto"


def test_checkout_is_used_and_not_fetched() -> None:
    (requirements,) = [
        each for each in commands("comfyui", Device.CPU, CHECKOUT) if " -r " in each
    ]
    assert requirements.endswith("--torch-backend cpu -r /sources/requirements.txt requests")
    assert "git clone" not in " ".join(commands("sdwebui", Device.CPU, CHECKOUT))
    assert "git clone" in " ".join(commands("sdwebui", Device.CPU))
    assert commands("invokeai", Device.CPU, CHECKOUT)[2].endswith("-e /sources")


def test_pytorch_is_that_of_the_device_unless_uv_is_told_another(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert "--torch-backend cpu InvokeAI==1.0" in commands("invokeai", Device.CPU)[2]
    assert "--torch-backend auto InvokeAI==1.0" in commands("invokeai", Device.CUDA)[2]
    assert " install --nvidia " in commands("comfyui", Device.CUDA)[2]
    monkeypatch.setenv("UV_TORCH_BACKEND", "cu128")
    assert "--torch-backend" not in commands("invokeai", Device.CUDA)[2]


def test_unknown_server_is_told_which_there_are() -> None:
    with pytest.raises(CommandError, match="there are comfyui, invokeai, sdwebui"):
        server_named("forge")


def test_cuda_without_a_gpu_is_one_sentence(path: Path) -> None:
    with pytest.raises(CommandError, match="nvidia-smi finds no GPU"):
        machine.device_for(SERVERS["comfyui"], "cuda")


@pytest.mark.parametrize(("asked", "driver"), [("cuda", "470.82.01"), ("auto", "525.59.1")])
def test_driver_that_is_too_old_is_one_sentence(path: Path, asked: str, driver: str) -> None:
    program(path, "nvidia-smi", f"echo {driver}")

    with pytest.raises(CommandError, match=rf"driver {driver} is too old, 525\.60 is needed"):
        machine.device_for(SERVERS["comfyui"], asked)


def test_best_device_that_is_here_is_taken(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(machine, "AMD_DRIVER", path / "kfd")
    assert machine.device_for(SERVERS["comfyui"], "auto") is Device.CPU
    (path / "kfd").touch()
    assert machine.device_for(SERVERS["comfyui"], "auto") is Device.ROCM
    assert machine.device_for(SERVERS["sdwebui"], "auto") is Device.CPU
    program(path, "nvidia-smi", "echo 570.10")
    assert machine.device_for(SERVERS["comfyui"], "auto") is Device.CUDA


def test_device_that_a_server_has_no_installation_for_is_refused() -> None:
    with pytest.raises(
        CommandError, match="--device rocm: SD WebUI is installed for cpu, cuda"
    ):
        machine.device_for(SERVERS["sdwebui"], "rocm")


def test_python_that_is_here_makes_the_environment(path: Path) -> None:
    program(path, "python3.10", "exit 0")
    assert machine.venv_maker(SERVERS["sdwebui"]) == (str(path / "python3.10"), "-m", "venv")
    program(path, "uv", "exit 1")
    made = (str(path / "uv"), "venv", "--seed", "--python", str(path / "python3.10"))
    assert machine.venv_maker(SERVERS["sdwebui"]) == made


def test_python_that_does_not_run_is_fetched_by_uv(path: Path) -> None:
    program(path, "python3.13", "exit 1")
    program(path, "uv", "exit 1")
    server = SERVERS["comfyui"]

    maker = machine.venv_maker(server)

    here = f"{sys.version_info.major}.{sys.version_info.minor}" in server.pythons
    assert maker[-1] == (sys.executable if here else "3.12")


def test_no_python_for_a_server_is_one_sentence(path: Path) -> None:
    program(path, "python3.7", "exit 1")
    old = replace(SERVERS["sdwebui"], pythons=("3.7", "3.6"))

    with pytest.raises(CommandError, match=r"SD WebUI needs Python 3\.7 or 3\.6 with venv"):
        machine.venv_maker(old)


def test_disk_without_room_is_one_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(machine, "free_gigabytes", lambda _: 2.5)

    with pytest.raises(CommandError, match=r"takes about 4 GB and .* has 2\.5 GB free"):
        machine.check_room(SERVERS["comfyui"], Device.CPU, tmp_path / "new" / "place")
