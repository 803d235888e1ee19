"""The catalogue: what the bucket held at the last look."""

from __future__ import annotations

import asyncio
import logging
from datetime import timedelta

from opentelemetry import metrics

from model_sync.domain import Model, StoredFile, named, split_key
from model_sync.ports import ModelBucket
from modelfiles.formats import GGUF_BYTES, check_gguf
from modelfiles.safetensors import LENGTH_BYTES, check_size, header_bytes, promised_bytes
from servicekit.errors import RejectedError

log = logging.getLogger(__name__)
meter = metrics.get_meter(__name__)
_refreshes = meter.create_counter(
    "darkroom.models.refreshes", unit="{refresh}", description="Looks into the model bucket"
)
_models = meter.create_gauge(
    "darkroom.models.known", unit="{model}", description="Models, by whether they are valid"
)

# A request looks again, so that a model is there once it is uploaded; this bounds what clients
# can cost.
LOOK_AGAIN = timedelta(seconds=1)


class Catalogue:
    """The models of one bucket."""

    def __init__(self, bucket: ModelBucket, *, max_models: int) -> None:
        self._bucket = bucket
        self._max_models = max_models
        self._models: tuple[Model, ...] = ()
        self._checked: dict[StoredFile, str | None] = {}  # file -> its problem
        self._refreshing = asyncio.Lock()
        self._last_look = float("-inf")  # on the loop's clock

    @property
    def models(self) -> tuple[Model, ...]:
        """The models of the last look, sorted."""
        return self._models

    async def refresh(self) -> None:
        """Look into the bucket; raises `TransientError` and keeps the old catalogue then."""
        async with self._refreshing:
            await self._look()

    async def look_again(self) -> None:
        """Look into the bucket unless that was done within `LOOK_AGAIN`, as `refresh`."""
        async with self._refreshing:
            now = asyncio.get_running_loop().time()
            if now - self._last_look >= LOOK_AGAIN.total_seconds():
                await self._look()

    async def find(self, kind: str, name: str) -> Model:
        """One model, after another look if there is not one of that name.

        Raises `RejectedError` (`model_not_found`, with what there is, or `model_ambiguous`) and
        `TransientError`.
        """
        found = named(self._models, kind, name)
        if len(found) != 1:
            await self.look_again()
            found = named(self._models, kind, name)
        if not found:
            known = ", ".join(m.name for m in self._models if m.kind == kind) or "none"
            raise RejectedError(
                f"there is no {kind} model '{name[:200]}'; there are: {known}",
                code="model_not_found",
            )
        if len(found) > 1:
            alike = ", ".join(model.name for model in found)
            raise RejectedError(
                f"'{name[:200]}' may be any of {alike}: ask for one by its path",
                code="model_ambiguous",
            )
        return found[0]

    async def _look(self) -> None:
        models: list[Model] = []
        checked: dict[StoredFile, str | None] = {}
        async for file in self._bucket.files():
            if (split := split_key(file.key)) is None:
                continue
            if len(models) == self._max_models:
                log.warning("catalogue is full", extra={"max_models": self._max_models})
                break
            kind, name, form = split
            if file not in self._checked:
                checked[file] = await self._problem(file, form)
            else:
                checked[file] = self._checked[file]
            models.append(
                Model(
                    kind=kind,
                    name=name,
                    size_bytes=file.size_bytes,
                    format=form,
                    problem=checked[file],
                )
            )
        self._checked = checked
        self._last_look = asyncio.get_running_loop().time()
        _refreshes.add(1)
        for valid in (True, False):
            _models.set(
                sum((m.problem is None) == valid for m in models),
                {"valid": str(valid).lower()},
            )
        self._models = tuple(sorted(models, key=lambda model: model.order))

    async def _problem(self, file: StoredFile, form: str) -> str | None:
        if file.size_bytes == 0:
            return "it is empty"
        try:
            if form == "gguf":
                check_gguf(await self._bucket.read(file, 0, min(file.size_bytes, GGUF_BYTES)))
            if form != "safetensors":
                return None  # pickles: only loading one would tell, and that would run its code
            first = await self._bucket.read(file, 0, LENGTH_BYTES)
            length = header_bytes(first, file.size_bytes)
            header = await self._bucket.read(file, LENGTH_BYTES, length)
            check_size(file.size_bytes, promised_bytes(header))
        except ValueError as error:
            return str(error)
        return None
