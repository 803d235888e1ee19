"""What is in a model bucket. Pure: no I/O."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import PurePosixPath

from contracts.checkpoints import checkpoints_named, has_hash
from modelfiles.formats import FORMATS


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredFile:
    """One object of the bucket; the same key and tag mean the same bytes."""

    key: str
    size_bytes: int
    tag: str  # the object's ETag
    modified_at: datetime = field(compare=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Model:
    """One model file; `problem` is None if it can be loaded as far as its header tells."""

    kind: str  # the folder: Stable-diffusion, Lora, VAE, ...
    name: str  # the path below that folder
    size_bytes: int
    format: str
    problem: str | None

    @property
    def order(self) -> tuple[str, str]:
        """The key by which the catalogue is sorted."""
        return (self.kind, self.name)


def split_key(key: str) -> tuple[str, str, str] | None:
    """Kind, name and format of an object; None if it is no model.

    The layout is the original solution's: a folder for each kind, files in or below it.
    """
    path = PurePosixPath(key)
    form = FORMATS.get(path.suffix.lower())
    if form is None or len(path.parts) < 2:  # noqa: PLR2004  # a folder and a file
        return None
    if path.is_absolute() or ".." in path.parts:  # a key may be anything, a name is a path
        return None
    return path.parts[0], str(PurePosixPath(*path.parts[1:])), form


def place(key: str) -> PurePosixPath | None:
    """Where an object is in a folder with the whole bucket; None if nowhere.

    A key may be anything; what leads out of the folder or is a folder itself has no place.
    """
    path = PurePosixPath(key)
    if key.endswith("/") or "\0" in key or path.is_absolute() or ".." in path.parts:
        return None
    return path if path.parts else None


def named(models: Iterable[Model], kind: str, name: str) -> tuple[Model, ...]:
    """The model that `name` means: none, one, or more if it means them alike.

    Of several, a hash in the name tells the runtime which: one that can be loaded will do here.
    """
    known = {model.name: model for model in models if model.kind == kind}
    found = tuple(known[one] for one in checkpoints_named(name, known))
    usable = [model for model in found if model.problem is None]
    return (*usable, *found)[:1] if has_hash(name) else found
