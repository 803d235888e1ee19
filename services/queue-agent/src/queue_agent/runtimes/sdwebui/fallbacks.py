"""What an SD WebUI did otherwise than it was asked, without a word: it makes an image. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import PurePosixPath
from typing import Any, Final

from queue_agent.runtimes.shape import items, mapping, text

_SCHEDULE = re.compile(r"\bSchedule type: ([^,\n]+)")
_UNSAID = re.compile(r"[^a-z0-9+]")
_SHOWN: Final = 200  # characters: a callback has room for so many
_OWN_CHOICE: Final = frozenset({"", "automatic", "none", "usesamescheduler"})


def fallbacks(content: Mapping[str, Any], info: Mapping[str, Any]) -> tuple[str, ...]:
    """A sentence for each thing that the run used instead of what was asked for."""
    return tuple(
        f"the {what} '{asked[:_SHOWN]}' was asked for, and the runtime used '{used[:_SHOWN]}'"
        for what, asked, used in _others(content, info)
    )


def _others(
    content: Mapping[str, Any], info: Mapping[str, Any]
) -> Iterator[tuple[str, str, str]]:
    sampler = text(content.get("sampler_name")) or text(content.get("sampler_index"))
    used, schedule = text(info.get("sampler_name")), _schedule(info)
    # Older clients name the schedule with the sampler: "DPM++ 2M Karras".
    if sampler and used and _plain(sampler) not in {_plain(used), _plain(used + schedule)}:
        yield "sampler", sampler, used
    scheduler = text(content.get("scheduler"))
    if _plain(scheduler) not in {*_OWN_CHOICE, _plain(schedule)} and schedule:
        yield "scheduler", scheduler, schedule
    vae = text(mapping(content.get("override_settings")).get("sd_vae"))
    used_vae = info.get("sd_vae_name")
    if _plain(vae) not in _OWN_CHOICE and "sd_vae_name" in info:
        names = {PurePosixPath(text(used_vae)).name, PurePosixPath(text(used_vae)).stem}
        if PurePosixPath(vae).name not in names:
            yield "VAE", vae, text(used_vae) or "none"


def _schedule(info: Mapping[str, Any]) -> str:
    told = text(mapping(info.get("extra_generation_params")).get("Schedule type"))
    texts = [text(one) for one in items(info.get("infotexts"))[:1]]
    found = [match[1] for one in texts for match in _SCHEDULE.finditer(one)]
    return told or (found[-1].strip() if found else "")


def _plain(name: str) -> str:
    """A name as the server may write it in other ways: `sgm_uniform` is `SGM Uniform`."""
    return _UNSAID.sub("", name.lower())
