"""`console`: how soon the console's pages show something, and pictures of them for the docs."""

from __future__ import annotations

import asyncio
import json
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from statistics import median
from typing import Annotated, Final

import typer
from PIL import Image
from rich.console import Console

from darkroom_bench.chromium import DESK, PHONE, Browser, Scheme, chromium
from darkroom_bench.command import JsonFile, MarkdownFile, Targets, failures, machine, run, say
from darkroom_bench.figures import Marks
from darkroom_bench.many_tasks import fill, records
from darkroom_cli.api import Api
from darkroom_cli.embedded.folder import Folder, Running
from darkroom_cli.embedded.stack import Options, stack
from darkroom_cli.requests import sdwebui_content

MARKS: Final = Marks(begin="<!-- console:begin -->", end="<!-- console:end -->")
TABLE: Final = "darkroom-ledger"
PAGES: Final = {
    "tasks": "/tasks",
    "task": "/tasks/lighthouse",
    "playground": "/playground?runtime=sdruntime",
    "dead-letters": "/dead-letters",
    "models": "/models",
    "access": "/access",
    "overview": "/",  # last, when what ended a moment ago is counted
}
PROMPT: Final = "A lighthouse at dusk"
NAMES: Final = ("boat", "dog", "harbour", "lighthouse")
SHAPES: Final[tuple[tuple[int, Scheme], ...]] = ((DESK, "light"), (PHONE, "dark"))
LOADS: Final = 5
READY: Final = "main section, main form"

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)
out = Console()


@dataclass(frozen=True, slots=True, kw_only=True)
class Shown:
    """How soon a page was there, in milliseconds: the median of some loads."""

    page: str
    answered: float  # the first byte
    painted: float  # the first words
    complete: float  # all that it loads
    kilobytes: float  # of the page itself; the rest is kept by browsers


@app.command()
def console(
    *,
    tasks: Annotated[int, typer.Option(help="Tasks in the ledger.", min=1)] = 10_000,
    pictures: Annotated[
        Path | None, typer.Option(help="Folder for pictures of the pages.", file_okay=False)
    ] = None,
    json_file: JsonFile = None,
    markdown_file: MarkdownFile = None,
) -> None:
    """Measure how soon each page of the console is there with many tasks.

    Starts a stack of its own and a Chromium, which must be installed with its driver.

    Examples:

    ./pants run bench:console

    ./pants run bench:console -- --pictures docs/console --markdown docs/console.md
    """
    with failures("console"):
        targets = Targets(marks=MARKS, json_file=json_file, markdown_file=markdown_file)
        if pictures:
            pictures.mkdir(parents=True, exist_ok=True)
        found = run(lambda folder: _measure(folder, tasks, pictures))
        section = "\n".join(_section(found, tasks))
        out.print(section, highlight=False, markup=False)
        figures = json.dumps([_figures(each) for each in found], indent=1)
        targets.write(figures=figures, section=section)


async def _measure(folder: Path, tasks: int, pictures: Path | None) -> list[Shown]:
    options = Options(
        folder=Folder(folder), seconds_per_image=0.3, console_port=0, gpu_price=Decimal("0.5")
    )
    async with stack(options, say) as running:
        await _make_tasks(running, tasks)
        return await asyncio.to_thread(_look, running, pictures)


async def _make_tasks(running: Running, tasks: int) -> None:
    say(f"making {tasks} tasks")
    await fill(TABLE, records(tasks, tuple(running.queues), running.bucket))
    async with Api(running.endpoint, running.api_key) as api:
        for seed, name in enumerate(NAMES):
            content = sdwebui_content(PROMPT, size=512, seed=seed, image=None)
            wanted = {"runtime": "sdruntime", "tasktype": "text-to-image", "id": name}
            await api.submit(wanted, content)
        await api.finished(NAMES[-1])


def _look(running: Running, pictures: Path | None) -> list[Shown]:
    with tempfile.TemporaryDirectory() as profile, chromium(Path(profile)) as browser:
        if pictures:
            for name, path in PAGES.items():
                _take(browser, f"{running.console}{path}", pictures / name)
        browser.shape(DESK, "light")
        return [
            _load(browser, page, f"{running.console}{path}") for page, path in PAGES.items()
        ]


def _take(browser: Browser, url: str, name: Path) -> None:
    for width, scheme in SHAPES:
        browser.shape(width, scheme)
        browser.driver.get(url)
        browser.find(READY)
        browser.until(lambda: browser.driver.execute_script(_DRAWN))
        file = name.with_name(f"{name.name}-{width}-{scheme}.png")
        browser.driver.save_screenshot(str(file))
        # Few colours: a picture of a page stays small, in the repository for good.
        with Image.open(file) as picture:
            picture.convert("RGB").quantize(256).save(file, optimize=True)


_DRAWN: Final = "return [...document.images].every((image) => image.complete)"
_TIMES: Final = """
const page = performance.getEntriesByType("navigation")[0];
const painted = performance.getEntriesByName("first-contentful-paint")[0];
return painted && page.loadEventEnd
  ? [page.responseStart, painted.startTime, page.loadEventEnd, page.transferSize / 1024] : null;
"""


def _load(browser: Browser, page: str, url: str) -> Shown:
    say(f"loading {page}")
    loads = [list(_once(browser, url)) for _ in range(LOADS)]
    answered, painted, complete, kilobytes = (median(each) for each in zip(*loads, strict=True))
    return Shown(
        page=page, answered=answered, painted=painted, complete=complete, kilobytes=kilobytes
    )


def _once(browser: Browser, url: str) -> Iterator[float]:
    browser.driver.get(url)
    browser.find(READY)
    yield from browser.until(lambda: browser.driver.execute_script(_TIMES))


def _figures(shown: Shown) -> dict[str, float | str]:
    return {name: getattr(shown, name) for name in Shown.__dataclass_fields__}


def _section(found: list[Shown], tasks: int) -> Iterator[str]:
    yield f"{machine()}. {tasks:,} tasks; milliseconds, medians of {LOADS} loads."
    yield ""
    yield "| page | first byte | first words | complete | KB |"
    yield "|---|---|---|---|---|"
    for each in found:
        yield (
            f"| {each.page} | {each.answered:.0f} | {each.painted:.0f} | {each.complete:.0f}"
            f" | {each.kilobytes:.0f} |"
        )


def main() -> None:
    """Run the command."""
    app(prog_name="console")


if __name__ == "__main__":
    main()
