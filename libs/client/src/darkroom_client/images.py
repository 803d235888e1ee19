"""What a task has made."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING

from darkroom_client.calls import Request
from darkroom_client.errors import DarkroomError
from darkroom_client.results import Task

if TYPE_CHECKING:
    from PIL.Image import Image as Picture


@dataclass(frozen=True)
class Image:
    """One file that a task has made."""

    url: str  # s3://
    content: bytes = field(repr=False)

    @property
    def name(self) -> str:
        """The file's name, such as `first-4b6b-1.png`."""
        return self.url.rpartition("/")[2]

    def save(self, file: str | os.PathLike[str]) -> Path:
        """Write it to a file, whose folder is made, and give the path."""
        path = Path(file)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(self.content)
        return path

    def pil(self) -> Picture:
        """The image for Pillow; raises `ImportError` where that is not installed."""
        from PIL import Image as pillow  # noqa: N813, PLC0415  # not everybody has it

        return pillow.open(BytesIO(self.content))


@dataclass(frozen=True)
class Generated:
    """A task that was completed, and its images."""

    task: Task
    images: tuple[Image, ...]


@dataclass(frozen=True)
class Outcome:
    """What became of one request of a batch: `generated`, or an `error`."""

    index: int  # of the request
    request: Request
    generated: Generated | None = None
    error: DarkroomError | None = None

    @property
    def task(self) -> Task:
        """The completed task; raises the error if there is none."""
        return self._done().task

    @property
    def images(self) -> tuple[Image, ...]:
        """The images; raises the error if there are none."""
        return self._done().images

    def _done(self) -> Generated:
        if self.generated is None:
            raise self.error or DarkroomError("there is nothing")
        return self.generated
