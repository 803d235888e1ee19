"""Grids of SD WebUI, which come before the images: kept for those who ask for them. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from queue_agent.runtimes.shape import mapping, text

_OVERRIDES: Final = "override_settings"
_NOT_SAVED: Final = {"samples_save": False, "grid_save": False}


def with_grid(content: Mapping[str, Any]) -> dict[str, Any]:
    """The body with a grid in its answer if it asks for one, and nothing saved at the server.

    Through its API the server makes no grid unless it is to save images, whatever
    `do_not_save_grid` says; options keep it from saving any: nobody empties its folder.
    """
    if not _asks_for_grid(content):
        return {**content, "save_images": False}
    overrides = {**mapping(content[_OVERRIDES]), **_NOT_SAVED}
    return {**content, "save_images": True, _OVERRIDES: overrides}


def keeps_grids(content: Mapping[str, Any]) -> bool:
    """Whether a client wants grids: it says so, or has a script whose result they are."""
    return _asks_for_grid(content) or bool(text(content.get("script_name")))


def _asks_for_grid(content: Mapping[str, Any]) -> bool:
    returned = mapping(content.get(_OVERRIDES)).get("return_grid")
    return content.get("do_not_save_grid") is False and returned is True
