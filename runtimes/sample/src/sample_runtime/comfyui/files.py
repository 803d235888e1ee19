"""The folders of a ComfyUI server and the names of the files in them."""

from __future__ import annotations

import mimetypes
import re
from dataclasses import dataclass
from pathlib import Path

_MODELS = {".gltf", ".glb", ".obj", ".fbx", ".stl"}
_LAST_COUNTER = re.compile(r"_(\d+)_?\.\w+$")


@dataclass(frozen=True)
class Folders:
    """Where results, previews and uploads lie, by ComfyUI's type: output, temp, input."""

    output: Path
    temp: Path
    input: Path

    @classmethod
    def under(cls, scratch: Path, output: Path | None = None) -> Folders:
        """Make the folders in `scratch`, with results in `output` if that is given."""
        folders = cls(output or scratch / "output", scratch / "temp", scratch / "input")
        for folder in (folders.output, folders.temp, folders.input):
            folder.mkdir(parents=True, exist_ok=True)
        return folders

    def of_type(self, kind: str) -> Path | None:
        """The folder of a type, or None for an unknown type."""
        return {"output": self.output, "temp": self.temp, "input": self.input}.get(kind)

    def inputs(self, *kinds: str) -> list[str]:
        """The uploads of some kinds (image, audio, video) that a loader offers."""
        names = (path.name for path in self.input.iterdir() if path.is_file())
        return sorted(name for name in names if _kind(name) in kinds)

    def models(self) -> list[str]:
        """The uploads that Load3D offers; it looks in a folder of its own."""
        files = (path for path in (self.input / "3d").rglob("*") if path.is_file())
        return sorted(
            path.relative_to(self.input).as_posix()
            for path in files
            if path.suffix.lower() in _MODELS
        )


def _kind(name: str) -> str:
    return (mimetypes.guess_type(name, strict=False)[0] or "").partition("/")[0]


def inside(folder: Path, name: str) -> Path:
    """The path of `name` in `folder`; raises PermissionError if it leads outside."""
    path = (folder / name).resolve()
    if not path.is_relative_to(folder.resolve()):
        raise PermissionError(f"{name} is outside of the folder")
    return path


def free_name(folder: Path, name: str) -> str:
    """`name`, or `name (1).png` and so on if it is taken."""
    stem, suffix, number, candidate = Path(name).stem, Path(name).suffix, 0, name
    while (folder / candidate).exists():
        number += 1
        candidate = f"{stem} ({number}){suffix}"
    return candidate


def next_counter(folder: Path, prefix: str) -> int:
    """The number after the highest that a file `<prefix>_<number>_.<suffix>` has."""
    found = (
        _LAST_COUNTER.search(path.name.removeprefix(prefix))
        for path in folder.iterdir()
        if path.name.startswith(f"{prefix}_")
    )
    return max((int(match[1]) for match in found if match), default=0) + 1
