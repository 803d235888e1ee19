"""The steps of an installation: run one after another, shown, logged, and gone on with."""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
import signal
from collections import deque
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Final

from darkroom_cli.errors import CommandError
from darkroom_cli.runtimes.environment import own_variables
from darkroom_cli.runtimes.installed import (
    Installed,
    delete,
    held,
    unfinished,
    write_installed,
    write_unfinished,
)
from darkroom_cli.runtimes.server import Place, Server, Step, Wish

Tell = Callable[[str], None]

STOP_SECONDS: Final = 10
LINE_BYTES: Final = 2**16
_VERSION: Final = re.compile(r"v?(\d+(?:\.\w+)+[\w.+-]*)")
LINES_KEPT: Final = 200  # comfy-cli puts a long traceback below the cause

# What programs say, and the sentence for it; the first that fits, since pip says that it finds
# no version where it finds no index.
_CAUSES: Final = (
    (r"No space left on device|Disk quota exceeded|os error 28", "there is no room left"),
    (
        r"Failed to fetch.*/whl/(cpu|cu|rocm)",
        "PyTorch's own index can't be reached: check the network, or set UV_TORCH_BACKEND= to"
        " nothing, which takes the PyTorch of the package index",
    ),
    (
        r"resolve host|name resolution|dns error|NewConnectionError|Network is unreachable"
        r"|No route to host|Connection refused|timed out|ConnectTimeout|ReadTimeout"
        r"|error sending request|Failed to fetch|Could not connect",
        "the network can't be reached: check it, and HTTPS_PROXY",
    ),
    (
        r"No matching distribution found|there is no version of|Remote branch .* not found"
        r"|version may not exist",
        "there is no such version",
    ),
)


async def install(server: Server, place: Place, wish: Wish, tell: Tell) -> Installed:
    """Do the steps that are not done yet, and give what is installed then.

    Raises `CommandError` when one fails; the next call goes on with it, or begins anew if it
    wishes for something else.
    """
    with held(place):
        begun = Installed(
            name=server.name, version=wish.version, device=wish.device, source=wish.source
        )
        before = unfinished(place)
        if before and before.fits(server, wish):
            begun = before
        write_unfinished(place, begun)
        for step in server.steps(place, wish):
            if step.title in begun.done:
                continue
            if step.makes:
                delete(step.makes)
            await run_step(step, place.log, tell)
            begun = begun.model_copy(update={"done": (*begun.done, step.title)})
            write_unfinished(place, begun)
        said = await run_step(server.version_call(place, wish), place.log, tell)
        versions = [found[1] for line in said if (found := _VERSION.fullmatch(line.strip()))]
        if not versions:
            raise CommandError(f"{server.title} does not tell its version (log: {place.log})")
        version = versions[-1]
        finished = begun.model_copy(update={"version": version, "done": ()})
        write_installed(place, finished)
        return finished


async def run_step(step: Step, log: Path, tell: Tell) -> list[str]:
    """Run one program to its end, telling its lines; gives the last of them.

    Raises `CommandError` if it fails or takes too long. However it ends, what it started is
    ended as well.
    """
    tell(step.title)
    said: deque[str] = deque(maxlen=LINES_KEPT)
    process = await _started(step)
    try:
        async with asyncio.timeout(step.limit.total_seconds()):
            with log.open("a") as file:
                async for line in _lines(process):
                    said.append(line)
                    file.write(line + "\n")
                    tell("  " + line)
            await process.wait()
    except TimeoutError:
        raise CommandError(
            f"'{step.title}' took more than {step.limit} and was ended"
        ) from None
    except OSError as error:
        raise CommandError(f"cannot write {log}: {error.strerror}") from error
    finally:
        await _end(process)
    if process.returncode:
        raise CommandError(
            f"could not {step.title}: {_cause(said)}; the same command goes on from here (log:"
            f" {log})"
        )
    return list(said)


async def _started(step: Step) -> asyncio.subprocess.Process:
    try:
        return await asyncio.create_subprocess_exec(
            *step.command,
            cwd=step.folder,
            env={**own_variables(), "GIT_TERMINAL_PROMPT": "0", **step.environment},
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
            start_new_session=True,  # Ctrl-C is for us: we end it with all that it started
        )
    except OSError as error:
        reason = error.strerror
        raise CommandError(f"could not {step.title}: {step.command[0]}: {reason}") from error


async def _lines(process: asyncio.subprocess.Process) -> AsyncIterator[str]:
    """What a program prints, line by line; a bar that is drawn again is a line each time."""
    rest = b""
    while process.stdout and (read := await process.stdout.read(LINE_BYTES)):
        *whole, rest = (rest + read).replace(b"\r", b"\n").split(b"\n")
        for line in filter(bytes.strip, whole):
            yield line.decode(errors="replace").rstrip()
        rest = rest[-LINE_BYTES:]
    if rest.strip():
        yield rest.decode(errors="replace").rstrip()


async def _end(process: asyncio.subprocess.Process) -> None:
    """End a program and what it started, politely first."""
    for how in (signal.SIGTERM, signal.SIGKILL):
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, how)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(STOP_SECONDS):
                await process.wait()


def _cause(said: deque[str]) -> str:
    text = "\n".join(said)
    known = (sentence for pattern, sentence in _CAUSES if re.search(pattern, text))
    return next(known, said[-1].strip() if said else "it said nothing")
