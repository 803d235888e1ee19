"""One stack with its console, and one browser, for all tests of the pages."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from harness import Stack, running_stack

from darkroom_bench.chromium import Browser, chromium


@pytest.fixture(scope="session")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    folder = tmp_path_factory.mktemp("stack")
    given = ("--sample-seconds", "0.3", "--allow-loopback-inputs", "--console-port", "0")
    with running_stack(folder, *given) as running:
        yield running


@pytest.fixture(scope="session")
def chrome(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    with chromium(tmp_path_factory.mktemp("chromium")) as started:
        yield started


@pytest.fixture
def browser(chrome: Browser) -> Iterator[Browser]:
    """The browser, in which nothing may complain."""
    chrome.shape(1280, "light")
    chrome.complaints()
    yield chrome
    chrome.driver.get("about:blank")
    assert chrome.complaints() == []


@pytest.fixture(scope="session")
def axe() -> str:
    return (Path(__file__).parent / "axe.min.js").read_text()
