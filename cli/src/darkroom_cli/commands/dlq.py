"""`darkroom dlq`: what was given up, looked at, tried again, or thrown away."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Annotated, Any

import typer

from darkroom_cli.errors import CommandError
from darkroom_cli.terminal import (
    AsJson,
    DataDir,
    out,
    run,
    running_stack,
    say,
    show_json,
    show_rows,
    use_aws_of,
)

if TYPE_CHECKING:
    from contracts.message import TaskMessage
    from darkroom_cli.api import Api
    from darkroom_cli.embedded.folder import Running
    from darkroom_cli.parked import DeadLetters, Parked

LIMIT = 1000

RuntimeName = Annotated[
    str | None, typer.Option("--runtime", help="Only the queue of this runtime.")
]
Name = Annotated[
    str | None, typer.Argument(metavar="NAME", help="A uid, a task's id, or a message id.")
]
All = Annotated[bool, typer.Option("--all", help="Every parked message.")]


def dlq_list(
    runtime: RuntimeName = None, as_json: AsJson = False, data_dir: DataDir = None
) -> None:
    """List the parked messages, and why their tasks ended there.

    Example: darkroom dlq list --runtime sdruntime
    """

    from darkroom_cli.api import Api

    async def show(running: Running) -> None:
        rows = []
        async with Api(running.endpoint, running.api_key) as api:
            async for name, _, parked in _parked(running, runtime):
                task = parked.task
                rows.append(
                    {
                        "message": parked.message_id,
                        "uid": task.uid if task else "",
                        "id": task.id if task else "",
                        "runtime": name,
                        "since": parked.sent_at.isoformat(timespec="seconds"),
                        "reason": await _reason(api, task),
                    }
                )
        if as_json:
            show_json(rows)
            return
        columns = ("message", "uid", "id", "runtime", "since", "reason")
        show_rows(rows, *columns, wrapped="reason")

    _with_stack(show, data_dir)


def dlq_show(name: Name, runtime: RuntimeName = None, data_dir: DataDir = None) -> None:
    """Print one parked message as it is.

    Example: darkroom dlq show demo-t2i
    """

    async def show(running: Running) -> None:
        shown = False
        async for _, _, parked in _parked(running, runtime):
            if name and parked.named(name):
                out.print(parked.body, markup=False, highlight=False, soft_wrap=True)
                shown = True
        if not shown:
            raise CommandError(f"no parked message is named '{name}'")

    _with_stack(show, data_dir)


def dlq_redrive(
    name: Name = None,
    everything: All = False,
    runtime: RuntimeName = None,
    data_dir: DataDir = None,
) -> None:
    """Have parked tasks done after all.

    One that has not ended goes on as it is; an ended one is submitted again under its old id.
    A message is removed only when its task was taken; one that is no task stays.

    Examples:

    darkroom dlq redrive demo-t2i

    darkroom dlq redrive --all --runtime sdruntime
    """

    from darkroom_cli.api import Api

    async def redrive(running: Running) -> None:
        failures = 0
        async with Api(running.endpoint, running.api_key) as api:
            async for queue, parked in _chosen(running, runtime, name, everything=everything):
                try:
                    say(f"{parked.message_id}: {await redriven(api, running, queue, parked)}")
                except CommandError as error:
                    say(f"{parked.message_id}: stays, {error}")
                    failures += 1
                else:
                    await queue.delete(parked)
        if failures:
            raise CommandError(f"{failures} messages stay where they are")

    _with_stack(redrive, data_dir)


def dlq_purge(
    name: Name = None,
    everything: All = False,
    runtime: RuntimeName = None,
    data_dir: DataDir = None,
) -> None:
    """Throw parked messages away.

    Example: darkroom dlq purge --all --runtime sdruntime
    """

    async def purge(running: Running) -> None:
        count = 0
        async for queue, parked in _chosen(running, runtime, name, everything=everything):
            await queue.delete(parked)
            count += 1
        out.print(f"{count} removed", highlight=False)

    _with_stack(purge, data_dir)


def _with_stack(work: Any, data_dir: Any) -> None:
    running = running_stack(data_dir)
    use_aws_of(running)
    run(work(running))


async def _parked(
    running: Running, runtime: str | None
) -> AsyncIterator[tuple[str, DeadLetters, Parked]]:
    if runtime is not None and runtime not in running.queues:
        known = ", ".join(running.queues)
        raise CommandError(f"there is no runtime '{runtime}'; there are: {known}")
    for name, url in running.queues.items():
        if runtime in {None, name}:
            async with _open(url, name, running.bucket) as (queue, messages):
                for parked in messages:
                    yield name, queue, parked


@asynccontextmanager
async def _open(
    url: str, runtime: str, bucket: str
) -> AsyncIterator[tuple[DeadLetters, list[Parked]]]:
    from darkroom_cli.parked import dead_letters

    opened = dead_letters(url, runtime=runtime, bucket=bucket)
    async with opened as queue, queue.held(LIMIT) as messages:
        yield queue, messages


async def _chosen(
    running: Running, runtime: str | None, name: str | None, *, everything: bool
) -> AsyncIterator[tuple[DeadLetters, Parked]]:
    if (name is None) == (not everything):
        raise CommandError("name one message, or say --all")
    found = False
    async for _, queue, parked in _parked(running, runtime):
        if everything or (name and parked.named(name)):
            found = True
            yield queue, parked
    if not found and not everything:
        raise CommandError(f"no parked message is named '{name}'")


async def _reason(api: Api, task: TaskMessage | None) -> str:
    if task is None:
        return "it is no task message"
    try:
        record = await api.task(task.uid)
    except CommandError as error:
        return str(error)
    return f"{record['error']['code']}: {record['error']['message']}" if record["error"] else ""


async def redriven(api: Api, running: Running, queue: DeadLetters, parked: Parked) -> str:
    """What has become of a parked task; raises `CommandError` if its message has to stay."""
    from contracts.message import decode_content
    from darkroom_cli.api import TERMINAL
    from darkroom_cli.objects import read_object
    from darkroom_cli.parked import resubmission

    task = parked.task
    if task is None:
        raise CommandError("it is no task message")
    record = await api.task(task.uid)
    if record["state"] not in TERMINAL:
        await queue.put_back(parked)
        return json.dumps({"id": task.id, "uid": task.uid})
    content = task.content
    if content is None:
        key = f"s3://{running.claim_bucket}/{task.content_key}"
        content = decode_content(await read_object(key))
    request = resubmission(task, content, record["context"])
    answer = await api.submit(request["metadata"], request["content"])
    return json.dumps({"id": answer["id"], "uid": answer["uid"]})
