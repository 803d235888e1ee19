"""Runs one service as a process: settings, logs, telemetry, and how its end looks."""

from __future__ import annotations

import asyncio
import logging
import sys
from collections.abc import Awaitable, Callable
from typing import TypeVar

from servicekit.errors import FatalError
from servicekit.logs import set_up_logs
from servicekit.settings import ServiceSettings, read_settings
from servicekit.telemetry import telemetry

log = logging.getLogger(__name__)

S = TypeVar("S", bound=ServiceSettings)


def run_service(
    name: str, kind: type[S], serve: Callable[[S], Awaitable[None]], description: str
) -> None:
    """Run `serve` until it ends; exits with 1 and one sentence after a `FatalError`."""
    settings = read_settings(kind, description)
    set_up_logs(name, settings.log_level)

    async def run() -> None:
        await serve(settings)

    try:
        with telemetry(name):
            asyncio.run(run())
    except* FatalError as failed:
        for error in _leaves(failed):
            log.critical("stopped", exc_info=error, extra=error.details)
            sys.stderr.write(f"{name}: {error}\n")
        raise SystemExit(1) from None


def _leaves(group: BaseExceptionGroup[FatalError]) -> list[FatalError]:
    leaves: list[FatalError] = []
    for error in group.exceptions:
        leaves += _leaves(error) if isinstance(error, BaseExceptionGroup) else [error]
    return leaves
