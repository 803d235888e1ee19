"""The ways to name a checkpoint, as SD WebUI understands them (observed on 1.10.1)."""

from __future__ import annotations

import string
from collections.abc import Callable, Iterable
from pathlib import PurePosixPath
from typing import Final

_WAYS: Final[tuple[Callable[[PurePosixPath], set[str]], ...]] = (
    lambda file: {str(file)},
    lambda file: {str(file.with_suffix(""))},
    lambda file: {file.name, file.stem},
)


def checkpoints_named(asked: str, filenames: Iterable[str]) -> tuple[str, ...]:
    """The file that `asked` names: none, one, or more if it names them alike.

    A path below the folder of checkpoints counts first, then that without its suffix, then the
    name of a file in a folder. A hash in a title tells nothing here: only the runtime knows it.
    """
    files = {name: PurePosixPath(name) for name in filenames if name}
    # What looks like a hash may be a part of the name.
    for text in (asked, asked[: _hash_start(asked)]):
        wanted = text.replace("\\", "/")
        for ways in _WAYS:
            if found := tuple(name for name, file in files.items() if wanted in ways(file)):
                return found
    return ()


def has_hash(asked: str) -> bool:
    """Whether `asked` is a title with a hash in brackets at its end."""
    return _hash_start(asked) < len(asked)


def _hash_start(title: str) -> int:
    # Not by a regular expression: one for blanks before the end takes quadratic time.
    name, bracket, rest = title.rpartition("[")
    digits = rest.removesuffix("]")
    if bracket and rest != digits and digits and set(digits) <= set(string.hexdigits):
        return len(name.rstrip())
    return len(title)
