"""How values look on pages."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest

from darkroom_client import Money
from darkroom_console.render import between, lasting, moment, money, size, sparkline

NOON = datetime(2026, 1, 2, 12, tzinfo=UTC)


@pytest.mark.parametrize(
    ("seconds", "said"),
    [
        (None, "-"),
        (0.25, "0.2 s"),
        (59.9, "59.9 s"),
        (60, "1 min 0 s"),
        (3599.6, "60 min 0 s"),
        (3600, "1 h 0 min"),
        (100_000, "27 h 46 min"),
    ],
)
def test_time_has_two_units(seconds: float | None, said: str) -> None:
    assert lasting(seconds) == said


@pytest.mark.parametrize(
    ("count", "said"), [(0, "0 B"), (1536, "2 KB"), (7 * 2**20, "7 MB"), (2**42, "4096.0 GB")]
)
def test_size_has_one_unit(count: int, said: str) -> None:
    assert size(count) == said


def test_what_is_unknown_is_a_dash() -> None:
    assert (moment(None), money(None), between(None, None)) == ("-", "-", "-")


def test_time_between_moments() -> None:
    assert between(NOON, NOON + timedelta(seconds=90)) == "1 min 30 s"


def test_money_has_its_currency() -> None:
    assert money(Money(currency="USD", amount=Decimal("0.000432"))) == "0.000432 USD"


def test_line_is_drawn_from_left_to_right_and_highest_at_the_most() -> None:
    assert sparkline((0, 2, 1), width=100, height=20) == "0.0,19.0 50.0,1.0 100.0,10.0"


def test_line_of_nothing_is_flat() -> None:
    assert sparkline((0, 0), width=100, height=20) == "0.0,19.0 100.0,19.0"
    assert sparkline(()) == ""
