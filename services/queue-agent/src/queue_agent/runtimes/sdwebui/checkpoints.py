"""Which checkpoint of an SD WebUI a name means. Pure.

The server itself takes the first that has the name somewhere in its title, or the last one of
that name in its list; then another model than the one that was meant makes the image.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import PurePosixPath
from typing import Any, Final

from modelfiles.formats import FORMATS
from queue_agent.domain import TaskFailedError

_HASH = re.compile(r" ?\[([0-9a-fA-F]+)\]$")
_SUFFIX = re.compile(f"(?:{'|'.join(map(re.escape, FORMATS))})$", re.IGNORECASE)


@dataclass(frozen=True, slots=True, kw_only=True)
class Checkpoint:
    """One checkpoint as `GET sd-models` lists it."""

    title: str
    model_name: str
    filename: str
    hash: str = ""  # short, of SHA-256; empty until the server has computed it
    sha256: str = ""

    @classmethod
    def read(cls, listed: object) -> Checkpoint:
        """The checkpoint that the server lists; what is no text in it is as if not there."""
        fields: Mapping[Any, Any] = listed if isinstance(listed, Mapping) else {}
        names = ("title", "model_name", "filename", "hash", "sha256")
        texts = {name: fields.get(name) for name in names}
        return cls(
            **{name: text if isinstance(text, str) else "" for name, text in texts.items()}
        )

    @property
    def path(self) -> str:
        """Where it lies below the folder of checkpoints, as its title says."""
        return _slashed(_HASH.sub("", self.title))

    @property
    def name(self) -> str:
        """Its title, with the hash that it must have if the server has yet to compute it."""
        return f"{self.title} [{self.hash}]" if self.hash and self._is_unhashed else self.title

    @property
    def run_names(self) -> frozenset[str]:
        """The names by which `info.sd_model_name` may call it."""
        return frozenset({self.model_name, PurePosixPath(_slashed(self.filename)).stem})

    def answers_to(self, name: str) -> bool:
        """Whether `name` is one of its names, and a hash in it is its own."""
        plain, asked = _parted(name)
        return name == self.title or (
            self.has_hash(asked) and any(fits(self, plain) for fits in _WAYS)
        )

    @property
    def _is_unhashed(self) -> bool:
        return _HASH.search(self.title) is None

    def has_hash(self, asked: str) -> bool:
        """Whether its hash, as far as it is known, is the one asked for."""
        known = [one.lower() for one in (self.hash, self.sha256) if one]
        asked = asked.lower()
        return not (asked and known) or any(
            one.startswith(asked) or asked.startswith(one) for one in known
        )

    def made(self, info: Mapping[str, Any]) -> bool:
        """Whether a run's `info` says that this one made the image."""
        used = info.get("sd_model_hash")
        if isinstance(used, str) and used and (self.hash or self.sha256):
            return self.has_hash(used)
        return any(info.get("sd_model_name") == name for name in self.run_names)


def _by_path(one: Checkpoint, name: str) -> bool:
    return name in {one.path, _slashed(one.filename)}


def _by_path_without_suffix(one: Checkpoint, name: str) -> bool:
    return name == _SUFFIX.sub("", one.path)


def _by_model_name(one: Checkpoint, name: str) -> bool:
    return name == one.model_name


def _by_base_name(one: Checkpoint, name: str) -> bool:
    files = [PurePosixPath(path).name for path in (one.path, _slashed(one.filename))]
    return name in {*files, *(_SUFFIX.sub("", file) for file in files)}


def _by_hash(one: Checkpoint, name: str) -> bool:
    return bool(name) and name.lower() in {one.hash.lower(), one.sha256.lower()}


_WAYS: Final[tuple[Callable[[Checkpoint, str], bool], ...]] = (
    _by_path,
    _by_path_without_suffix,
    _by_model_name,
    _by_base_name,
    _by_hash,
)


def chosen(listed: Sequence[Checkpoint], name: str) -> Checkpoint | None:
    """The checkpoint that `name` means; None if there is none.

    A title counts before a path, a path before a name in the root, and that before the base
    name of one in a folder. A hash in the name must be the checkpoint's. Raises
    `TaskFailedError` with the code `model_ambiguous` if two are meant alike.
    """
    for one in listed:
        if one.title == name:
            return one
    plain, asked = _parted(name)
    with_hash = [one for one in listed if one.has_hash(asked)]
    for fits in _WAYS:
        found = {one.title: one for one in with_hash if fits(one, plain)}
        certain = [one for one in found.values() if asked and (one.hash or one.sha256)]
        candidates = certain or list(found.values())
        if len(candidates) > 1:
            raise TaskFailedError(
                f"'{name}' may be any of {_titles(candidates)}: ask for one by its title",
                code="model_ambiguous",
            )
        for one in candidates:
            # The server tells the hash after the run: it must be the one that was asked for.
            return one if certain or not asked else replace(one, hash=asked)
    return None


def not_found(listed: Sequence[Checkpoint], name: str) -> TaskFailedError:
    """The failure of a name that means no checkpoint; it tells of one with another hash."""
    plain, asked = _parted(name)
    others = [one for one in listed if any(fits(one, plain) for fits in _WAYS)]
    said = f"the runtime has no checkpoint '{name}'"
    if asked and others:
        said += f"; it has {_titles(others)}"
    return TaskFailedError(said, code="model_not_found")


def _titles(checkpoints: Iterable[Checkpoint]) -> str:
    return ", ".join(f"'{one.title}'" for one in checkpoints)


def _parted(name: str) -> tuple[str, str]:
    found = _HASH.search(name)
    return (_slashed(name[: found.start()]), found[1]) if found else (_slashed(name), "")


def _slashed(path: str) -> str:
    return path.replace("\\", "/")
