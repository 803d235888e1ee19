"""The benchmark `slow_host`: how long a host that hangs delays webhooks of another."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from statistics import median
from time import time
from typing import Annotated, Final

import typer
from aiohttp import web
from rich.console import Console

from darkroom_bench.command import JsonFile, MarkdownFile, Targets, failures, run, say
from darkroom_bench.figures import Grid, Marks
from darkroom_cli.embedded.folder import Folder
from darkroom_cli.embedded.processes import Announce
from darkroom_cli.embedded.stack import Options, stack
from darkroom_cli.errors import CommandError
from darkroom_client import AsyncDarkroom, Task
from servicekit.listen import free_port

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)
out = Console()

MARKS: Final = Marks(begin="<!-- slow-host:begin -->", end="<!-- slow-host:end -->")
MOST: Final = 1.0  # seconds by which a slow host may delay another's
KNOWN_AFTER: Final = 12  # seconds after which a new webhook hears of tasks (docs/webhooks.md)
ARRIVES_WITHIN: Final = 60  # seconds
AT_ONCE: Final = 4  # tasks
RUNTIME: Final = "sdruntime"


@dataclass(frozen=True, slots=True)
class Delays:
    """From the end of a task to the request of the host that answers."""

    beside: str
    events: int
    p50: float
    longest: float


@dataclass(slots=True)
class Receiver:
    """Two hosts: one answers at once, the other when it is told to."""

    port: int
    answers: asyncio.Event = field(default_factory=asyncio.Event)  # the slow one
    came: dict[str, float] = field(default_factory=dict)  # at the one that answers, by uid
    arrived: asyncio.Condition = field(default_factory=asyncio.Condition)

    async def quick(self, request: web.Request) -> web.Response:
        """Note when an event of a task came first."""
        now, uid = time(), request.headers["webhook-id"].removeprefix("msg_")
        async with self.arrived:
            self.came.setdefault(uid, now)
            self.arrived.notify_all()
        return web.Response()

    async def slow(self, _: web.Request) -> web.Response:
        """Answer when that is allowed."""
        await self.answers.wait()
        return web.Response()


@app.command()
def slow_host(
    *,
    tasks: Annotated[int, typer.Option(help="Of each round.", min=3, max=10_000)] = 100,
    json_file: JsonFile = None,
    markdown_file: MarkdownFile = None,
) -> None:
    """Measure webhooks of one host while another answers, and while it hangs.

    Starts a stack of its own, with both hosts as addresses of this machine, and stops it. Each
    task is told to both. Ends with 1 if the host that hangs delays the other by a second.

    Examples:

    ./pants run bench:slow_host

    ./pants run bench:slow_host -- --tasks 300 --markdown docs/webhooks.md
    """
    with failures("slow_host"):
        targets = Targets(marks=MARKS, json_file=json_file, markdown_file=markdown_file)
        found = run(lambda folder: measure(tasks, folder, say))
        out.print(grid(found).rich())
        figures = json.dumps([asdict(one) for one in found], indent=2)
        targets.write(figures=figures, section=grid(found).markdown())
    before, after = found
    raise SystemExit(int(after.longest - before.longest >= MOST))


async def measure(tasks: int, folder: Path, announce: Announce) -> list[Delays]:
    """The delays beside a host that answers, and beside one that hangs."""
    options = Options(
        folder=Folder(folder / "stack"), seconds_per_image=0.1, allow_loopback_inputs=True
    )
    async with (
        _receiver() as receiver,
        stack(options, announce) as running,
        AsyncDarkroom(running.endpoint, running.api_key) as darkroom,
    ):
        for host in ("127.0.0.2", "127.0.0.3"):
            path = "quick" if host == "127.0.0.2" else "slow"
            await darkroom.add_webhook(f"http://{host}:{receiver.port}/{path}")
        await asyncio.sleep(KNOWN_AFTER)
        found = []
        for beside, hangs in (("one that answers", False), ("one that hangs", True)):
            announce(f"{tasks} tasks beside a host {beside.removeprefix('one ')}")
            if hangs:
                receiver.answers.clear()
            found.append(await _round(darkroom, receiver, tasks, beside))
    return found


@asynccontextmanager
async def _receiver() -> AsyncIterator[Receiver]:
    receiver, served = Receiver(free_port()), web.Application()
    served.router.add_post("/quick", receiver.quick)
    served.router.add_post("/slow", receiver.slow)
    runner = web.AppRunner(served, shutdown_timeout=0)
    await runner.setup()
    try:
        for host in ("127.0.0.2", "127.0.0.3"):
            await web.TCPSite(runner, host, receiver.port).start()
        receiver.answers.set()
        yield receiver
    finally:
        receiver.answers.set()  # or the server waits for its requests
        await runner.cleanup()


async def _round(
    darkroom: AsyncDarkroom, receiver: Receiver, tasks: int, beside: str
) -> Delays:
    body = {"prompt": "A dog", "steps": 1, "width": 64, "height": 64}
    room = asyncio.Semaphore(AT_ONCE)

    async def one(number: int) -> Task:
        async with room:
            named = {"id": f"{beside.rpartition(' ')[2]}-{number}", "runtime": RUNTIME}
            metadata = {**named, "tasktype": "text-to-image"}
            sent = await darkroom.submit({"task": {"metadata": metadata, "content": body}})
            return await darkroom.wait(sent.uid)

    ended = await asyncio.gather(*map(one, range(tasks)))
    await _all_came(receiver, ended)
    delays = [
        receiver.came[task.uid] - task.finished_at.timestamp()
        for task in ended
        if task.finished_at
    ]
    return Delays(beside, len(delays), median(delays), max(delays))


async def _all_came(receiver: Receiver, ended: Sequence[Task]) -> None:
    wanted = {task.uid for task in ended}
    try:
        async with asyncio.timeout(ARRIVES_WITHIN), receiver.arrived:
            await receiver.arrived.wait_for(lambda: wanted <= receiver.came.keys())
    except TimeoutError:
        missing = len(wanted - receiver.came.keys())
        raise CommandError(f"{missing} events did not come within {ARRIVES_WITHIN} s") from None


def grid(found: Sequence[Delays]) -> Grid:
    """A row for each of the two."""
    rows: list[tuple[str, ...]] = [
        (one.beside, str(one.events), f"{one.p50:.3f}", f"{one.longest:.3f}") for one in found
    ]
    header = ("beside a host", "events", "p50 s", "longest s")
    return Grid(title="From the end of a task to its webhook", header=header, rows=rows)


def main() -> None:
    """Run the command."""
    app(prog_name="slow_host")


if __name__ == "__main__":
    main()
