"""Which requests are of another server's API, and what each of them does."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from contracts.keys import KeyScope


class Api(StrEnum):
    """The APIs that clients of other servers speak; also what metrics call them."""

    SDWEBUI = "sdwebui"
    COMFYUI = "comfyui"
    OPENAI = "openai"


LISTED: Final = (
    "samplers",
    "schedulers",
    "upscalers",
    "latent-upscale-modes",
    "sd-models",
    "sd-vae",
    "sd-modules",
    "loras",
    "embeddings",
    "hypernetworks",
    "face-restorers",
    "realesrgan-models",
    "prompt-styles",
    "scripts",
    "script-info",
    "extensions",
    "options",
)
"""Of SD WebUI: what a server offers."""

_READ, _SUBMIT = KeyScope.READ, KeyScope.SUBMIT
_PATHS: Final = {
    Api.SDWEBUI: re.compile(r"(?:/runtimes/[^/]+)?/sdapi/v1/([a-z0-9-]+)"),
    Api.COMFYUI: re.compile(
        r"(?:/runtimes/[^/]+/comfy)?(?:/api)?"
        r"/(prompt|queue|history|view|interrupt|object_info|system_stats|embeddings"
        r"|extensions|features|models)(?:/.*)?"
    ),
    Api.OPENAI: re.compile(r"/openai/v1/([a-z]+(?:/(?:generations|edits))?)(?:/.+)?"),
}
_RESOURCES: Final[Mapping[Api, Mapping[str, KeyScope]]] = {
    Api.SDWEBUI: {
        "txt2img": _SUBMIT,
        "img2img": _SUBMIT,
        "extra-single-image": _SUBMIT,
        "extra-batch-images": _SUBMIT,
        "interrupt": _SUBMIT,
        "skip": _SUBMIT,
        "progress": _READ,
        **dict.fromkeys(LISTED, _READ),
    },
    Api.COMFYUI: dict.fromkeys(
        (
            "view",
            "history",
            "object_info",
            "system_stats",
            "embeddings",
            "extensions",
            "features",
            "models",
        ),
        _READ,
    )
    | dict.fromkeys(("prompt", "queue", "interrupt"), _SUBMIT),
    Api.OPENAI: {"images/generations": _SUBMIT, "images/edits": _SUBMIT, "models": _READ},
}


@dataclass(frozen=True, slots=True)
class NativeCall:
    """One request of such an API."""

    api: Api
    resource: str  # one of few, so that it may label a metric; empty if there is no such

    @property
    def operation(self) -> str:
        """The name of what is asked for."""
        return re.sub(r"\W", "_", f"{self.api}_{self.resource or 'unknown'}")

    @property
    def scope(self) -> KeyScope:
        """What a key must be good for."""
        return _RESOURCES[self.api].get(self.resource, _READ)


def native_call(path: str) -> NativeCall | None:
    """What a path asks for in another server's API; None if it is one of ours."""
    for api, pattern in _PATHS.items():
        if found := pattern.fullmatch(path):
            return NativeCall(api, found[1] if found[1] in _RESOURCES[api] else "")
    return None
