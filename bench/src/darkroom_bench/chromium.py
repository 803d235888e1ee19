"""A real Chromium, for tests and pictures of pages."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from selenium.webdriver import Chrome, ChromeOptions
from selenium.webdriver.chrome.service import Service
from selenium.webdriver.common.by import By
from selenium.webdriver.remote.webelement import WebElement
from selenium.webdriver.support import expected_conditions
from selenium.webdriver.support.wait import WebDriverWait

from darkroom_cli.errors import CommandError

PATIENCE_SECONDS = 20
PHONE, DESK = 390, 1280

Scheme = Literal["light", "dark"]


@dataclass(frozen=True)
class Browser:
    """One window; `driver` does what is not here."""

    driver: Chrome

    def shape(self, width: int, scheme: Scheme) -> None:
        """Be a window of a width on a machine of light or dark colours."""
        self.driver.execute_cdp_cmd(
            "Emulation.setDeviceMetricsOverride",
            {"width": width, "height": 844, "deviceScaleFactor": 1, "mobile": False},
        )
        self.driver.execute_cdp_cmd(
            "Emulation.setEmulatedMedia",
            {"features": [{"name": "prefers-color-scheme", "value": scheme}]},
        )

    def find(self, css: str) -> WebElement:
        """The first element, which is there or comes."""
        found: list[WebElement] = self.until(lambda: self.all(css))
        return found[0]

    def all(self, css: str) -> list[WebElement]:
        """The elements that are there now."""
        return self.driver.find_elements(By.CSS_SELECTOR, css)

    def text(self, css: str = "main") -> str:
        """What a person reads there now."""
        return str(
            self.driver.execute_script(
                "return document.querySelector(arguments[0])?.innerText ?? ''", css
            )
        )

    def until(self, check: Callable[[], Any], *, seconds: float = PATIENCE_SECONDS) -> Any:
        """Wait for something to be true, and give it."""
        deadline = time.monotonic() + seconds
        while not (found := check()):
            if time.monotonic() > deadline:
                raise AssertionError(f"never came; the page says: {self.text('body')}")
            time.sleep(0.05)
        return found

    def until_text(self, words: str, css: str = "main") -> None:
        """Wait for words to be read there."""
        self.until(lambda: words in self.text(css))

    def confirm(self) -> None:
        """Say yes to what the page asks."""
        found = expected_conditions.alert_is_present()
        WebDriverWait(self.driver, PATIENCE_SECONDS).until(found).accept()

    def complaints(self) -> list[str]:
        """What the page has complained of on its console since the last call."""
        return [entry["message"] for entry in self.driver.get_log("browser")]  # type: ignore[no-untyped-call]  # selenium has no type for it

    def violations(self, axe: str) -> list[str]:
        """What axe finds wrong with the page for people who see or move otherwise."""
        self.driver.execute_cdp_cmd("Runtime.evaluate", {"expression": axe})
        found = self.driver.execute_async_script(
            "const done = arguments[arguments.length - 1];"
            "axe.run(document).then((found) => done(found.violations),"
            " (error) => done([{id: String(error), nodes: []}]));"
        )
        return [
            f"{each['id']}: {' | '.join(node['html'][:120] for node in each['nodes'][:3])}"
            for each in found
        ]

    def overflow(self) -> int:
        """By how many pixels the page is wider than the window."""
        return int(
            self.driver.execute_script(
                "const page = document.documentElement;"
                "return page.scrollWidth - page.clientWidth;"
            )
        )


@contextmanager
def chromium(folder: Path) -> Iterator[Browser]:
    """Start Debian's Chromium without a window; raises `CommandError` where there is none."""
    program, driver = shutil.which("chromium"), shutil.which("chromedriver")
    if not (program and driver):
        raise CommandError("needs Chromium: apt-get install chromium chromium-driver")
    options = ChromeOptions()
    options.binary_location = program
    for flag in (
        "--headless=new",
        "--no-sandbox",  # tests may run as root
        "--disable-dev-shm-usage",
        "--no-proxy-server",
        "--disable-background-networking",
        "--disable-component-update",
        "--no-first-run",
        f"--user-data-dir={folder}",
    ):
        options.add_argument(flag)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    browser = Chrome(options, Service(driver))
    try:
        browser.set_page_load_timeout(PATIENCE_SECONDS)
        browser.set_script_timeout(PATIENCE_SECONDS)
        yield Browser(browser)
    finally:
        browser.quit()
