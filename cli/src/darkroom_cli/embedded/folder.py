"""The data folder of the embedded mode: what is in it, and that one stack uses it at a time."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import typer
from pydantic import BaseModel, ValidationError

from contracts.keys import (
    BrokenKeysError,
    Key,
    KeyScope,
    digest_of,
    new_key,
    read_keys,
    write_keys,
)
from contracts.runtimes import Runtime, RuntimesFile
from darkroom_cli.errors import CommandError
from provisioning.emulator import bucket_folder


def default_folder() -> Path:
    """The folder of `darkroom up` when none is named."""
    return Path(typer.get_app_dir("darkroom"))


class Running(BaseModel):
    """What a running stack tells the other commands; its JSON is what `up --json` prints."""

    endpoint: str
    grpc: str  # host:port
    api_key: str
    result_topic_arn: str
    bucket: str
    model_bucket: str
    claim_bucket: str
    queues: dict[str, str]  # runtime -> URL
    readiness: dict[str, str] = {}  # runtime -> URL that tells why its tasks wait
    aws_endpoint_url: str | None
    console: str | None = None  # URL of the pages


@dataclass(frozen=True, slots=True)
class Folder:
    """One data folder."""

    path: Path

    @property
    def aws(self) -> Path:
        """The folder of the emulator's state."""
        return self.path / "aws"

    @property
    def runtimes_file(self) -> Path:
        """The file of configured runtimes."""
        return self.path / "runtimes.json"

    @property
    def api_keys_file(self) -> Path:
        """The file of hashed keys."""
        return self.path / "api-keys.json"

    @property
    def api_key_file(self) -> Path:
        """The file of this folder's key for everything, which `api_key` makes."""
        return self.path / "api-key"

    @property
    def _processes_file(self) -> Path:
        return self.path / "processes.json"

    @property
    def _running_file(self) -> Path:
        return self.path / "running.json"

    def log(self, name: str) -> Path:
        """The log file of one process."""
        return self.path / "logs" / f"{name}.log"

    def written_by(self, name: str) -> Path:
        """The folder that a server which this stack starts may write to."""
        return self.path / "servers" / name

    def objects(self, bucket: str) -> Path:
        """The folder in which the emulator keeps the objects of a bucket, as files."""
        return bucket_folder(self.aws, bucket)

    @contextlib.contextmanager
    def locked(self) -> Iterator[int]:
        """Make the folder and hold it; gives a descriptor that children must inherit.

        A child that outlives a killed parent keeps the lock, so that no second stack writes to
        the same state. Raises `CommandError` when the folder is in use or cannot be made.
        """
        try:
            for path in (self.path, self.path / "logs", self.aws):
                path.mkdir(parents=True, exist_ok=True)
            self.path.chmod(0o700)
            lock = os.open(self.path / "lock", os.O_RDWR | os.O_CREAT, 0o600)
        except OSError as error:
            raise CommandError(f"cannot use {self.path}: {error.strerror}") from error
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            os.close(lock)
            raise CommandError(self._in_use()) from error
        try:
            self.write_processes({})
            yield lock
        finally:
            self._running_file.unlink(missing_ok=True)
            self._processes_file.unlink(missing_ok=True)
            os.close(lock)

    def write_runtimes(self, runtimes: tuple[Runtime, ...]) -> None:
        """Write the file that the router reads."""
        self._write(
            self.runtimes_file, RuntimesFile(runtimes=runtimes).model_dump_json(indent=1)
        )

    def api_key(self) -> str:
        """This folder's key for everything, made at the first call; the keys file has its hash.

        Raises `CommandError` if that file is broken.
        """
        plain = self.api_key_file
        if not plain.exists():
            self._write(plain, new_key())
        key = plain.read_text().strip()
        own = Key(
            name="embedded",
            tenant="embedded",
            scope=KeyScope.ADMIN,
            sha256=digest_of(key.encode()),
        )
        others = [each for each in self.read_keys() if each.name != own.name]
        self.write_keys([own, *others])
        return key

    def read_keys(self) -> list[Key]:
        """The keys of the file; raises `CommandError` if it is broken."""
        try:
            return read_keys(self.api_keys_file.read_bytes())
        except FileNotFoundError:
            return []
        except (OSError, BrokenKeysError) as error:
            raise CommandError(f"{self.api_keys_file} cannot be used: {error}") from error

    def write_keys(self, keys: list[Key]) -> None:
        """Write the file, which ingest reads again."""
        self._write(self.api_keys_file, write_keys(keys))

    def aws_port(self) -> int | None:
        """The port that the emulator had last; None before the first time."""
        try:
            return int((self.path / "aws-port").read_text())
        except (OSError, ValueError):
            return None

    def write_aws_port(self, port: int) -> None:
        """Keep the emulator's port for the next time."""
        self._write(self.path / "aws-port", str(port))

    def write_running(self, running: Running) -> None:
        """Let the other commands find this stack."""
        self._write(self._running_file, running.model_dump_json(indent=1))

    def write_processes(self, started: Mapping[str, int]) -> None:
        """Let a second stack say who uses this folder: this process and those it started."""
        own = {"darkroom": os.getpid()}
        self._write(self._processes_file, json.dumps({**own, **started}))

    def _in_use(self) -> str:
        """Say which processes hold this folder, as far as that is known."""
        try:
            listed: dict[str, int] = json.loads(self._processes_file.read_bytes())
        except (OSError, ValueError):
            listed = {}
        alive = {name: pid for name, pid in listed.items() if _lives(pid)}
        if pid := alive.get("darkroom"):
            return (
                f"{self.path} is in use by another stack: stop process {pid}"
                " or choose another --data-dir"
            )
        if alive:
            named = ", ".join(f"{name} ({pid})" for name, pid in alive.items())
            return (
                f"{self.path} is in use by what another stack left behind: {named}; end it with"
                f" `kill {' '.join(map(str, alive.values()))}` or choose another --data-dir"
            )
        return f"{self.path} is in use by another stack; stop it or choose another --data-dir"

    def running(self) -> Running:
        """The stack that runs here; raises `CommandError` if there is none."""
        try:
            return Running.model_validate_json(self._running_file.read_bytes())
        except (OSError, ValidationError):
            raise CommandError(
                f"no stack runs in {self.path}; start one with `darkroom up`"
            ) from None

    def _write(self, path: Path, text: str) -> None:
        """Replace a file at once, readable by its owner only."""
        fresh = path.with_suffix(".new")
        try:
            with os.fdopen(os.open(fresh, os.O_WRONLY | os.O_CREAT, 0o600), "w") as file:
                file.truncate()
                file.write(text)
            fresh.replace(path)
        except OSError as error:
            raise CommandError(f"cannot write {path}: {error.strerror}") from error


def _lives(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return False  # somebody else's by now: ours are of this user
    return True
