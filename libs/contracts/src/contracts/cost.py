"""What a task or one attempt of it costs, exact: whole milliseconds and millionths of money."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from typing import Final

from pydantic import BaseModel, ConfigDict, Field

MICROS: Final = 10**6  # of one unit of a currency


@dataclass(frozen=True, slots=True, kw_only=True)
class Cost:
    """The time of a GPU, and its price where that is known."""

    gpu_ms: int
    micros: int | None = None  # of the currency; None: no price is known
    currency: str = ""
    node_type: str = ""  # of the node that worked, the last one's of a task; empty: unknown
    capacity: str = ""  # `spot` or `on-demand`; empty: unknown

    def __add__(self, later: Cost) -> Cost:
        """Both together; of a kind of node and a currency, the later one's if it is known."""
        known = [micros for micros in (self.micros, later.micros) if micros is not None]
        return Cost(
            gpu_ms=self.gpu_ms + later.gpu_ms,
            micros=sum(known) if known else None,
            currency=later.currency or self.currency,
            node_type=later.node_type or self.node_type,
            capacity=later.capacity or self.capacity,
        )


class CostView(BaseModel):
    """What a task has cost, over all its attempts."""

    model_config = ConfigDict(frozen=True)

    gpu_seconds: float = Field(description="For so long a GPU has worked on it.")
    currency: str | None = Field(description="Null if no price is known, as is `amount`.")
    amount: str | None = Field(description="A decimal number, to the millionth: `0.000138`.")
    node_type: str | None = Field(description="Where the last attempt ran: `g5.2xlarge`.")
    capacity: str | None = Field(description="`spot` or `on-demand`; null if unknown.")

    @classmethod
    def of(cls, cost: Cost) -> CostView:
        """The cost as JSON has it."""
        return cls(
            gpu_seconds=cost.gpu_ms / 1000,
            currency=cost.currency or None,
            amount=None if cost.micros is None else amount(cost.micros),
            node_type=cost.node_type or None,
            capacity=cost.capacity or None,
        )


def amount(micros: int) -> str:
    """Money as text: a decimal number with six places."""
    return f"{Decimal(micros) / MICROS:.6f}"
