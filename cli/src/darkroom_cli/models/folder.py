"""Fetching model files into a folder; a run that is broken off is continued by the next one."""

from __future__ import annotations

import hashlib
import shutil
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from darkroom_cli.errors import CommandError
from darkroom_cli.models.checks import Check
from darkroom_cli.models.files import Model, check_form
from darkroom_cli.models.part import Part, held
from darkroom_cli.models.progress import Shown
from darkroom_cli.models.reading import Opened, opened
from darkroom_cli.models.server import PAUSE_SECONDS, StartOverError, Version
from modelfiles.safetensors import MalformedError

STARTS: Final = 3  # of a file that its server does not continue
GB: Final = 10**9


@dataclass(frozen=True, slots=True, kw_only=True)
class FolderStore:
    """A folder in the original's layout: `Stable-diffusion/`, `Lora/`, `VAE/`, ..."""

    root: Path
    shown: Shown
    force: bool = False  # replace what is there, and take what no runtime reads
    pause_seconds: float = PAUSE_SECONDS

    def path_of(self, model: Model) -> Path:
        """Where a model is, or will be."""
        return self.root / model.folder / model.filename

    async def fetch(self, model: Model) -> bool:
        """Have a model whole at its path; whether it was fetched now. Raises `CommandError`.

        Safe to repeat: what an earlier run left is continued, a file that is there is kept.
        """
        if not self.force:
            check_form(model)
        with held(self.path_of(model)) as part:
            if await self.is_there(model, part.target):
                return False
            await self._whole(model, part)
            part.finish()
        return True

    async def is_there(self, model: Model, target: Path) -> bool:
        """Whether a file is that model, as far as one knows; by force it never is.

        Raises `CommandError` for another file.
        """
        if self.force or (size := _size(target)) is None:
            return False
        wanted = Version(size_bytes=model.size_bytes, sha256=model.sha256)
        if wanted == Version():
            async with opened(model) as served:
                wanted = served.version
        same = wanted.size_bytes in {None, size}
        if same and wanted.sha256:
            async with opened(replace(model, fetched=target)) as file:
                same = await _sum(file) == wanted.sha256
        if not same:
            raise CommandError(f"{target} is there and is another file; --force replaces it")
        return True

    async def _whole(self, model: Model, part: Part) -> None:
        """Fill the part; nothing is kept of what is not the file."""
        for start in range(1, STARTS + 1):
            try:
                await self._go_on(model, part)
            except StartOverError:
                part.clear()
                if start == STARTS:
                    raise
            else:
                return

    async def _go_on(self, model: Model, part: Part) -> None:
        start, version = part.begun(model)
        async with opened(
            model, start=start, version=version, pause_seconds=self.pause_seconds
        ) as file:
            await self._fill(part, file)

    async def _fill(self, part: Part, file: Opened) -> None:
        self._check_room(file)
        check = file.check()
        try:
            part.begin(file.model, file.version, file.start)
            if file.start:
                await self._look_at(part, file, check)
            with self.shown(file.model.key, file.size_bytes, file.start) as passed:
                async for block in file.blocks:
                    check.take(block)
                    await part.add(block)
                    passed(check.taken)
            check.end()
        except MalformedError:
            part.clear()
            raise
        except OSError as error:
            raise CommandError(f"{part.path}: {error.strerror or error}") from error

    async def _look_at(self, part: Part, file: Opened, check: Check) -> None:
        """Check what there is already, which takes a while of a large file."""
        with self.shown(f"{file.model.key}, as far as it is here", file.start) as passed:
            async for block in part.kept():
                check.take(block)
                passed(check.taken)

    def _check_room(self, file: Opened) -> None:
        free = shutil.disk_usage(self.root).free
        needed = (file.size_bytes or 0) - file.start
        if needed > free:
            raise CommandError(
                f"{self.root} has room for {free / GB:.1f} GB, and {file.model.filename} needs"
                f" {needed / GB:.1f} GB"
            )


def _size(path: Path) -> int | None:
    return path.stat().st_size if path.exists() else None


async def _sum(file: Opened) -> str:
    digest = hashlib.sha256()
    async for block in file.blocks:
        digest.update(block)
    return digest.hexdigest()
