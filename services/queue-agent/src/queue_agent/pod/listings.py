"""Keeps what the runtime offers where it can be read while no pod runs."""

from __future__ import annotations

import asyncio
import gzip
import hashlib
import logging
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Final

from pydantic_core import to_json

from contracts.places import LISTINGS_BYTES
from queue_agent.ports import ListingStore
from servicekit.errors import AppError

log = logging.getLogger(__name__)

AGAIN: Final = timedelta(hours=1)  # models and extensions may be added meanwhile
SOON: Final = timedelta(seconds=2)


@dataclass(frozen=True, slots=True, kw_only=True)
class KeepListings:
    """Takes them when the runtime is ready, and again each hour."""

    take: Callable[[], Awaitable[Mapping[str, Any]]]
    store: ListingStore
    is_ready: Callable[[], bool]

    async def run_until(self, stop: asyncio.Event) -> None:
        """Keep them until told to stop; what fails is tried again."""
        while not stop.is_set():
            pause = AGAIN if self.is_ready() and await self._keep() else SOON
            with suppress(TimeoutError):
                async with asyncio.timeout(pause.total_seconds()):
                    await stop.wait()

    async def _keep(self) -> bool:
        try:
            listings = await self.take()
            text = gzip.compress(to_json(listings), mtime=0)
            if len(text) > LISTINGS_BYTES:
                log.warning("the runtime's listings are too long to keep")
                return True
            await self.store.keep(text, hashlib.sha256(text).hexdigest())
        except AppError as error:
            log.warning("the runtime's listings were not kept", exc_info=error)
            return False
        return True
