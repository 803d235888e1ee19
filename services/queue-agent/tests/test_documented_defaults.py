"""What the documents say of a setting's default is its default (H8)."""

from __future__ import annotations

import re
from datetime import timedelta
from pathlib import Path

import pytest

from queue_agent.settings import Settings

PAGES = ("models.md", "troubleshooting.md")
_SAID = re.compile(r"`QUEUE_AGENT_(\w+)`\s+\((\d+) (s|min|minutes?)\)")
_UNITS = {"s": "seconds", "min": "minutes", "minute": "minutes", "minutes": "minutes"}


@pytest.mark.parametrize("page", PAGES)
def test_durations_in_the_documents_are_the_defaults(page: str) -> None:
    said = _SAID.findall(Path("docs/deploy", page).read_text())
    assert said

    for name, number, unit in said:
        field = Settings.model_fields[name.lower()]
        assert field.default == timedelta(**{_UNITS[unit]: int(number)}), name


@pytest.mark.parametrize("page", PAGES)
def test_every_setting_that_the_documents_name_is_there(page: str) -> None:
    named = re.findall(r"QUEUE_AGENT_([A-Z_]+)", Path("docs/deploy", page).read_text())

    assert {name.lower() for name in named} <= set(Settings.model_fields)
