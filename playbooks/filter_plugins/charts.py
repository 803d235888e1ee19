"""Filters for charts and images that are named by what they are made of."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path

import yaml

DOCUMENTATION = """
name: charts
short_description: Tell the version of a chart, or the hash of a folder
"""


def chart_identity(folder: str) -> dict[str, str]:
    """The `name` of a chart and its `version`, which tells what it consists of.

    To the version in `Chart.yaml` comes a hash of all its files: `0.1.0-c1a2b3c4d`. So another
    content is another version to Helm, to a registry and to Ansible's module.
    """
    told = yaml.safe_load((Path(folder) / "Chart.yaml").read_text())
    # The letter, because a number must not begin with zero in such a place.
    return {"name": told["name"], "version": f"{told['version']}-c{folder_hash(folder)[:8]}"}


def folder_hash(folder: str, *more: str) -> str:
    """16 hexadecimal digits that tell of all files of a folder, and of `more`."""
    root, content = Path(folder), hashlib.sha256()
    for path in sorted(path for path in root.rglob("*") if path.is_file()):
        for part in (path.relative_to(root).as_posix().encode(), path.read_bytes()):
            content.update(len(part).to_bytes(8, "big") + part)
    for text in more:
        content.update(text.encode() + b"\0")
    return content.hexdigest()[:16]


class FilterModule:
    """The filters by their names."""

    def filters(self) -> dict[str, Callable[..., object]]:
        """What Ansible asks for."""
        return {"chart_identity": chart_identity, "folder_hash": folder_hash}
