"""The models of an InvokeAI server: a list in memory, filled from files that stay in place."""

from __future__ import annotations

import itertools
import json
import struct
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final
from uuid import uuid4

_SUFFIXES: Final = (".ckpt", ".bin", ".pth", ".safetensors", ".pt", ".gguf")
_TYPES: Final = {"Lora": "lora", "VAE": "vae", "embeddings": "embedding"}
_LENGTH: Final = struct.Struct("<Q")


class InvalidModelConfigException(Exception):  # noqa: N818  # the server's own name for it
    """A file is a model, but not a whole one."""


@dataclass(kw_only=True)
class ModelJob:
    """The registration of one file."""

    job_id: int
    path: Path
    changes: dict[str, Any]
    status: str = "waiting"
    error: Exception | None = None
    made: dict[str, Any] | None = None

    def shown(self) -> dict[str, Any]:
        """The job as the server shows it."""
        return {
            "id": self.job_id,
            "status": self.status,
            "error_reason": type(self.error).__name__ if self.error else None,
            "error": str(self.error) if self.error else None,
            "config_in": self.changes,
            "config_out": self.made,
            "inplace": True,
            "source": {"path": str(self.path), "inplace": True, "type": "local"},
            "local_path": str(self.path),
        }


@dataclass(kw_only=True)
class ModelStore:
    """Models by their keys, and the jobs that brought them."""

    models: dict[str, dict[str, Any]] = field(default_factory=dict)
    jobs: list[ModelJob] = field(default_factory=list)
    _numbers: itertools.count[int] = field(default_factory=itertools.count)

    def scan(self, folder: Path) -> list[dict[str, Any]]:
        """What looks like a model by its name, and whether it is in the list."""
        known = {model["path"] for model in self.models.values()}
        found = [path for path in folder.resolve().rglob("*") if path.suffix in _SUFFIXES]
        return [{"path": str(path), "is_installed": str(path) in known} for path in found]

    def install(self, path: Path, changes: dict[str, Any]) -> ModelJob:
        """The job that will register a file; the one that waits already, if there is."""
        for job in self.jobs:
            if job.path == path and job.status == "waiting":
                return job
        job = ModelJob(job_id=next(self._numbers), path=path, changes=changes)
        self.jobs.append(job)
        return job

    def work(self) -> None:
        """Do the next job."""
        for job in self.jobs:
            if job.status == "waiting":
                self._do(job)
                return

    def _do(self, job: ModelJob) -> None:
        try:
            job.made = _described(job.path, job.changes)
        except (InvalidModelConfigException, OSError) as error:
            job.status, job.error = "error", error
        else:
            job.status = "completed"
            self.models[job.made["key"]] = job.made


def _described(path: Path, changes: dict[str, Any]) -> dict[str, Any]:
    known = _is_whole(path)
    kind = _TYPES.get(path.parent.name, "main")
    return {
        "key": changes.get("key") or str(uuid4()),
        "hash": changes.get("hash") or f"blake3:{uuid4().hex}",
        "path": str(path),
        "file_size": path.stat().st_size,
        "name": path.stem,
        "source": str(path),
        "source_type": "path",
        "base": "sd-1" if known else "unknown",
        "type": kind if known else "unknown",
        "format": "checkpoint" if known else "unknown",
    }


def _is_whole(path: Path) -> bool:
    """Whether a file is a safetensors file; raises if a part of one is missing."""
    body = path.read_bytes()
    try:
        (length,) = _LENGTH.unpack_from(body)
        header = json.loads(body[_LENGTH.size : _LENGTH.size + length])
        ends = [one["data_offsets"][1] for one in header.values()]
    except (struct.error, ValueError, AttributeError, KeyError, TypeError, IndexError):
        return False
    if _LENGTH.size + length + max(ends, default=0) > len(body):
        raise InvalidModelConfigException(f"Model at {path} cannot be used: it is truncated")
    return True
