"""What an SD WebUI offers, for clients that ask while none runs."""

from __future__ import annotations

from http import HTTPStatus
from typing import Any, Final

from queue_agent.runtimes.http import RuntimeHttp
from queue_agent.runtimes.shape import mapping

# `cmd-flags` has the server's own passwords, so it is none of them.
_RESOURCES: Final = (
    "sd-models",
    "samplers",
    "schedulers",
    "upscalers",
    "latent-upscale-modes",
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
)
# Other options tell of the machine, or are of no use to whom they cannot be set by.
_OPTIONS: Final = (
    "sd_model_checkpoint",
    "sd_checkpoint_hash",
    "sd_vae",
    "CLIP_stop_at_last_layers",
    "samples_format",
)


async def sdwebui_listings(http: RuntimeHttp, api: str) -> dict[str, Any]:
    """By resource what the server answers; what this one does not have is left out.

    Raises `RuntimeLostError`.
    """
    found = {}
    for resource in _RESOURCES:
        answer = await http.get(f"{api}/{resource}")
        if answer.status == HTTPStatus.OK:
            found[resource] = answer.body
    options = mapping((await http.get(f"{api}/options")).body)
    found["options"] = {name: options[name] for name in _OPTIONS if name in options}
    return found
