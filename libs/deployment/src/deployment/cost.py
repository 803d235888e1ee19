"""What a stack costs: the table of the original solution's guide, and what it leaves out.

Amounts are of one month and in the currency of the price list; nothing is free of charge.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import ROUND_DOWN, ROUND_HALF_UP, Decimal, InvalidOperation
from importlib import resources
from typing import Final

PRICES_FILE: Final = "prices.json"
MILLION: Final = Decimal(10**6)
HOUR: Final = Decimal(3600)
GIB: Final = Decimal(2**30)
CENT: Final = Decimal("0.01")
MOST: Final = Decimal(10**12)

GUIDE_HOURS: Final = 720  # the guide's month
MONTH_HOURS: Final = 730
GUIDE_SAYS: Final = Decimal("436.72")  # in its text; its rows add up to less

# Of one task, as the services do it.
WRITES: Final = 4  # of its record: accepted, begun, ended, told; progress comes on top
INDEXES: Final = 3  # hold keys only, so they are written once
COUNT_WRITES: Final = 3  # told in one transaction with the count of what is used: each is twice
DUE_WRITES: Final = 2  # into the index of callbacks to send, and out of it
RECORD_KIB: Final = 1
KEYS_KIB: Final = Decimal("0.2")  # an entry of an index, with what AWS adds
PUTS: Final = 2  # an image and its .out
IMAGE_KB: Final = 150
EXTEND_SECONDS: Final = 40  # a third of a lease
HPA_SECONDS: Final = 15  # each scaled runtime is also looked at by its autoscaler

# Of a GPU node: /dev/xvda and /dev/xvdb as in the defaults of the configuration.
VOLUME_GB: Final = 90
VOLUME_IOPS_BEYOND: Final = 1000
VOLUME_MIB_BEYOND: Final = 875


@dataclass(frozen=True)
class Prices:
    """A price list."""

    name: str
    source: str
    currency: str
    amounts: Mapping[str, Decimal]

    def __getitem__(self, name: str) -> Decimal:
        return self.amounts[name]

    def changed(self, amounts: Mapping[str, str]) -> Prices:
        """The list with other prices; raises `ValueError` for a name it does not have."""
        new = {name: _price(name, text, self.amounts) for name, text in amounts.items()}
        return Prices(self.name, self.source, self.currency, {**self.amounts, **new})

    def as_json(self) -> str:
        """The list in the form of a file of prices."""
        listed = {name: {"price": float(price)} for name, price in self.amounts.items()}
        words = {"name": self.name, "currency": self.currency, "source": self.source}
        return json.dumps({**words, "prices": listed}, indent=2)


def default_prices() -> Prices:
    """The price list of the package."""
    return _list(resources.files("deployment").joinpath(PRICES_FILE).read_text("utf-8"), {})


def read_prices(text: str) -> Prices:
    """The price list of a JSON text; what it lacks is as in the list of the package.

    Raises `ValueError`.
    """
    return _list(text, default_prices().amounts)


def _list(text: str, known: Mapping[str, Decimal]) -> Prices:
    try:
        listed = json.loads(text, parse_float=Decimal, parse_int=Decimal)
        given = {name: str(each["price"]) for name, each in listed["prices"].items()}
        words = [str(listed.get(key, "")) for key in ("name", "source", "currency")]
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise ValueError(f"no price list: {error}") from error
    amounts = {name: _price(name, text, known or given) for name, text in given.items()}
    return Prices(words[0], words[1], words[2] or "USD", {**known, **amounts})


def _price(name: str, text: str, known: Mapping[str, object]) -> Decimal:
    if name not in known:
        raise ValueError(f"{name} is no price; the prices are {', '.join(sorted(known))}")
    try:
        price = Decimal(text)
    except InvalidOperation:
        raise ValueError(f"the price {name}: found {text!r}; allowed: a number") from None
    _bounded(f"the price {name}", price, Decimal(0), MOST)
    return price


def _bounded(name: str, value: Decimal, low: Decimal, high: Decimal) -> None:
    if not (value.is_finite() and low <= value <= high):
        raise ValueError(f"{name}: found {value}; allowed: {low} to {high}")


@dataclass(frozen=True)
class Line:
    """One line of a table; `guide` is the total that the guide prints in it."""

    service: str
    dimension: str
    quantity: Decimal
    price: Decimal
    guide: Decimal | None = None

    @property
    def total(self) -> Decimal:
        """The quantity at its price, to the cent."""
        return (self.quantity * self.price).quantize(CENT, ROUND_HALF_UP)


@dataclass(frozen=True)
class Work:
    """A month's work; raises `ValueError` when it is none."""

    images: Decimal = MILLION
    seconds: Decimal = Decimal("1.5")  # of a GPU, for one image
    utilisation: Decimal = Decimal(1)  # the share of a GPU's paid time that it works

    def __post_init__(self) -> None:
        """Refuse what is no work."""
        _bounded("images", self.images, Decimal(0), MOST)
        _bounded("seconds", self.seconds, Decimal("0.001"), Decimal(86_400))
        _bounded("utilisation", self.utilisation, Decimal("0.0001"), Decimal(1))

    @property
    def working_hours(self) -> Decimal:
        """The hours of GPUs at work."""
        return self.images * self.seconds / HOUR


