"""SD WebUI: its sources at a tag, prepared by its own launcher."""

from __future__ import annotations

import json
from typing import Final

from contracts.kinds import RuntimeType
from darkroom_cli.runtimes.environment import device_check, make_venv, pip_install
from darkroom_cli.runtimes.server import Device, Launch, Place, Server, Serving, Step, Wish

SOURCES: Final = "https://github.com/AUTOMATIC1111/stable-diffusion-webui"
# What the launcher would build by itself, and can't with newer setuptools than of its time.
CLIP: Final = (
    "https://github.com/openai/CLIP/archive/d50d76daa670286dd6cacf3bcd80b5e4823fc8e1.zip"
)
# The repository that the launcher names is gone; its maintainer's announcement names this one.
STABLE_DIFFUSION: Final = "https://github.com/w-e-w/stablediffusion.git"

FOLDERS: Final = {
    "--ckpt-dir": "Stable-diffusion",
    "--vae-dir": "VAE",
    "--lora-dir": "Lora",
    "--embeddings-dir": "embeddings",
    "--hypernetwork-dir": "hypernetworks",
    "--codeformer-models-path": "Codeformer",
    "--gfpgan-models-path": "GFPGAN",
    "--esrgan-models-path": "ESRGAN",
    "--realesrgan-models-path": "RealESRGAN",
}


def _steps(place: Place, wish: Wish) -> tuple[Step, ...]:
    checkout = wish.checkout(place)
    clone = ("git", "clone", "--depth", "1", "--branch", f"v{wish.version}", SOURCES)
    get = Step(title="get its sources", command=(*clone, str(checkout)), makes=place.checkout)
    prepare = Step(
        title="let its launcher prepare it",
        command=(place.python, "launch.py", "--exit", "--skip-torch-cuda-test"),
        folder=checkout,
        environment={
            "STABLE_DIFFUSION_REPO": STABLE_DIFFUSION,
            "WEBUI_LAUNCH_LIVE_OUTPUT": "1",
        },
    )
    build = ("--no-build-isolation", "--no-deps", CLIP)
    return (
        make_venv(place, wish),
        *(() if wish.source else (get,)),
        pip_install(place, "get setuptools of its time", "setuptools<70", "wheel"),
        pip_install(place, "install CLIP", *build),
        prepare,
        device_check(place, wish),
    )


def _version_call(place: Place, wish: Wish) -> Step:
    code = "from modules.launch_utils import git_tag; print(git_tag())"
    checkout = wish.checkout(place)
    return Step(
        title="ask for its version", command=(place.python, "-c", code), folder=checkout
    )


def _launch(place: Place, wish: Wish, to: Serving) -> Launch:
    checkout, config, outputs = (
        wish.checkout(place),
        to.files / "config.json",
        to.files / "outputs",
    )
    settings = {
        "disable_mmap_load_safetensors": True,
        "api_enable_requests": False,
        "outdir_samples": str(outputs),
    }
    slow = ("--use-cpu", "all", "--no-half", "--skip-torch-cuda-test")
    folders = [(option, str(to.models / name)) for option, name in FOLDERS.items()]
    return Launch(
        command=(
            *(place.python, "launch.py", "--skip-prepare-environment"),
            # Without a name it listens on all addresses.
            *("--api", "--nowebui", "--server-name", "127.0.0.1", "--port", str(to.port)),
            *("--data-dir", str(to.files), "--ui-settings-file", str(config)),
            "--no-download-sd-model",
            *(each for pair in folders for each in pair),
            *(slow if to.device is Device.CPU else ()),
        ),
        folder=checkout,
        texts={config: json.dumps(settings)},
        swept=(outputs,),
    )


SDWEBUI: Final = Server(
    type=RuntimeType.SDWEBUI,
    title="SD WebUI",
    version="1.10.1",
    licence="AGPL-3.0",
    origin="its sources at a tag, prepared by its own launcher",
    pythons=("3.10", "3.11"),
    devices=(Device.CPU, Device.CUDA),
    gigabytes=10,
    cpu_gigabytes=10,  # its launcher takes the PyTorch for CUDA everywhere
    marker="modules/launch_utils.py",
    steps=_steps,
    version_call=_version_call,
    launch=_launch,
)
