"""What the server of a runtime offers, as an agent last saw it: no pod has to run."""

from __future__ import annotations

import zlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from time import monotonic
from typing import Any, Final

from pydantic_core import from_json

from ingest.ports import Router
from servicekit.errors import RejectedError

FRESH: Final = 10.0  # seconds until it is asked again
LARGEST: Final = 64 * 2**20  # bytes of JSON
_GZIP: Final = 31  # zlib's name for its form with a header


@dataclass(slots=True)
class _Known:
    etag: str
    by_resource: Mapping[str, Any]
    asked: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Listings:
    """Reads them again when they have changed."""

    router: Router
    _known: dict[str, _Known] = field(default_factory=dict)

    async def of(self, runtime: str) -> Mapping[str, Any]:
        """By resource of the server's API what it answered; empty before an agent saw it.

        Raises `TransientError`.
        """
        known = self._known.get(runtime) or _Known("", {}, asked=0)
        if self._known.get(runtime) and monotonic() - known.asked < FRESH:
            return known.by_resource
        try:
            etag, text = await self.router.listings(runtime, known.etag)
        except RejectedError as error:
            if error.code != "not_found":
                raise
            return known.by_resource
        if text:
            known = _Known(etag, _read(text), asked=monotonic())
        known.asked = monotonic()
        self._known[runtime] = known
        return known.by_resource


def _read(text: bytes) -> Mapping[str, Any]:
    """The JSON; empty if it is none, or too long: a runtime has said it."""
    unpacking = zlib.decompressobj(wbits=_GZIP)
    try:
        found = from_json(unpacking.decompress(text, LARGEST))
    except (zlib.error, ValueError):
        return {}
    return found if isinstance(found, dict) else {}
