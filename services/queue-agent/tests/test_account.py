from __future__ import annotations

from datetime import timedelta
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from contracts.cost import MICROS, Cost
from queue_agent.domain import Node
from queue_agent.pipeline.account import HOUR_MS, Account, PriceTable, price_of

PRICES: PriceTable = {
    "g5.2xlarge": {"on-demand": Decimal("1.212"), "spot": Decimal("0.4968")},
    "g5.12xlarge": {"on-demand": Decimal("5.672")},
}


@pytest.mark.parametrize(
    ("node", "gpus", "dollars"),
    [
        (Node(type="g5.2xlarge", capacity="spot"), 1, "0.4968"),
        (Node(type="g5.2xlarge", capacity="on-demand"), 1, "1.212"),
        (Node(type="g5.2xlarge", capacity="reserved"), 1, "1.212"),
        (Node(type="g5.2xlarge"), 1, "1.212"),
        (Node(type="g5.12xlarge", gpus=4), 1, "1.418"),
        (Node(type="g5.12xlarge", gpus=4), 2, "2.836"),
        (Node(type="g5.2xlarge", capacity="spot"), 8, "0.4968"),
    ],
)
def test_a_pod_pays_its_part_of_its_node(node: Node, gpus: int, dollars: str) -> None:
    price = price_of(node, PRICES, "USD", gpus)

    assert price is not None
    assert price.micros_an_hour == Decimal(dollars) * MICROS


@pytest.mark.parametrize(
    "node", [Node(), Node(type="p5.48xlarge"), Node(type="g5.12xlarge", capacity="spot")]
)
def test_a_node_that_the_table_lacks_has_no_price(node: Node) -> None:
    assert price_of(node, PRICES, "USD") is None


def test_without_a_price_the_time_is_counted_all_the_same() -> None:
    account = Account(Node(type="mine"))

    assert account.charge(1.5) == Cost(gpu_ms=1500, node_type="mine")
    assert account.busy_seconds == 1.5


@given(runs=st.lists(st.floats(0, 100), max_size=50))
def test_charges_are_together_the_time_and_its_price(runs: list[float]) -> None:
    node = Node(type="g5.2xlarge", capacity="spot")
    account = Account(node, price_of(node, PRICES, "USD"))

    charges = [account.charge(seconds) for seconds in runs]

    ms = sum(charge.gpu_ms for charge in charges)
    micros = sum(charge.micros or 0 for charge in charges)
    assert abs(ms - sum(runs) * 1000) < 1.001  # and what 50 sums of floats lose
    assert 0 <= ms * Decimal("0.4968") * MICROS / HOUR_MS - micros < 1


def test_the_time_of_the_node_goes_on_without_work() -> None:
    now = 100.0
    account = Account(up_before=timedelta(seconds=90), clock=lambda: now)
    account.charge(2)
    now = 110.0

    assert (account.up_seconds, account.busy_seconds) == (100, 2)
