"""`darkroom usage`: what tasks have used."""

from __future__ import annotations

from datetime import UTC, date, datetime
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from darkroom_cli.errors import CommandError
from darkroom_cli.terminal import (
    AsJson,
    DataDir,
    Endpoint,
    KeyFile,
    attempt,
    call,
    show_json,
    show_rows,
)

if TYPE_CHECKING:
    from darkroom_cli.api import Api


By = Literal["tenant", "runtime", "key"]


def usage(
    first: Annotated[
        str | None, typer.Option("--from", help="The first day (UTC); the first of this month.")
    ] = None,
    last: Annotated[str | None, typer.Option("--to", help="The last day (UTC); today.")] = None,
    by: Annotated[By, typer.Option(help="By what it is told apart.")] = "tenant",
    as_json: AsJson = False,
    endpoint: Endpoint = None,
    api_key_file: KeyFile = None,
    data_dir: DataDir = None,
) -> None:
    """Show tasks, images, seconds of GPUs and money of tasks that ended on some days.

    Examples:

    darkroom usage --by runtime

    darkroom usage --from 2026-11-01 --to 2026-11-30 --json
    """
    to = datetime.now(UTC).date() if last is None else attempt(lambda: _day(last))
    from_ = to.replace(day=1) if first is None else attempt(lambda: _day(first))

    async def show(api: Api) -> None:
        told = await api.usage(from_, to, by)
        if as_json:
            show_json(told)
            return
        columns = (
            "name",
            "tasks",
            "completed",
            "failed",
            "cancelled",
            "images",
            "gpu_seconds",
            "cost",
        )
        show_rows([_row(group) for group in told["groups"]], *columns, wrapped="cost")

    call(show, endpoint, api_key_file, data_dir)


def _day(text: str) -> date:
    try:
        return date.fromisoformat(text)
    except ValueError:
        raise CommandError(f"'{text}' is no day such as 2026-11-30") from None


def _row(group: dict[str, Any]) -> dict[str, Any]:
    cost = group["cost"]
    return {**group, "cost": f"{cost['amount']} {cost['currency']}" if cost else ""}
