"""The environment of a server: one of its own, with PyTorch for the device that is there."""

from __future__ import annotations

import os
from typing import Final

from darkroom_cli.runtimes.server import Device, Place, Step, Wish

_BACKEND: Final = "UV_TORCH_BACKEND"
_DEVICE_CHECKS: Final = {
    Device.CPU: "True",
    Device.CUDA: "torch.cuda.is_available()",
    Device.ROCM: "torch.cuda.is_available()",  # so PyTorch calls it there, too
    Device.MPS: "torch.backends.mps.is_available()",
}
_OURS: Final = ("AWS_", "CONDA_PREFIX", "PEX", "PYTHON", "VIRTUAL_ENV")


def own_variables() -> dict[str, str]:
    """This process's variables without those that would bring in our packages or keys."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(_OURS)}
    if not kept.get(_BACKEND):
        kept.pop(_BACKEND, None)  # uv takes an empty one for a wrong name
    return {**kept, "PYTHONUNBUFFERED": "1"}


def make_venv(place: Place, wish: Wish) -> Step:
    """Make the environment."""
    return Step(
        title="make an environment of its own",
        command=(*wish.make_venv, str(place.venv)),
        makes=place.venv,
    )


def pip_install(place: Place, title: str, *what: str) -> Step:
    """Install packages with pip."""
    return Step(title=title, command=(place.python, "-m", "pip", "install", *what))


def uv_install(place: Place, wish: Wish, title: str, *what: str) -> Step:
    """Install packages with uv, which chooses the PyTorch of the device.

    UV_TORCH_BACKEND names another one; empty, it is the one of the package index.
    """
    backend = "cpu" if wish.device is Device.CPU else "auto"
    chosen = () if _BACKEND in os.environ else ("--torch-backend", backend)
    uv = (place.python, "-m", "uv", "pip", "install", "--python", place.python)
    return Step(title=title, command=(*uv, *chosen, *what))


def device_check(place: Place, wish: Wish) -> Step:
    """Have PyTorch say whether it can use the device."""
    reason = f"PyTorch can't use {wish.device}: its driver is missing or too old"
    code = f"import sys, torch; sys.exit(None if {_DEVICE_CHECKS[wish.device]} else {reason!r})"
    return Step(title="check the device", command=(place.python, "-c", code))
