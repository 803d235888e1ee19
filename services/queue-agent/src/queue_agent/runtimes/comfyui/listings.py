"""What a ComfyUI offers, for clients that ask while none runs."""

from __future__ import annotations

from http import HTTPStatus
from typing import Any, Final

from queue_agent.runtimes.http import RuntimeHttp

_RESOURCES: Final = ("object_info", "system_stats", "embeddings", "extensions", "features")


async def comfyui_listings(http: RuntimeHttp) -> dict[str, Any]:
    """By resource what the server answers; what this one does not have is left out.

    Raises `RuntimeLostError`.
    """
    found = {}
    for resource in _RESOURCES:
        answer = await http.get(f"/{resource}")
        if answer.status == HTTPStatus.OK:
            found[resource] = answer.body
    return found
