"""The ways to name a checkpoint, as SD WebUI understands them (observed on 1.10.1)."""

from __future__ import annotations

import string
from pathlib import PurePosixPath


def names_checkpoint(asked: str, filename: str) -> bool:
    """Whether `asked` means the file: by its name, its title (with a hash) or its stem."""
    bare = _without_hash(asked)
    path = PurePosixPath(filename)
    return bare in {filename, path.name, path.stem, str(path.with_suffix(""))}


def _without_hash(title: str) -> str:
    # Not by a regular expression: one for blanks before the end takes quadratic time.
    name, bracket, rest = title.rpartition("[")
    digits = rest.removesuffix("]")
    if bracket and rest != digits and digits and set(digits) <= set(string.hexdigits):
        return name.rstrip()
    return title