def guide_lines(work: Work, prices: Prices) -> tuple[Line, ...]:
    """The guide's table, its totals as it reckons them beside the right ones.

    It charges one of two SNS requests, cuts figures of SNS data (half of the 16 KB a request
    that it names) where others are rounded, and knows neither cold starts nor NAT gateways.
    """
    millions = work.images / MILLION
    return tuple(
        Line(service, dimension, quantity, price, _as_printed(dimension, quantity * price))
        for service, dimension, quantity, price in (
            (
                "Amazon EC2",
                "g5.2xlarge, Spot, hours",
                work.working_hours / work.utilisation,
                prices["gpu_instance_hour"],
            ),
            (
                "Amazon API Gateway",
                "million requests",
                millions,
                prices["api_million_requests"],
            ),
            ("AWS Lambda", "GB seconds", 12500 * millions, prices["lambda_gb_second"]),
            ("AWS Lambda", "million requests", millions, prices["lambda_million_requests"]),
            ("Amazon SNS", _SNS_REQUESTS, 2 * millions, prices["sns_million_requests"]),
            ("Amazon SNS", _SNS_GB, _cut(work.images * 8192 / GIB), prices["sns_gb_out"]),
            ("Amazon SQS", "million requests", 2 * millions, prices["sqs_million_requests"]),
            ("Amazon S3", "thousand PUT requests", 2000 * millions, prices["s3_thousand_puts"]),
            ("Amazon S3", "GB for a month", _stored_gib(work.images), prices["s3_gb_month"]),
            ("Amazon EKS", "cluster", Decimal(1), GUIDE_HOURS * prices["cluster_hour"]),
            (
                "Amazon EC2",
                "m5.large, on demand, hours",
                Decimal(2 * GUIDE_HOURS),
                prices["small_instance_hour"],
            ),
        )
    )


_SNS_REQUESTS: Final = "million SNS requests"
_SNS_GB: Final = "GB of data"


def _cut(quantity: Decimal) -> Decimal:
    return quantity.quantize(CENT, ROUND_DOWN)


def _as_printed(dimension: str, total: Decimal) -> Decimal:
    if dimension == _SNS_REQUESTS:
        total /= 2
    return total.quantize(CENT, ROUND_DOWN if dimension == _SNS_GB else ROUND_HALF_UP)


def _stored_gib(images: Decimal) -> Decimal:
    return images * IMAGE_KB / 2**20


@dataclass(frozen=True)
class Stack:
    """What a stack costs besides its work; the defaults are those of the configuration."""

    starts: Decimal = Decimal(60)  # GPU nodes that are started in a month
    start_seconds: Decimal = Decimal(240)  # of a node until it works
    idle_seconds: Decimal = Decimal(600)  # until an idle node ends: cooldown, consolidateAfter
    runtimes: int = 1
    small_nodes: int = 2
    gateways: int = 3  # NAT gateways, one in each zone
    polling_seconds: int = 5
    log_kb: Decimal = Decimal(8)  # of one task, all services and the runtime
    nat_kb: Decimal = Decimal(64)  # of one task: SNS, SQS, logs, traces; others need no NAT

    def __post_init__(self) -> None:
        """Refuse what can't be."""
        _bounded("starts", self.starts, Decimal(0), MOST)


def lines(work: Work, stack: Stack, prices: Prices) -> tuple[Line, ...]:
    """What Darkroom costs, with what the guide leaves out."""
    return (
        *_gpu_lines(work, stack, prices),
        *_task_lines(work, stack, prices),
        *_fixed_lines(work, stack, prices),
    )


