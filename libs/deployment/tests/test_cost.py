"""The tables of cost: the guide's line by line, and what it leaves out."""

from __future__ import annotations

import json
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from deployment.cost import (
    GUIDE_SAYS,
    Stack,
    Work,
    default_prices,
    guide_lines,
    guide_total,
    lines,
    read_prices,
    total,
    write_units,
    writes_of,
)
from deployment.cost_report import report

# As the guide prints them: quantity, price, total.
PRINTED = [
    ("Amazon EC2", "416.67", "0.4968", "207.00"),
    ("Amazon API Gateway", "1", "3.50", "3.50"),
    ("AWS Lambda", "12500", "0.0000166667", "0.21"),
    ("AWS Lambda", "1", "0.20", "0.20"),
    ("Amazon SNS", "2", "0.50", "0.50"),
    ("Amazon SNS", "7.62", "0.09", "0.68"),
    ("Amazon SQS", "2", "0.40", "0.80"),
    ("Amazon S3", "2000", "0.005", "10.00"),
    ("Amazon S3", "143.05", "0.023", "3.29"),
    ("Amazon EKS", "1", "72.00", "72.00"),
    ("Amazon EC2", "1440", "0.0960", "138.24"),
]
MILLION = Work()


def test_guide_is_reproduced_line_by_line() -> None:
    made = [
        (line.service, line.quantity.quantize(Decimal("0.01")), line.price, line.guide)
        for line in guide_lines(MILLION, default_prices())
    ]

    assert made == [
        (service, Decimal(quantity), Decimal(price), Decimal(sum_))
        for service, quantity, price, sum_ in PRINTED
    ]


def test_lines_of_the_guide_add_up_to_less_than_its_text_says() -> None:
    guide = guide_lines(MILLION, default_prices())

    assert (guide_total(guide), GUIDE_SAYS) == (Decimal("436.42"), Decimal("436.72"))
    # Both SNS requests are paid, and 7.62 GB are 69 cents.
    assert total(guide) == Decimal("436.93")


def test_gpu_hours_grow_as_utilisation_falls() -> None:
    half = Work(utilisation=Decimal("0.5"))

    assert guide_lines(half, default_prices())[0].total == Decimal("414.00")
    hours = {line.dimension: line.quantity for line in lines(half, Stack(), default_prices())}
    assert hours["hours at work"] == hours["hours without work between tasks"]


def amounts(stack: Stack, work: Work = MILLION) -> dict[tuple[str, str], Decimal]:
    listed = lines(work, stack, default_prices())
    return {(line.service, line.dimension): line.total for line in listed}


def test_what_the_guide_leaves_out_is_counted() -> None:
    full = amounts(Stack())

    assert full["NAT gateways", "hours"] == Decimal("98.55")
    assert full["SNS", "million requests"] == Decimal("1.00")
    # Each 5 s by KEDA and each 15 s by the autoscaler, for 730 hours.
    assert full["SQS", "million looks of KEDA and autoscaler"] == Decimal("0.28")
    # 60 starts of 840 s.
    assert full["GPU nodes", "hours of starts and cooldowns"] == Decimal("6.96")
    assert amounts(Stack(gateways=1))["NAT gateways", "hours"] == Decimal("32.85")


def test_stack_at_rest_costs_what_is_there_all_the_time() -> None:
    rest = amounts(Stack(starts=Decimal(0)), Work(images=Decimal(0)))

    assert {service for (service, _), cost in rest.items() if cost} == {
        "CloudWatch", "EKS", "Load balancer", "NAT gateways", "SQS", "Small nodes",
    }  # fmt: skip


def test_record_is_written_four_times_and_once_a_second() -> None:
    assert [writes_of(Decimal(seconds)) for seconds in ("0.5", "1", "1.5", "60")] == [
        5,
        5,
        6,
        64,
    ]
    assert write_units(Decimal("1.5")) == 6 + 3 + 2 + 3


def test_prices_may_come_from_a_file_and_one_by_one() -> None:
    listed = read_prices('{"name": "mine", "prices": {"nat_hour": {"price": 0.1}}}')
    changed = listed.changed({"nat_gb": "0.2"})

    assert (changed["nat_hour"], changed["nat_gb"]) == (Decimal("0.1"), Decimal("0.2"))
    assert changed["sqs_million_requests"] == Decimal("0.40")
    assert read_prices(changed.as_json()).amounts == changed.amounts


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "no price list"),
        ("[]", "no price list"),
        ('{"prices": {"nat_hour": 1}}', "no price list"),
        ('{"prices": {"moon_hour": {"price": 1}}}', "moon_hour is no price"),
        ('{"prices": {"nat_hour": {"price": "x"}}}', "the price nat_hour: found 'x'"),
        ('{"prices": {"nat_hour": {"price": -1}}}', "the price nat_hour: found -1"),
        ('{"prices": {"nat_hour": {"price": NaN}}}', "the price nat_hour: found"),
    ],
)
def test_price_list_that_is_none_is_refused(text: str, reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        read_prices(text)


@pytest.mark.parametrize(
    ("name", "value"),
    [("images", "-1"), ("seconds", "0"), ("utilisation", "1.1"), ("seconds", "nan")],
)
def test_work_that_cannot_be_is_refused(name: str, value: str) -> None:
    with pytest.raises(ValueError, match=f"{name}: found"):
        Work(**{name: Decimal(value)})


@given(
    images=st.decimals(0, 10**12, allow_nan=False),
    seconds=st.decimals("0.001", 86_400, allow_nan=False),
    utilisation=st.decimals("0.0001", 1, allow_nan=False),
)
def test_any_work_has_a_cost_and_a_report(
    images: Decimal, seconds: Decimal, utilisation: Decimal
) -> None:
    work = Work(images, seconds, utilisation)

    assert total(lines(work, Stack(), default_prices())) > 0
    assert "| **together** |" in report(work, Stack(), default_prices())


def test_list_of_the_package_says_where_its_prices_are_from() -> None:
    prices = default_prices()

    assert "guide" in prices.source
    assert prices.currency == "USD"
    assert json.loads(prices.as_json())["prices"]["gpu_instance_hour"]["price"] == 0.4968
