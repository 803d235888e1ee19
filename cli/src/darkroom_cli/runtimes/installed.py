"""What is installed in a folder: read, written at once, held, and removed."""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from pydantic import BaseModel, ValidationError

from darkroom_cli.errors import CommandError
from darkroom_cli.runtimes.server import Device, Place, Server, Wish

INSTALLED: Final = "installed.json"
UNFINISHED: Final = "unfinished.json"
LOCK: Final = "lock"


class Installed(BaseModel):
    """A server that is installed, or of which some steps are done."""

    name: str
    version: str
    device: Device
    source: Path | None = None
    done: tuple[str, ...] = ()  # the titles of steps, while it is unfinished

    def fits(self, server: Server, wish: Wish) -> bool:
        """Whether it is what is asked for; a checkout has the version that it has."""
        same = (self.name, self.device, self.source) == (server.name, wish.device, wish.source)
        return same and (wish.source is not None or self.version == wish.version)

    def wish(self) -> Wish:
        """What was asked for."""
        return Wish(version=self.version, device=self.device, source=self.source)


def place_of(server: Server, home: Path, named: Path | None = None) -> Place:
    """The folder of a server that was named, or the one in the user's data folder."""
    return Place((named or home / "runtimes" / server.name).absolute())


def installed(place: Place) -> Installed | None:
    """What is installed there; None before it is finished. Raises `CommandError`."""
    return _read(place.path / INSTALLED)


def unfinished(place: Place) -> Installed | None:
    """What was begun there and is not finished; raises `CommandError` as well."""
    return _read(place.path / UNFINISHED)


def write_unfinished(place: Place, begun: Installed) -> None:
    """Keep which steps are done."""
    _write(place.path / UNFINISHED, begun)


def write_installed(place: Place, finished: Installed) -> None:
    """Say that a server is installed: the last thing that an installation does."""
    _write(place.path / INSTALLED, finished)
    (place.path / UNFINISHED).unlink(missing_ok=True)


@contextlib.contextmanager
def held(place: Place, *, shared: bool = False) -> Iterator[None]:
    """Keep others from changing what is there; stacks share it.

    Raises `CommandError` if somebody holds it, or if the folder cannot be made.
    """
    try:
        place.path.mkdir(parents=True, exist_ok=True)
        lock = os.open(place.path / LOCK, os.O_RDWR | os.O_CREAT, 0o600)
    except OSError as error:
        raise CommandError(f"cannot use {place.path}: {error.strerror}") from error
    try:
        fcntl.flock(lock, (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | fcntl.LOCK_NB)
    except BlockingIOError as error:
        os.close(lock)
        raise CommandError(
            f"{place.path} is in use by a `darkroom up --with` or another installation; end"
            " that first"
        ) from error
    try:
        yield
    finally:
        os.close(lock)


def is_strange(place: Place) -> bool:
    """Whether a folder holds something that no installation has put there."""
    if not place.path.exists():
        return False
    if not place.path.is_dir():
        return True
    names = {each.name for each in place.path.iterdir()} - {LOCK}
    return bool(names) and names.isdisjoint({INSTALLED, UNFINISHED})


def remove(place: Place) -> bool:
    """Remove what an installation made, its record last; whether the folder is gone as well.

    The checkout of a `--source` stays as it is.
    """
    with held(place):
        for path in (place.venv, place.checkout, place.log):
            delete(path)
        for name in (UNFINISHED, INSTALLED, LOCK):
            delete(place.path / name)
    try:
        place.path.rmdir()
    except OSError:
        return False
    return True


def delete(path: Path) -> None:
    """Delete a file, a link or a folder; nothing if it is not there. Raises `CommandError`."""
    try:
        if path.is_symlink() or path.is_file():
            path.unlink()
        elif path.exists():
            shutil.rmtree(path)
    except OSError as error:
        raise CommandError(
            f"cannot remove {error.filename or path}: {error.strerror}"
        ) from error


def _read(path: Path) -> Installed | None:
    try:
        return Installed.model_validate_json(path.read_bytes())
    except FileNotFoundError:
        return None
    except (OSError, ValidationError) as error:
        raise CommandError(
            f"{path} is unreadable: remove its folder and install again"
        ) from error


def _write(path: Path, content: Installed) -> None:
    fresh = path.with_suffix(".new")
    try:
        fresh.write_text(content.model_dump_json(indent=1))
        fresh.replace(path)
    except OSError as error:
        raise CommandError(f"cannot write {path}: {error.strerror}") from error
