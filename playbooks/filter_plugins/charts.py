"""A filter for the charts of this repository."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path

import yaml

DOCUMENTATION = """
name: charts
short_description: Tell the version of a chart
"""


def chart_identity(folder: str) -> dict[str, str]:
    """The `name` of a chart and its `version`, which tells what it consists of.

    To the version in `Chart.yaml` comes a hash of all its files: `0.1.0-c1a2b3c4d`. So another
    content is another version to Helm, to a registry and to Ansible's module.
    """
    root = Path(folder)
    told = yaml.safe_load((root / "Chart.yaml").read_text())
    content = hashlib.sha256()
    for path in sorted(path for path in root.rglob("*") if path.is_file()):
        for part in (path.relative_to(root).as_posix().encode(), path.read_bytes()):
            content.update(len(part).to_bytes(8, "big") + part)
    # The letter, because a number must not begin with zero in such a place.
    return {"name": told["name"], "version": f"{told['version']}-c{content.hexdigest()[:8]}"}


class FilterModule:
    """The filter by its name."""

    def filters(self) -> dict[str, Callable[[str], dict[str, str]]]:
        """What Ansible asks for."""
        return {"chart_identity": chart_identity}
