"""What the time of a node's GPU costs, and whose time it was: a task's, or nobody's."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import timedelta
from decimal import Decimal
from typing import Final

from contracts.cost import MICROS, Cost
from queue_agent.domain import Capacity, Node

HOUR_MS: Final = 3_600_000
NS: Final = 10**9

PriceTable = Mapping[str, Mapping[Capacity, Decimal]]
"""An hour of a node, by its type and capacity."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Price:
    """What an hour of the runtime's part of a node costs."""

    currency: str
    micros_an_hour: Decimal


def price_of(node: Node, prices: PriceTable, currency: str, gpus: int = 1) -> Price | None:
    """The price of `gpus` of a node; None if the table has none of its kind.

    What is reserved, and a node of unknown capacity, is charged as on demand.
    """
    listed = prices.get(node.type, {}).get("spot" if node.capacity == "spot" else "on-demand")
    if listed is None:
        return None
    share = listed * min(gpus, node.gpus) / node.gpus
    return Price(currency=currency, micros_an_hour=share * MICROS)


class Account:
    """Charges the time of a node to attempts; the rest is time without work.

    What rounding leaves of one charge is in the next: all of them are the time and its price.
    """

    def __init__(
        self,
        node: Node | None = None,
        price: Price | None = None,
        *,
        up_before: timedelta = timedelta(),
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.node = node or Node()
        self.busy_seconds = 0.0
        self._price = price
        self._clock = clock
        self._since = clock() - up_before.total_seconds()
        self._ns = 0  # that are no whole millisecond yet
        self._micros = Decimal()  # that are no whole one yet

    @property
    def up_seconds(self) -> float:
        """For how long there has been the node, `up_before` included."""
        return self._clock() - self._since

    @property
    def kind(self) -> dict[str, str]:
        """Of the node: type and capacity, as far as they are known."""
        known = {"node_type": self.node.type, "capacity": self.node.capacity}
        return {name: word for name, word in known.items() if word}

    def charge(self, seconds: float) -> Cost:
        """The cost of one more run."""
        self.busy_seconds += seconds
        ms, self._ns = divmod(self._ns + round(seconds * NS), NS // 1000)
        return Cost(
            gpu_ms=ms,
            micros=self._money(ms),
            currency=self._price.currency if self._price else "",
            node_type=self.node.type,
            capacity=self.node.capacity,
        )

    def _money(self, ms: int) -> int | None:
        if self._price is None:
            return None
        self._micros += ms * self._price.micros_an_hour / HOUR_MS
        whole = int(self._micros)
        self._micros -= whole
        return whole
