"""The ways to name a checkpoint, as SD WebUI understands them (observed on 1.10.1)."""

from __future__ import annotations

import re
from pathlib import PurePosixPath

_HASH = re.compile(r"\s*\[[0-9a-fA-F]+\]$")


def names_checkpoint(asked: str, filename: str) -> bool:
    """Tell whether `asked` means the file: by its name, its title (with a hash) or its stem."""
    bare = _HASH.sub("", asked)
    path = PurePosixPath(filename)
    return bare in {filename, path.name, path.stem, str(path.with_suffix(""))}
