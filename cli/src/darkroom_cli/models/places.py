"""Where `darkroom models get` puts models: a folder, a bucket, a stack that does not run."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Protocol

from darkroom_cli.embedded.folder import Folder
from darkroom_cli.embedded.programs import STACK
from darkroom_cli.errors import CommandError
from darkroom_cli.models.files import Model
from darkroom_cli.models.folder import FolderStore, is_model
from darkroom_cli.models.upload import Brought, Upload, metadata_of
from provisioning.emulator import move_in
from provisioning.resources import model_bucket_of


class Place(Protocol):
    """Somewhere that models are brought to."""

    async def bring(self, model: Model) -> Brought:
        """Have a model there, whole and checked; safe to repeat; raises `CommandError`."""


@dataclass(frozen=True, slots=True)
class InFolder:
    """A folder of this machine."""

    store: FolderStore

    async def bring(self, model: Model) -> Brought:
        """Fetch it right there."""
        changed = await self.store.fetch(model)
        path = self.store.path_of(model)
        return Brought(url=str(path), changed=changed, size_bytes=path.stat().st_size)


@dataclass(frozen=True, slots=True)
class InBucket:
    """A bucket; what is on its way is kept in `downloads`, so that it can be continued."""

    upload: Upload
    downloads: FolderStore

    async def bring(self, model: Model) -> Brought:
        """Fetch it, store it, and keep no copy; our errors of AWS are raised as well."""
        there = await replace(self.upload, dry_run=True).bring(model)
        if not there.changed:
            return there
        await self.downloads.fetch(model)
        copy = self.downloads.path_of(model)
        brought = await self.upload.bring(replace(model, fetched=copy))
        copy.unlink(missing_ok=True)  # another run may have had it, too
        return brought


@dataclass(frozen=True, slots=True)
class InStoppedStack:
    """The embedded stack of a data folder, which has the model when it is started next."""

    folder: Folder
    downloads: FolderStore

    async def bring(self, model: Model) -> Brought:
        """Fetch it, and move it to where the stack's emulator keeps its objects."""
        bucket = model_bucket_of(STACK)
        target = self.folder.objects(bucket) / model.key
        url = f"s3://{bucket}/{model.key}"
        if not self.downloads.force and target.exists() and await is_model(model, target):
            return Brought(url=url, changed=False, size_bytes=target.stat().st_size)
        await self.downloads.fetch(model)
        copy = self.downloads.path_of(model)
        try:
            with self.folder.locked():
                move_in(copy, self.folder.aws, bucket, model.key, metadata_of(model))
        except OSError as error:
            raise CommandError(f"{target}: {error.strerror or error}") from error
        except CommandError as error:
            raise CommandError(f"{error}; run it again to store {copy}") from error
        return Brought(url=url, changed=True, size_bytes=target.stat().st_size)
