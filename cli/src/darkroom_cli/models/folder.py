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
            if not self.force and part.target.exists():
                if await is_model(model, part.target):
                    return False
                raise CommandError(
                    f"{part.target} is there and is another file; --force replaces it"
                )
            await self._whole(model, part)
            part.finish()
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
        self._check_room(part, file)
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

    def _check_room(self, part: Part, file: Opened) -> None:
        free = shutil.disk_usage(self.root).free
        needed = (file.size_bytes or 0) - part.size_bytes  # which is kept, or overwritten
        if needed > free:
            raise CommandError(
                f"{self.root} has room for {free / GB:.1f} GB, and {file.model.filename} needs"
                f" {needed / GB:.1f} GB"
            )


async def is_model(model: Model, file: Path) -> bool:
    """Whether a file is that model, by its sum or its size, as far as one knows them."""
    wanted = Version(size_bytes=model.size_bytes, sha256=model.sha256)
    if wanted == Version():
        async with opened(model) as served:
            wanted = served.version
    async with opened(replace(model, fetched=file)) as found:
        if wanted.size_bytes not in {None, found.size_bytes}:
            return False
        return wanted.sha256 is None or await _sum(found) == wanted.sha256


async def _sum(file: Opened) -> str:
    digest = hashlib.sha256()
    async for block in file.blocks:
        digest.update(block)
    return digest.hexdigest()
