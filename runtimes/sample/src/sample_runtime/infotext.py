"""The `parameters` text of a picture, in the form SD WebUI writes and reads it."""

from __future__ import annotations

import re

_SETTING = re.compile(r"\s*([\w ./+-]+):\s*([^,]+)(?:,|$)")


def write(prompt: str, negative_prompt: str, settings: dict[str, object]) -> str:
    """Prompt, negative prompt and one line of settings."""
    line = ", ".join(f"{key}: {value}" for key, value in settings.items())
    negative = [f"Negative prompt: {negative_prompt}"] if negative_prompt else []
    return "\n".join([prompt, *negative, line])


def parse(text: str) -> dict[str, str]:
    """The settings by name, with the prompts as `Prompt` and `Negative prompt`."""
    if not text:
        return {}
    *head, line = text.strip().split("\n")
    prompt, _, negative = "\n".join(head).partition("Negative prompt: ")
    settings = {key.strip(): value.strip() for key, value in _SETTING.findall(line)}
    return {"Prompt": prompt.strip(), "Negative prompt": negative.strip(), **settings}
