"""The pages of a stack with nothing, of one with much, and of one that goes and comes."""

from __future__ import annotations

import asyncio
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest
from harness import Stack, command, environment, running_stack, stop

from darkroom_bench.chromium import DESK, PHONE, Browser
from darkroom_bench.many_tasks import fill, records
from servicekit.listen import free_port

COUNT = 10_000
PAINT_MS = 1500


@contextmanager
def console(folder: Path) -> Iterator[str]:
    """`darkroom console` for the stack of a folder; gives its address."""
    process = subprocess.Popen(
        command("console", "--data-dir", str(folder), "--port", "0"),
        env=environment(),
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    with process.stdout:
        try:
            yield process.stdout.readline().strip()
        finally:
            assert stop(process) == 0


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("alone")


@pytest.fixture(scope="module")
def port() -> int:
    return free_port()


@pytest.fixture
def alone(folder: Path, port: int) -> Iterator[Stack]:
    """A stack of its own, with the data of the test before."""
    with running_stack(folder, "--sample-seconds", "0.1", "--port", str(port)) as running:
        yield running


def painted(browser: Browser) -> float:
    """Milliseconds until the page showed its first words."""
    script = "return performance.getEntriesByName('first-contentful-paint')[0]?.startTime"
    return float(browser.until(lambda: browser.driver.execute_script(script)))


def test_stack_with_nothing_and_one_with_much(browser: Browser, alone: Stack, axe: str) -> None:
    with console(alone.folder) as address:
        browser.driver.get(address + "/tasks")
        browser.until_text("There are no tasks yet.")
        assert browser.violations(axe) == []

        asyncio.run(
            fill(
                "darkroom-ledger",
                records(COUNT, tuple(alone.info["queues"]), alone.info["bucket"]),
            )
        )

        browser.until_text("order-09999")  # by itself
        for width in (DESK, PHONE):
            browser.shape(width, "light")
            browser.driver.get(address + "/tasks")
            browser.until_text("order-09999")
            assert painted(browser) < PAINT_MS
            assert browser.overflow() == 0
        assert len(browser.all("tbody tr")) == 50
        assert browser.violations(axe) == []
        browser.find("a[href*='cursor=']").click()
        browser.until_text("order-09949")
        browser.driver.get("about:blank")


def test_page_comes_back_when_the_stack_does(browser: Browser, folder: Path, port: int) -> None:
    given = ("--sample-seconds", "0.1", "--port", str(port))
    with ExitStack() as consoles:
        with running_stack(folder, *given):
            address = consoles.enter_context(console(folder))
            browser.driver.get(address + "/tasks")
            rows = len(browser.all("tbody tr"))

        browser.until_text(f"The stack at http://127.0.0.1:{port} does not answer", "#notice")
        assert len(browser.all("tbody tr")) == rows  # what was shown stays
        first = browser.driver.current_window_handle
        browser.driver.switch_to.new_window("tab")
        browser.driver.get(address + "/models")  # one that could not be shown at all
        browser.until_text("This page comes back by itself")

        with running_stack(folder, *given):
            browser.until_text("v1-5-pruned-emaonly.safetensors")
            browser.driver.close()
            browser.driver.switch_to.window(first)
            browser.until(lambda: not browser.text("#notice"))
        browser.driver.get("about:blank")
    assert {"503" in each for each in browser.complaints()} == {True}
