"""`darkroom cost`: what a stack costs, and what it needs at a rate."""

from __future__ import annotations

from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from darkroom_cli.terminal import AsJson, fail, show_json

if TYPE_CHECKING:
    from collections.abc import Callable

    from deployment.cost import Prices


def _decimal(text: str) -> Decimal:
    """Read an option; Typer makes a message of the error."""
    try:
        return Decimal(text)
    except InvalidOperation:
        raise typer.BadParameter(f"{text} is no number") from None


def cost(
    images: Annotated[
        Decimal, typer.Option(parser=_decimal, metavar="NUMBER", help="Images in a month.")
    ] = Decimal(1_000_000),
    seconds_per_image: Annotated[
        Decimal, typer.Option(parser=_decimal, metavar="NUMBER", help="Of a GPU.")
    ] = Decimal("1.5"),
    spot_price: Annotated[
        str | None,
        typer.Option(metavar="NUMBER", help="Of a GPU node, an hour.", show_default="0.4968"),
    ] = None,
    utilisation: Annotated[
        Decimal | None,
        typer.Option(
            parser=_decimal,
            metavar="NUMBER",
            help="Share of a GPU's paid time that it works: above 0, up to 1.",
            show_default="1, and 0.8 with --per-minute",
        ),
    ] = None,
    starts: Annotated[
        Decimal,
        typer.Option(parser=_decimal, metavar="NUMBER", help="GPU nodes started in a month."),
    ] = Decimal(60),
    per_minute: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NUMBER",
            help="Tell instead what that many images a minute need; may be repeated.",
            show_default=False,
        ),
    ] = None,
    prices: Annotated[
        Path | None,
        typer.Option(
            exists=True,
            dir_okay=False,
            readable=True,
            help="A price list: JSON such as --show-prices prints.",
            show_default=False,
        ),
    ] = None,
    price: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME=NUMBER", help="One price; may be repeated."),
    ] = None,
    show_prices: Annotated[
        bool, typer.Option("--show-prices", help="Print the price list in use, as JSON.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Tell what a month of images costs, as the original guide reckons and as it is.

    Example: darkroom cost --images 1000000 --seconds-per-image 1.5 --spot-price 0.4968

    Example: darkroom cost --per-minute 1 --per-minute 100 --per-minute 10000
    """
    from deployment import cost_report, scale
    from deployment.cost import Stack, Work

    try:
        listed = _prices(prices, [*(price or []), *_named("gpu_instance_hour", spot_price)])
        if show_prices:
            typer.echo(listed.as_json())
        elif per_minute:
            share = Decimal("0.8") if utilisation is None else utilisation
            rates = [_decimal(rate) for rate in per_minute]
            sizings = [scale.Sizing(rate, seconds_per_image, share, listed) for rate in rates]
            _print(scale.report, scale.figures, sizings, as_json=as_json)
        else:
            share = Decimal(1) if utilisation is None else utilisation
            given = Work(images, seconds_per_image, share), Stack(starts=starts), listed
            _print(cost_report.report, cost_report.figures, *given, as_json=as_json)
    except ValueError as error:
        fail(error)


def _print(
    report: Callable[..., str], figures: Callable[..., object], *given: object, as_json: bool
) -> None:
    if as_json:
        show_json(figures(*given))
    else:
        typer.echo(report(*given), nl=False)


def _prices(file: Path | None, changes: list[str]) -> Prices:
    from deployment.cost import default_prices, read_prices

    listed = read_prices(file.read_text()) if file else default_prices()
    pairs = [change.partition("=") for change in changes]
    return listed.changed({name: number for name, _, number in pairs})


def _named(name: str, value: str | None) -> list[str]:
    return [] if value is None else [f"{name}={value}"]
