"""What a stack needs at a steady rate of images, on paper: nodes, queues, ledger, quotas, cost.

`python -m deployment.scale FILE` writes the table into a Markdown file, between its markers.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Final

from deployment.cost import (
    COUNT_WRITES,
    MONTH_HOURS,
    PUTS,
    RECORD_KIB,
    Prices,
    Stack,
    Work,
    default_prices,
    lines,
    queue_requests,
    total,
    write_units,
    writes_of,
)
from deployment.cost_report import money, number, table

RATES: Final = (1, 100, 10_000)  # images a minute
MARKERS: Final = ("<!-- scale:begin -->", "<!-- scale:end -->")

# Quotas and limits of AWS as they are by default.
GPU_VCPUS: Final = 8  # of a g5.2xlarge; the quota of G and VT instances counts vCPUs
API_REQUESTS: Final = 10_000  # a second, of an account
SNS_PUBLISHES: Final = 300  # a second, in the smallest regions; 9000 in us-west-2
SQS_IN_FLIGHT: Final = 120_000  # of a queue
TABLE_UNITS_FIRST: Final = 4_000  # a second, of a table that is new
SPARING: Final = Decimal("0.8")  # how much of a partition is to be used
PARTITION_UNITS: Final = 1_000  # a second, of a partition: of one key of an index
S3_PUTS: Final = 3_500  # a second, of a prefix

# Of the configuration.
QUEUE_LENGTH: Final = 10
STAGED: Final = 1  # tasks that an agent has besides the one that runs
START_SECONDS: Final = 240

# CPU milliseconds of one task, from docs/performance.md at 50 tasks in flight.
CPU_MS: Final = {
    "ingest": Decimal("2.8"),
    "router": Decimal("5.7"),
    "notifier": Decimal("10.8"),
}
SMALL_NODE_CORES: Final = Decimal(
    "1.47"
)  # of an m5.large, without the shares of the system and of DaemonSets
BUSY: Final = Decimal("0.5")  # how much of its CPU a service is to use


@dataclass(frozen=True)
class Sizing:
    """A steady rate of images; raises `ValueError` when it is none."""

    per_minute: Decimal
    seconds: Decimal = Decimal("1.5")
    utilisation: Decimal = Decimal("0.8")  # of the GPUs that are there
    prices: Prices | None = None

    def __post_init__(self) -> None:
        """Refuse what is no rate."""
        Work(self.per_minute, self.seconds, self.utilisation)
        if self.per_minute == 0:
            raise ValueError("a rate of 0 images a minute needs nothing")

    @property
    def tasks(self) -> Decimal:
        """The tasks of a second."""
        return self.per_minute / 60

    @property
    def images(self) -> Decimal:
        """The images of a month."""
        return self.per_minute * 60 * MONTH_HOURS

    @property
    def gpu_nodes(self) -> int:
        """The nodes with one GPU that keep up."""
        return math.ceil(self.per_minute * self.seconds / self.utilisation / 60)

    @property
    def waiting(self) -> int:
        """The tasks that come while the first nodes start."""
        return math.ceil(self.per_minute * START_SECONDS / 60)

    @property
    def in_flight(self) -> int:
        """The messages that agents have leased."""
        return self.gpu_nodes * (1 + STAGED)

    @property
    def table_units(self) -> int:
        """The write units a second of the table itself."""
        writes = writes_of(self.seconds) * RECORD_KIB + COUNT_WRITES
        return math.ceil(self.per_minute * writes / 60)

    @property
    def index_units(self) -> int:
        """The write units a second of the index that one runtime is a key of."""
        return math.ceil(self.per_minute / 60)

    @property
    def runtimes(self) -> int:
        """The runtimes that the tasks must be spread over, for that index to keep up."""
        return math.ceil(self.index_units / (PARTITION_UNITS * SPARING))

    def cores(self, service: str) -> Decimal:
        """The cores that a service is busy with."""
        return self.tasks * CPU_MS[service] / 1000

    @property
    def small_nodes(self) -> int:
        """The nodes of the services: with room for peaks, and one for what else runs."""
        busy = sum((self.cores(service) for service in CPU_MS), Decimal(0))
        return max(2, 1 + math.ceil(busy / BUSY / SMALL_NODE_CORES))

    @property
    def cost(self) -> Decimal:
        """What a month of it costs; the nodes are there all the time."""
        there = Decimal(self.gpu_nodes * MONTH_HOURS)
        working = Work(self.images, self.seconds).working_hours
        work = Work(self.images, self.seconds, working / there)
        stack = Stack(starts=Decimal(0), runtimes=self.runtimes, small_nodes=self.small_nodes)
        return total(lines(work, stack, self.prices or default_prices()))


Row = tuple[str, str, Callable[[Sizing], str]]

_ROWS: tuple[Row, ...] = (
    ("tasks a second", "", lambda of: _rate(of.tasks)),
    ("images a month", "", lambda of: number(of.images)),
    ("GPU nodes (g5.2xlarge)", "", lambda of: f"{of.gpu_nodes:,}"),
    (
        "vCPUs of G instances",
        "quota: 0 or few in a new account",
        lambda of: f"{of.gpu_nodes * GPU_VCPUS:,}",
    ),
    ("`maxReplicaCount`, all runtimes together", "default 20", lambda of: f"{of.gpu_nodes:,}"),
    (
        "`resourceLimits`, GPUs of a runtime",
        "default 100",
        lambda of: f"{math.ceil(of.gpu_nodes / of.runtimes):,}",
    ),
    ("tasks that come while nodes start", f"{START_SECONDS} s", lambda of: f"{of.waiting:,}"),
    (
        "pods that KEDA asks for then",
        f"`queueLength` {QUEUE_LENGTH}",
        lambda of: f"{math.ceil(of.waiting / QUEUE_LENGTH):,}",
    ),
    (
        "`rateLimit` of a single API key",
        "default 30",
        lambda of: f"{math.ceil(of.tasks * 2):,}",
    ),
    ("API Gateway requests a second", f"quota {API_REQUESTS:,}", lambda of: _rate(of.tasks)),
    (
        "SNS publishes a second, both topics",
        f"quota {SNS_PUBLISHES} in the smallest regions",
        lambda of: _rate(2 * of.tasks),
    ),
    (
        "SQS requests a second",
        "no quota",
        lambda of: _rate(queue_requests(of.seconds) * of.tasks),
    ),
    (
        "SQS messages in flight",
        f"quota {SQS_IN_FLIGHT:,} a queue",
        lambda of: f"{of.in_flight:,}",
    ),
    ("ledger: writes a second", "", lambda of: _rate(writes_of(of.seconds) * of.tasks)),
    (
        "ledger: write units a second, with indexes",
        f"{TABLE_UNITS_FIRST:,} at first, then twice the last peak",
        lambda of: _rate(write_units(of.seconds) * of.tasks),
    ),
    (
        "ledger: partitions of the table",
        f"{PARTITION_UNITS:,} units each, 80 % used",
        lambda of: f"{math.ceil(of.table_units / (PARTITION_UNITS * SPARING))}",
    ),
    (
        "ledger: units a second of index `by_runtime`",
        f"{PARTITION_UNITS:,} for one runtime",
        lambda of: f"{of.index_units:,}",
    ),
    ("runtimes that it must be spread over", "80 % of that", lambda of: f"{of.runtimes}"),
    ("S3 PUT requests a second", f"{S3_PUTS:,} a prefix", lambda of: _rate(PUTS * of.tasks)),
    (
        "cores: ingest, router, notifier",
        "",
        lambda of: ", ".join(f"{of.cores(name):.2f}" for name in CPU_MS),
    ),
    ("small nodes (m5.large)", "default 2", lambda of: f"{of.small_nodes}"),
    ("cost of a month", "", lambda of: money(of.cost)),
    ("cost of a million images", "", lambda of: money(of.cost * 10**6 / of.images)),
)


def report(sizings: Sequence[Sizing]) -> str:
    """A table with a column for each rate."""
    head = ("a minute", "limit", *(f"{number(each.per_minute)}" for each in sizings))
    rows = [(name, limit, *(value(each) for each in sizings)) for name, limit, value in _ROWS]
    first = sizings[0]
    return (
        f"{first.seconds} s of a GPU an image, GPUs busy {first.utilisation} of their time, "
        "nodes there all month; "
        f"prices: {(first.prices or default_prices()).name}.\n\n{table(head, rows)}\n"
    )


def figures(sizings: Sequence[Sizing]) -> list[dict[str, object]]:
    """What each rate needs, for programs; numbers that are not whole are texts."""
    return [
        {
            "images_a_minute": str(each.per_minute),
            "images_a_month": str(each.images),
            "gpu_nodes": each.gpu_nodes,
            "gpu_vcpus": each.gpu_nodes * GPU_VCPUS,
            "small_nodes": each.small_nodes,
            "messages_in_flight": each.in_flight,
            "waiting_at_the_start": each.waiting,
            "write_units_a_second": each.table_units,
            "runtimes": each.runtimes,
            "cost": str(each.cost),
            "currency": (each.prices or default_prices()).currency,
        }
        for each in sizings
    ]


def _rate(value: Decimal) -> str:
    return f"{value:,.0f}" if value >= 100 else f"{float(value):.3g}"  # noqa: PLR2004  # three digits


def written_into(page: str, text: str) -> str:
    """A page with `text` between the markers; raises `ValueError` without markers."""
    before, begin, rest = page.partition(MARKERS[0])
    _, end, after = rest.partition(MARKERS[1])
    if not begin or not end:
        raise ValueError(f"the page has no {MARKERS[0]} and {MARKERS[1]}")
    return f"{before}{begin}\n\n{text}\n{end}{after}"


def main() -> None:
    """Write the table into the file that is named."""
    path = Path(sys.argv[1])
    sizings = [Sizing(Decimal(rate)) for rate in RATES]
    path.write_text(written_into(path.read_text(), report(sizings)))


if __name__ == "__main__":
    main()
