"""`darkroom dlq`: what was given up, looked at, tried again, or thrown away."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Annotated

import typer

from darkroom_cli.errors import CommandError
from darkroom_cli.terminal import (
    AsJson,
    DataDir,
    Endpoint,
    KeyFile,
    call,
    out,
    say,
    show_json,
    show_rows,
)

if TYPE_CHECKING:
    from darkroom_cli.api import Api
    from darkroom_client import DeadLetter, DeadLetterResult

MOST = 200  # messages that one list has

RuntimeName = Annotated[
    str | None,
    typer.Option("--runtime", help="Only the queue of this runtime, or of `webhooks`."),
]
Name = Annotated[
    str | None, typer.Argument(metavar="NAME", help="A uid, a task's id, or a message id.")
]
All = Annotated[bool, typer.Option("--all", help="Every parked message.")]
Limit = Annotated[int, typer.Option(help="At most this many.", min=1, max=MOST)]


def dlq_list(
    runtime: RuntimeName = None,
    limit: Limit = MOST,
    as_json: AsJson = False,
    endpoint: Endpoint = None,
    api_key_file: KeyFile = None,
    data_dir: DataDir = None,
) -> None:
    """List the parked messages, and why their tasks ended there.

    Example: darkroom dlq list --runtime sdruntime
    """

    async def show(api: Api) -> None:
        rows = [
            {
                "message": each.message_id,
                "uid": each.uid or "",
                "id": each.id or "",
                "runtime": each.runtime,
                "since": each.since.isoformat(timespec="seconds") if each.since else "",
                "reason": each.reason or "",
            }
            for each in await api.client.dead_letters(runtime=runtime, limit=limit)
        ]
        if as_json:
            show_json(rows)
            return
        columns = ("message", "uid", "id", "runtime", "since", "reason")
        show_rows(rows, *columns, wrapped="reason")

    call(show, endpoint, api_key_file, data_dir)


def dlq_show(
    name: Annotated[
        str, typer.Argument(metavar="NAME", help="A uid, a task's id, or a message id.")
    ],
    runtime: RuntimeName = None,
    endpoint: Endpoint = None,
    api_key_file: KeyFile = None,
    data_dir: DataDir = None,
) -> None:
    """Print one parked message as it is, up to 8 KiB.

    Example: darkroom dlq show demo-t2i
    """

    async def show(api: Api) -> None:
        for each in await _named(api, runtime, name):
            out.print(each.body, markup=False, highlight=False, soft_wrap=True)

    call(show, endpoint, api_key_file, data_dir)


def dlq_redrive(
    name: Name = None,
    everything: All = False,
    runtime: RuntimeName = None,
    endpoint: Endpoint = None,
    api_key_file: KeyFile = None,
    data_dir: DataDir = None,
) -> None:
    """Have parked tasks done after all, and send parked webhooks again.

    A task that has not ended goes on as it is; an ended one is submitted again under its old
    id, for its tenant. A message is removed only when its task was taken; one that is no task
    stays.

    Examples:

    darkroom dlq redrive demo-t2i

    darkroom dlq redrive --all --runtime sdruntime
    """

    async def redrive(api: Api) -> None:
        messages = await _chosen(api, runtime, name, everything=everything)
        done = await _all(lambda: api.client.redrive(messages, runtime=runtime))
        for each in done:
            said = f"stays, {each.reason}" if each.outcome == "kept" else each.outcome
            say(f"{each.message_id}: {said}" + (f", task {each.uid}" if each.uid else ""))
        if left := sum(each.outcome != "redriven" for each in done):
            raise CommandError(f"{left} messages stay where they are")

    call(redrive, endpoint, api_key_file, data_dir)


def dlq_purge(
    name: Name = None,
    everything: All = False,
    runtime: RuntimeName = None,
    endpoint: Endpoint = None,
    api_key_file: KeyFile = None,
    data_dir: DataDir = None,
) -> None:
    """Throw parked messages away.

    Example: darkroom dlq purge --all --runtime sdruntime
    """

    async def purge(api: Api) -> None:
        messages = await _chosen(api, runtime, name, everything=everything)
        done = await _all(lambda: api.client.purge(messages, runtime=runtime))
        count = sum(each.outcome == "purged" for each in done)
        out.print(f"{count} removed", highlight=False)

    call(purge, endpoint, api_key_file, data_dir)


async def _named(api: Api, runtime: str | None, name: str) -> list[DeadLetter]:
    found = [
        each
        for each in await api.client.dead_letters(runtime=runtime, limit=MOST)
        if name in {each.message_id, each.uid, each.id}
    ]
    if not found:
        raise CommandError(f"no parked message is named '{name}'")
    return found


async def _chosen(
    api: Api, runtime: str | None, name: str | None, *, everything: bool
) -> list[str] | None:
    """The ids of the messages that are named; None: all."""
    if (name is None) == (not everything):
        raise CommandError("name one message, or say --all")
    if name is None:
        return None
    return [each.message_id for each in await _named(api, runtime, name)]


async def _all(work: Callable[[], Awaitable[list[DeadLetterResult]]]) -> list[DeadLetterResult]:
    """What becomes of every message: one call does as many as it has time for."""
    done: dict[str, DeadLetterResult] = {}
    while True:
        further = {each.message_id: each for each in await work()}
        done |= {id: further[id] for id in further if further[id].outcome != "not_found"}
        if not any(each.outcome in {"redriven", "purged"} for each in further.values()):
            return list(done.values())
