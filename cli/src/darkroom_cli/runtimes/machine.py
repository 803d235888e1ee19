"""What this machine has for a server: a device, a Python, room on the disk."""

from __future__ import annotations

import platform
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Final

from darkroom_cli.errors import CommandError
from darkroom_cli.runtimes.server import Device, Server

NVIDIA_SMI: Final = "nvidia-smi"
OLDEST_DRIVER: Final = (525, 60)  # that runs CUDA 12, by NVIDIA's table of compatibility
AMD_DRIVER: Final = Path("/dev/kfd")
CALL_SECONDS: Final = 30
GIGABYTE: Final = 10**9


def device_for(server: Server, wanted: str) -> Device:
    """The device that was named, or for `auto` the best that is here; raises `CommandError`."""
    device = _found(server) if wanted == "auto" else Device(wanted)
    if device not in server.devices:
        there = ", ".join(server.devices)
        raise CommandError(f"--device {device}: {server.title} is installed for {there}")
    if device is Device.CUDA:
        _check_driver(nvidia_driver())
    return device


def _found(server: Server) -> Device:
    here = {
        Device.CUDA: nvidia_driver() is not None,
        Device.ROCM: AMD_DRIVER.exists(),
        Device.MPS: platform.system() == "Darwin" and platform.machine() == "arm64",
    }
    fitting = (device for device, found in here.items() if found and device in server.devices)
    return next(fitting, Device.CPU)


def nvidia_driver() -> str | None:
    """The version of NVIDIA's driver; None if there is none."""
    query = [NVIDIA_SMI, "--query-gpu=driver_version", "--format=csv,noheader"]
    try:
        answer = subprocess.run(  # noqa: S603  # no word of it is from outside
            query, capture_output=True, text=True, timeout=CALL_SECONDS, check=True
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return answer.stdout.strip().partition("\n")[0] or None


def _check_driver(version: str | None) -> None:
    if version is None:
        raise CommandError(
            f"--device cuda: {NVIDIA_SMI} finds no GPU; install NVIDIA's driver, or take"
            " --device cpu"
        )
    numbers = tuple(int(part) for part in version.split(".") if part.isdigit())
    if numbers < OLDEST_DRIVER:
        oldest = ".".join(map(str, OLDEST_DRIVER))
        raise CommandError(
            f"--device cuda: NVIDIA's driver {version} is too old, {oldest} is needed; update"
            " it, or take --device cpu"
        )


def venv_maker(server: Server) -> tuple[str, ...]:
    """The command that makes an environment with a Python that the server runs with.

    uv fetches one that is missing. Raises `CommandError` if there is neither.
    """
    uv = shutil.which("uv")
    python = _python(server, "" if uv else "import ensurepip, venv")
    if uv:
        return (uv, "venv", "--seed", "--python", python or server.pythons[0])
    if python:
        return (python, "-m", "venv")
    raise CommandError(
        f"{server.title} needs Python {' or '.join(server.pythons)} with venv, and none is on"
        " the path: `pip install uv` brings a command that fetches it"
    )


def _python(server: Server, code: str) -> str | None:
    """A Python for the server that is here and runs that code, the best first."""
    own = f"{sys.version_info.major}.{sys.version_info.minor}"
    named = [shutil.which(f"python{version}") for version in server.pythons]
    here = [*named, sys.executable if own in server.pythons else None]
    return next((python for python in here if python and _runs(python, code)), None)


def _runs(python: str, code: str) -> bool:
    command = [python, "-c", code]
    try:
        call = subprocess.run(  # noqa: S603  # a Python of the user's own path
            command, capture_output=True, timeout=CALL_SECONDS, check=False
        )
    except (OSError, subprocess.SubprocessError):
        return False
    return call.returncode == 0


def free_gigabytes(path: Path) -> float:
    """The room for this user on the disk that a path is, or will be, on."""
    there = next(each for each in (path, *path.parents) if each.exists())
    return shutil.disk_usage(there).free / GIGABYTE


def check_room(server: Server, device: Device, path: Path) -> None:
    """Return if there is room for an installation; raises `CommandError`."""
    needed, free = server.room_gigabytes(device), free_gigabytes(path)
    if free < needed:
        raise CommandError(
            f"{server.title} takes about {needed} GB and {path} has {free:.1f} GB free; make"
            " room, or choose another --dir"
        )
