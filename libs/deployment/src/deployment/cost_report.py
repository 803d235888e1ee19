"""The cost of a month's work as Markdown."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from decimal import ROUND_HALF_UP, Decimal

from deployment.cost import (
    GUIDE_SAYS,
    Line,
    Prices,
    Stack,
    Work,
    default_prices,
    guide_lines,
    guide_total,
    lines,
    total,
)


def report(work: Work, stack: Stack, prices: Prices) -> str:
    """Both tables: as the guide reckons, and as it is."""
    guide, all_lines = guide_lines(work, prices), lines(work, stack, prices)
    thousand = total(all_lines) * 1000 / work.images if work.images >= 1 else None
    parts = [
        f"{number(work.images)} images a month, {work.seconds} s of a GPU each, "
        f"utilisation {work.utilisation}.",
        f"Prices in {prices.currency}: {prices.name}. {prices.source}",
        "## As the guide of the original solution reckons",
        table(
            ("service", "what", "quantity", "price", "the guide's total", "quantity x price"),
            [_guide_row(line) for line in guide],
            ("together", "", "", "", money(guide_total(guide)), money(total(guide))),
        ),
        _notes(work, prices),
        "## As it is",
        table(
            ("service", "what", "quantity", "price", "total"),
            [_row(line) for line in all_lines],
            ("together", "", "", "", money(total(all_lines))),
        ),
    ]
    if thousand is not None:
        parts.append(f"A thousand images: {money(thousand)}.")
    parts.append(
        f"Assumed: {stack.starts} starts of GPU nodes, {stack.start_seconds} s until each "
        f"works, {stack.idle_seconds} s until it ends; {stack.gateways} NAT gateways; "
        f"{stack.log_kb} KB of logs a task. "
        "Not counted: data out to clients, images and models in ECR and S3, "
        "metrics of Container Insights, support, taxes."
    )
    return "\n\n".join(parts) + "\n"


def figures(work: Work, stack: Stack, prices: Prices) -> dict[str, object]:
    """Both tables for programs; numbers are texts, so that none is rounded on its way."""
    guide, all_lines = guide_lines(work, prices), lines(work, stack, prices)
    return {
        "currency": prices.currency,
        "images": str(work.images),
        "seconds_per_image": str(work.seconds),
        "utilisation": str(work.utilisation),
        "lines": [_figures(line) for line in all_lines],
        "total": str(total(all_lines)),
        "guide": {
            "lines": [_figures(line) for line in guide],
            "total": str(total(guide)),
            "printed_total": str(guide_total(guide)),
        },
    }


def _figures(line: Line) -> dict[str, str]:
    return {
        "service": line.service,
        "what": line.dimension,
        "quantity": str(line.quantity),
        "price": str(line.price),
        "total": str(line.total),
    }


def _notes(work: Work, prices: Prices) -> str:
    notes = [
        "The guide charges one of the two SNS requests, and takes 8 KB for a request where its "
        "text says 16. It assumes GPUs that always work and never start, and leaves out NAT "
        "gateways, logs, and what KEDA asks."
    ]
    if work == Work() and prices == default_prices():
        notes.append(f"Its text says {GUIDE_SAYS} for what its lines add up to.")
    return " ".join(notes)


def _guide_row(line: Line) -> tuple[str, ...]:
    return (*_row(line)[:4], money(line.guide or Decimal(0)), money(line.total))


def _row(line: Line) -> tuple[str, ...]:
    quantity, price = number(line.quantity), _price(line.price)
    return line.service, line.dimension, quantity, price, money(line.total)


def _price(price: Decimal) -> str:
    exact = price.quantize(Decimal("0.0000000001")).normalize()
    return f"{exact:.2f}" if exact == exact.quantize(Decimal("0.01")) else f"{exact:f}"


def number(value: Decimal) -> str:
    """A number with two decimals, or none if it is whole."""
    whole = value.to_integral_value()
    return (
        f"{whole:,}"
        if value == whole
        else f"{value.quantize(Decimal('0.01'), ROUND_HALF_UP):,}"
    )


def money(value: Decimal) -> str:
    """An amount to the cent."""
    return f"{value.quantize(Decimal('0.01'), ROUND_HALF_UP):,}"


def table(
    head: Sequence[str], rows: Iterable[Sequence[str]], foot: Sequence[str] | None = None
) -> str:
    """A Markdown table; columns after the second are numbers."""
    aligned = ["---" if index < 2 else "---:" for index in range(len(head))]  # noqa: PLR2004  # names first
    end = [[f"**{cell}**" if cell else "" for cell in foot]] if foot else []
    every = [head, aligned, *rows, *end]
    return "\n".join(f"| {' | '.join(row)} |" for row in every)
