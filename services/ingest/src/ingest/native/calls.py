"""Which requests are of another server's API, and what each of them does."""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from contracts.keys import KeyScope


class Api(StrEnum):
    """The APIs that clients of other servers speak; also what metrics call them."""

    SDWEBUI = "sdwebui"


@dataclass(frozen=True, slots=True)
class NativeCall:
    """One request of such an API."""

    api: Api
    resource: str  # one of few, so that it may label a metric; empty if there is no such

    @property
    def operation(self) -> str:
        """The name of what is asked for."""
        return f"{self.api}_{self.resource or 'unknown'}".replace("-", "_")

    @property
    def scope(self) -> KeyScope:
        """What a key must be good for."""
        return KeyScope.SUBMIT if self.resource in _CHANGING[self.api] else KeyScope.READ


_SDWEBUI: Final = re.compile(r"(?:/runtimes/[^/]+)?/sdapi/v1/([a-z0-9-]+)")
_CHANGING: Final = {
    Api.SDWEBUI: frozenset(
        {
            "txt2img",
            "img2img",
            "extra-single-image",
            "extra-batch-images",
            "interrupt",
            "skip",
        }
    )
}
_READING: Final = {Api.SDWEBUI: frozenset({"progress", "sd-models", "png-info"})}


def native_call(path: str) -> NativeCall | None:
    """What a path asks for in another server's API; None if it is one of ours."""
    found = _SDWEBUI.fullmatch(path)
    if found is None:
        return None
    known = _CHANGING[Api.SDWEBUI] | _READING[Api.SDWEBUI]
    return NativeCall(Api.SDWEBUI, found[1] if found[1] in known else "")
