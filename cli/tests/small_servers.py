"""Servers whose installation is real programs, small ones: each a text of Python."""

from __future__ import annotations

import sys
import textwrap
from collections.abc import Callable
from pathlib import Path

from contracts.kinds import RuntimeType
from darkroom_cli.runtimes.server import Device, Launch, Place, Server, Serving, Step, Wish

Steps = Callable[[Place, Wish], tuple[Step, ...]]


def python(code: str, *arguments: str) -> tuple[str, ...]:
    return (sys.executable, "-c", textwrap.dedent(code), *arguments)


def step(title: str, code: str, *arguments: str, makes: Path | None = None) -> Step:
    return Step(title=title, command=python(code, *arguments), makes=makes)


def small_server(steps: Steps, *, launched: str = "", version: str = "1.0") -> Server:
    """A ComfyUI of that installation; `launched` is the program that it is."""

    def launch(place: Place, wish: Wish, to: Serving) -> Launch:
        command = python(launched, str(to.port), str(to.files), to.device)
        return Launch(command=command, folder=place.path, swept=(to.files / "output",))

    return Server(
        type=RuntimeType.COMFYUI,
        title="Small",
        version=version,
        licence="GPL-3.0",
        origin="nowhere",
        pythons=("3.11",),
        devices=(Device.CPU, Device.CUDA),
        gigabytes=1,
        cpu_gigabytes=0,
        marker="main.py",
        steps=steps,
        version_call=lambda _place, wish: step("ask", f"print('v{wish.version}')"),
        launch=launch,
    )


def wish(version: str = "1.0", source: Path | None = None) -> Wish:
    make_venv = (sys.executable, "-m", "venv")
    return Wish(version=version, device=Device.CPU, source=source, make_venv=make_venv)
