"""What is particular about a server that is installed and started here: its shape."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from enum import StrEnum
from pathlib import Path
from typing import Final

from contracts.kinds import RuntimeType

STEP_LIMIT: Final = timedelta(hours=3)  # gigabytes by a slow line


class Device(StrEnum):
    """What a server computes on."""

    CPU = "cpu"
    CUDA = "cuda"
    ROCM = "rocm"
    MPS = "mps"


@dataclass(frozen=True, slots=True)
class Place:
    """The folder that one server is installed in."""

    path: Path

    @property
    def venv(self) -> Path:
        """The environment of the server."""
        return self.path / "venv"

    @property
    def python(self) -> str:
        """The Python of that environment."""
        return self.program("python")

    @property
    def checkout(self) -> Path:
        """The sources of a server that is no package, unless they are somewhere else."""
        return self.path / "server"

    @property
    def log(self) -> Path:
        """What the steps of the installation printed."""
        return self.path / "install.log"

    def program(self, name: str) -> str:
        """A command of the environment."""
        return str(self.venv / "bin" / name)


@dataclass(frozen=True, slots=True, kw_only=True)
class Wish:
    """What is to be installed."""

    version: str
    device: Device
    source: Path | None = None  # a checkout that is there already
    make_venv: tuple[str, ...] = ()  # the command, without the folder

    def checkout(self, place: Place) -> Path:
        """Where the sources of the server are."""
        return self.source or place.checkout


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One program of an installation."""

    title: str
    command: tuple[str, ...]
    folder: Path | None = None
    environment: Mapping[str, str] = field(default_factory=dict)
    makes: Path | None = None  # what an earlier try has left of it is removed first
    limit: timedelta = STEP_LIMIT


@dataclass(frozen=True, slots=True, kw_only=True)
class Serving:
    """What a stack gives a server."""

    port: int
    models: Path  # folders by kind: Stable-diffusion, Lora, VAE, ...
    files: Path  # where it may write
    device: Device


@dataclass(frozen=True, slots=True, kw_only=True)
class Launch:
    """How a server is started."""

    command: tuple[str, ...]
    folder: Path
    environment: Mapping[str, str] = field(default_factory=dict)
    texts: Mapping[Path, str] = field(default_factory=dict)  # files that it reads
    swept: tuple[Path, ...] = ()  # folders of what it makes and is sent


@dataclass(frozen=True, slots=True, kw_only=True)
class Server:
    """One kind of server."""

    type: RuntimeType
    title: str
    version: str  # what is installed if none is named
    licence: str
    origin: str  # where it comes from, in words
    pythons: tuple[str, ...]  # that it runs with, the best first
    devices: tuple[Device, ...]
    gigabytes: int
    cpu_gigabytes: int
    marker: str = ""  # a file by which a checkout of it is known
    steps: Callable[[Place, Wish], tuple[Step, ...]]
    version_call: Callable[[Place, Wish], Step]  # prints it on a line
    launch: Callable[[Place, Wish, Serving], Launch]

    @property
    def name(self) -> str:
        """What it is called on the command line."""
        return self.type.value

    def room_gigabytes(self, device: Device) -> int:
        """What the installation takes on the disk."""
        return self.cpu_gigabytes if device is Device.CPU else self.gigabytes