def _gpu_lines(work: Work, stack: Stack, prices: Prices) -> tuple[Line, ...]:
    working = work.working_hours
    waiting = working / work.utilisation - working
    started = stack.starts * (stack.start_seconds + stack.idle_seconds) / HOUR
    volumes = (
        VOLUME_GB * prices["volume_gb_month"]
        + VOLUME_IOPS_BEYOND * prices["volume_iops_month"]
        + VOLUME_MIB_BEYOND * prices["volume_mib_month"]
    ) / MONTH_HOURS
    hour = prices["gpu_instance_hour"]
    return (
        Line("GPU nodes", "hours at work", working, hour),
        Line("GPU nodes", "hours without work between tasks", waiting, hour),
        Line("GPU nodes", "hours of starts and cooldowns", started, hour),
        Line("GPU nodes", "hours of their volumes", working + waiting + started, volumes),
    )


def writes_of(seconds: Decimal) -> int:
    """How often a task's record is written, its progress once a second at most."""
    return WRITES + math.ceil(seconds)


def write_units(seconds: Decimal) -> int:
    """The write units of one task, with those of the indexes."""
    return writes_of(seconds) * RECORD_KIB + INDEXES + DUE_WRITES + COUNT_WRITES


def queue_requests(seconds: Decimal) -> int:
    """The SQS requests of one task: sent, received, deleted, and its lease extended."""
    return 3 + int(seconds // EXTEND_SECONDS)


def _task_lines(work: Work, stack: Stack, prices: Prices) -> tuple[Line, ...]:
    images, seconds = work.images, work.seconds
    millions = images / MILLION
    reads = max(1, int(seconds // 1)) * millions
    kept = images * (RECORD_KIB + INDEXES * KEYS_KIB) / 2**20
    log = images * stack.log_kb / 2**20
    price = prices
    return (
        Line("API Gateway", "million requests", millions, price["api_million_requests"]),
        Line("SNS", "million requests", 2 * millions, price["sns_million_requests"]),
        Line(
            "SQS",
            "million requests of tasks",
            queue_requests(seconds) * millions,
            price["sqs_million_requests"],
        ),
        Line(
            "SQS",
            "million looks of KEDA and autoscaler",
            _looks(stack) / MILLION,
            price["sqs_million_requests"],
        ),
        Line(
            "DynamoDB",
            "million writes",
            write_units(seconds) * millions,
            price["ledger_million_writes"],
        ),
        Line("DynamoDB", "million reads", reads, price["ledger_million_reads"]),
        Line("DynamoDB", "GB of 30 days", kept, price["ledger_gb_month"]),
        Line("S3", "thousand PUT requests", PUTS * 1000 * millions, price["s3_thousand_puts"]),
        Line("S3", "GB for a month", _stored_gib(images), price["s3_gb_month"]),
        Line("CloudWatch", "GB of logs", log, price["log_gb"]),
        Line("X-Ray", "million traces", millions, price["trace_million"]),
    )


def _looks(stack: Stack) -> Decimal:
    seconds = MONTH_HOURS * HOUR
    return stack.runtimes * (seconds / stack.polling_seconds + seconds / HPA_SECONDS)


def _fixed_lines(work: Work, stack: Stack, prices: Prices) -> tuple[Line, ...]:
    month = Decimal(MONTH_HOURS)
    through = work.images * stack.nat_kb / 2**20
    alarms = Decimal(4 * stack.runtimes)
    return (
        Line("EKS", "hours of the cluster", month, prices["cluster_hour"]),
        Line(
            "Small nodes",
            "m5.large, hours",
            stack.small_nodes * month,
            prices["small_instance_hour"],
        ),
        Line("NAT gateways", "hours", stack.gateways * month, prices["nat_hour"]),
        Line("NAT gateways", "GB", through, prices["nat_gb"]),
        Line(
            "NAT gateways",
            "hours of their addresses",
            stack.gateways * month,
            prices["address_hour"],
        ),
        Line("Load balancer", "hours", month, prices["load_balancer_hour"]),
        Line(
            "Load balancer",
            "hours of one capacity unit",
            month,
            prices["load_balancer_lcu_hour"],
        ),
        Line("CloudWatch", "alarms", alarms, prices["alarm_month"]),
        Line("CloudWatch", "dashboard", Decimal(1), prices["dashboard_month"]),
    )


def total(of: tuple[Line, ...]) -> Decimal:
    """The sum of the lines."""
    return sum((line.total for line in of), Decimal(0))


def guide_total(of: tuple[Line, ...]) -> Decimal:
    """The sum of what the guide prints in its lines."""
    return sum((line.guide or Decimal(0) for line in of), Decimal(0))
