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
def console(folder: Path, port: int = 0) -> Iterator[str]:
    """`darkroom console` for the stack of a folder; gives its address."""
    process = subprocess.Popen(
        command("console", "--data-dir", str(folder), "--port", str(port)),
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


class OwnStack:
    """A stack that may be stopped and started again, with its data and at its address."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.port = free_port()
        self._running = ExitStack()

    def start(self) -> Stack:
        given = ("--sample-seconds", "0.1", "--port", str(self.port))
        return self._running.enter_context(running_stack(self.folder, *given))

    def stop(self) -> None:
        self._running.close()


@pytest.fixture(scope="module")
def own(tmp_path_factory: pytest.TempPathFactory) -> Iterator[OwnStack]:
    stack = OwnStack(tmp_path_factory.mktemp("own"))
    yield stack
    stack.stop()


def painted(browser: Browser) -> float:
    """Milliseconds until the page showed its first words."""
    script = "return performance.getEntriesByName('first-contentful-paint')[0]?.startTime"
    return float(browser.until(lambda: browser.driver.execute_script(script)))


def test_stack_with_nothing_and_one_with_much(
    browser: Browser, own: OwnStack, axe: str
) -> None:
    info = own.start().info
    with console(own.folder) as address:
        browser.driver.get(address + "/tasks")
        browser.until_text("There are no tasks yet.")
        assert browser.violations(axe) == []

        many = records(COUNT, tuple(info["queues"]), info["bucket"])
        asyncio.run(fill("darkroom-ledger", many))

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


def test_page_comes_back_when_the_stack_does(browser: Browser, own: OwnStack) -> None:
    """The stack is the one of the test before."""
    with console(own.folder) as address:
        browser.driver.get(address + "/tasks")
        browser.until_text("order-09999")

        own.stop()

        browser.until_text(f"The stack at http://127.0.0.1:{own.port} does not", "#notice")
        assert "order-09999" in browser.text()  # what was shown stays
        first = browser.driver.current_window_handle
        browser.driver.switch_to.new_window("tab")
        browser.driver.get(address + "/models")  # one that could not be shown at all
        browser.until_text("This page comes back by itself")

        own.start()

        browser.until_text("v1-5-pruned-emaonly.safetensors")
        browser.driver.close()
        browser.driver.switch_to.window(first)
        browser.until(lambda: not browser.text("#notice"))
        browser.driver.get("about:blank")
    assert {"503" in each for each in browser.complaints()} == {True}


def test_page_comes_back_when_the_console_does(browser: Browser, stack: Stack) -> None:
    port = free_port()
    with console(stack.folder, port) as address:
        browser.driver.get(address + "/models")
        browser.until_text("v1-5-pruned-emaonly.safetensors")

    browser.until_text("The console does not answer.", "#notice")
    assert "v1-5-pruned-emaonly.safetensors" in browser.text()  # what was shown stays

    with console(stack.folder, port):
        browser.until(lambda: not browser.text("#notice"))
        browser.driver.get("about:blank")
    refused = ("ERR_CONNECTION", "Failed to fetch")
    assert [each for each in browser.complaints() if not any(w in each for w in refused)] == []
