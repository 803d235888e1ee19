from __future__ import annotations

from decimal import Decimal

import pytest
from golden_config import config

from deployment.check import check
from deployment.cost import default_prices
from deployment.node_prices import node_prices


def test_the_list_of_the_package_has_the_price_that_a_months_work_is_reckoned_with() -> None:
    prices = node_prices({})

    spot = prices["types"]["g5.2xlarge"]["spot"]
    assert prices["currency"] == default_prices().currency
    assert Decimal(str(spot)) == default_prices()["gpu_instance_hour"]


def test_a_type_that_is_configured_replaces_that_of_the_list() -> None:
    own = {"g5.2xlarge": {"spot": 0.6}, "p5.48xlarge": {"on-demand": 98.32}}

    types = node_prices({"types": own})["types"]

    assert {name: types[name] for name in own} == own
    assert types["g5.xlarge"] == {"on-demand": 1.006}


def test_prices_in_another_currency_stand_alone() -> None:
    own = {"g5.xlarge": {"on-demand": 1}}

    assert node_prices({"currency": "EUR", "types": own}) == {"currency": "EUR", "types": own}


@pytest.mark.parametrize(
    ("prices", "key"),
    [
        ({"currency": "euro"}, "nodePrices.currency"),
        ({"types": {"g5.xlarge": {"spot": -1}}}, "nodePrices.types['g5.xlarge'].spot"),
        ({"types": {"g5.xlarge": {"reserved": 1}}}, "nodePrices.types['g5.xlarge'].reserved"),
        ({"types": {"g5": {"spot": 1}}}, "nodePrices.types.g5"),
    ],
)
def test_a_wrong_price_is_named(prices: object, key: str) -> None:
    (finding,) = check({**config(), "nodePrices": prices}, "us-east-1").errors

    assert finding.key == key
    assert finding.text.startswith(f"{key}: found ")
