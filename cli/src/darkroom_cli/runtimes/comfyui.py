"""ComfyUI: installed by comfy-cli, or from a checkout; models by `extra_model_paths.yaml`."""

from __future__ import annotations

from datetime import timedelta
from typing import Final

import yaml

from contracts.kinds import RuntimeType
from darkroom_cli.runtimes.environment import device_check, make_venv, pip_install, uv_install
from darkroom_cli.runtimes.server import Device, Launch, Place, Server, Serving, Step, Wish

# What it imports and its requirements do not name: others of them brought it once.
MORE: Final = ("requests",)
COMFY_CLI: Final = "comfy-cli==1.23.0"
TEST_LIMIT: Final = timedelta(minutes=10)

# ComfyUI's kinds of models, and where the bucket has them: by the names of SD WebUI, which the
# original solution uses, and by ComfyUI's own.
FOLDERS: Final = {
    "checkpoints": ("Stable-diffusion", "checkpoints"),
    "configs": ("Stable-diffusion", "configs"),
    "loras": ("Lora", "LyCORIS", "loras"),
    "vae": ("VAE", "vae"),
    "vae_approx": ("VAE-approx", "vae_approx"),
    "text_encoders": ("CLIP", "text_encoders", "clip"),
    "clip_vision": ("clip_vision",),
    "diffusion_models": ("diffusion_models", "unet"),
    "controlnet": ("ControlNet", "controlnet", "t2i_adapter"),
    "embeddings": ("embeddings",),
    "hypernetworks": ("hypernetworks",),
    "upscale_models": ("ESRGAN", "RealESRGAN", "ScuNET", "SwinIR", "upscale_models"),
    "style_models": ("style_models",),
    "gligen": ("gligen",),
}

_GPU: Final = {
    Device.CPU: "--cpu",
    Device.CUDA: "--nvidia",
    Device.ROCM: "--amd",
    Device.MPS: "--m-series",
}


def _steps(place: Place, wish: Wish) -> tuple[Step, ...]:
    fill: tuple[Step, ...]
    if wish.source:
        requirements = str(wish.source / "requirements.txt")
        fill = (
            pip_install(place, "get uv", "uv"),
            uv_install(place, wish, "install its requirements", "-r", requirements, *MORE),
        )
    else:
        more = pip_install(place, "install what it does not name", *MORE)
        fill = (pip_install(place, "get comfy-cli", COMFY_CLI), _comfy(place, wish), more)
    return (make_venv(place, wish), *fill, device_check(place, wish), _start_once(place, wish))


def _comfy(place: Place, wish: Wish) -> Step:
    comfy = (place.program("comfy"), "--skip-prompt", f"--workspace={place.checkout}")
    install = ("install", _GPU[wish.device], "--skip-manager", "--version", wish.version)
    return Step(
        title="install ComfyUI",
        command=(*comfy, *install),
        environment={"VIRTUAL_ENV": str(place.venv)},  # or it makes one in the checkout
        makes=place.checkout,
    )


def _start_once(place: Place, wish: Wish) -> Step:
    """ComfyUI's own test: loads everything as a start does, and ends."""
    checkout = wish.checkout(place)
    memory = ("--database-url", "sqlite:///:memory:")
    return Step(
        title="start it once",
        command=(
            *(place.python, str(checkout / "main.py"), "--quick-test-for-ci", *memory),
            *_options(wish.device),
        ),
        folder=checkout,
        limit=TEST_LIMIT,
    )


def _options(device: Device) -> tuple[str, ...]:
    usual = (
        "--disable-auto-launch",
        "--disable-mmap",
    )  # mmap is slow where the guide has models
    return (*usual, "--cpu") if device is Device.CPU else usual


def _version_call(place: Place, wish: Wish) -> Step:
    code = "import comfyui_version; print(comfyui_version.__version__)"
    checkout = wish.checkout(place)
    return Step(
        title="ask for its version", command=(place.python, "-c", code), folder=checkout
    )


def _launch(place: Place, wish: Wish, to: Serving) -> Launch:
    checkout, paths = wish.checkout(place), to.files / "extra_model_paths.yaml"
    folders = {kind: "\n".join(found) for kind, found in FOLDERS.items()}
    models = {"darkroom": {"base_path": str(to.models), **folders}}
    made = {name: to.files / name for name in ("output", "input", "temp")}
    return Launch(
        command=(
            *(place.python, str(checkout / "main.py")),
            *("--listen", "127.0.0.1", "--port", str(to.port)),
            *("--extra-model-paths-config", str(paths)),
            *("--output-directory", str(made["output"])),
            *("--input-directory", str(made["input"])),
            *("--temp-directory", str(to.files)),  # it makes `temp` in there
            *("--user-directory", str(to.files)),
            *("--database-url", f"sqlite:///{to.files / 'comfyui.db'}"),
            *_options(to.device),
        ),
        folder=checkout,
        texts={paths: yaml.safe_dump(models, sort_keys=False)},
        swept=tuple(made.values()),
    )


COMFYUI: Final = Server(
    type=RuntimeType.COMFYUI,
    title="ComfyUI",
    version="0.3.64",
    licence="GPL-3.0",
    origin="its sources, brought by its maker's comfy-cli (GPL-3.0)",
    pythons=("3.12", "3.13", "3.11", "3.10"),
    devices=tuple(Device),
    gigabytes=9,
    cpu_gigabytes=4,
    marker="comfyui_version.py",
    steps=_steps,
    version_call=_version_call,
    launch=_launch,
)
