"""The checkpoints a sample runtime says it has. Their contents are never read."""

from __future__ import annotations

from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path, PurePosixPath

_SUFFIXES = {".safetensors", ".ckpt"}


@dataclass(frozen=True)
class Checkpoint:
    """One checkpoint, known by its file name; `folder` is where it is said to lie."""

    name: str
    folder: str

    @property
    def sha256(self) -> str:
        """A stand-in for the hash of the file: the hash of its name."""
        return sha256(self.name.encode()).hexdigest()

    @property
    def short_hash(self) -> str:
        """The first ten digits of the hash, as titles carry it."""
        return self.sha256[:10]

    @property
    def title(self) -> str:
        """The name with the hash in brackets."""
        return f"{self.name} [{self.short_hash}]"

    @property
    def model_name(self) -> str:
        """The file name without folder and suffix."""
        return PurePosixPath(self.name).stem

    def answers_to(self, name: str) -> bool:
        """Whether `name` is its file name, title, model name or hash."""
        return name in {
            self.name,
            PurePosixPath(self.name).name,
            self.title,
            self.model_name,
            self.short_hash,
            self.sha256,
        }


class CheckpointCatalog:
    """The checkpoints of a folder, or the names that were given instead of one."""

    def __init__(self, names: list[str], folder: Path | None = None) -> None:
        self._folder = folder
        self._named = [Checkpoint(name, "/models/Stable-diffusion") for name in names]
        self.checkpoints: list[Checkpoint] = []
        self.refresh()

    def refresh(self) -> None:
        """Look into the folder again; without a folder nothing changes."""
        if self._folder is None:
            self.checkpoints = self._named
            return
        files = (path for path in self._folder.rglob("*") if path.suffix in _SUFFIXES)
        names = sorted(path.relative_to(self._folder).as_posix() for path in files)
        self.checkpoints = [Checkpoint(name, str(self._folder)) for name in names]

    def find(self, name: str) -> Checkpoint | None:
        """The checkpoint that answers to `name`."""
        return next((one for one in self.checkpoints if one.answers_to(name)), None)
