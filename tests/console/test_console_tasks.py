"""The pages of tasks, as a person with a browser has them."""

from __future__ import annotations

import asyncio

import httpx
import pytest
from harness import Stack, pipeline, text_to_image
from selenium.webdriver.common.keys import Keys

from darkroom_bench.chromium import DESK, PHONE, Browser, Scheme

HOSTILE = "<img src=x onerror=\"document.title='taken'\">"


@pytest.fixture(scope="module")
def done(stack: Stack) -> str:
    """The uid of a completed task with a hostile prompt."""

    async def make() -> str:
        task = text_to_image("shown", prompt=HOSTILE)
        task["metadata"]["context"] = {"note": HOSTILE}
        uid: str = (await stack.submit(**task))["uid"]
        await stack.until(uid, "completed")
        return uid

    return asyncio.run(make())


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [DESK, PHONE])
@pytest.mark.parametrize("path", ["/tasks", "/tasks/{uid}", "/tasks/nosuch"])
async def test_page_is_good_to_read(
    browser: Browser, stack: Stack, done: str, axe: str, path: str, width: int, scheme: Scheme
) -> None:
    browser.shape(width, scheme)

    browser.driver.get(stack.info["console"] + path.format(uid=done))

    browser.find("h1")
    assert browser.violations(axe) == []
    assert browser.overflow() == 0
    if path.endswith("nosuch"):  # its status, which is no mistake of the page
        assert ["404" in each for each in browser.complaints()] == [True]


async def test_hostile_text_is_text(browser: Browser, stack: Stack, done: str) -> None:
    browser.driver.get(f"{stack.info['console']}/tasks/{done}")

    assert HOSTILE in browser.find(".facts:last-of-type").text.replace('\\"', '"')
    assert browser.driver.title == "Task shown · Darkroom"


async def test_picture_is_drawn_and_can_be_had(
    browser: Browser, stack: Stack, done: str
) -> None:
    browser.driver.get(f"{stack.info['console']}/tasks/{done}")

    picture = browser.find(".pictures img")
    browser.until(lambda: picture.get_property("naturalWidth") == 64)
    link = browser.find("figcaption a").get_property("href")
    async with httpx.AsyncClient(trust_env=False) as client:
        answer = await client.get(str(link))
    assert answer.headers["content-type"] == "image/png"
    assert answer.headers["content-disposition"].startswith('attachment; filename="shown-')


async def test_answer_of_the_runtime_is_there_when_it_is_asked_for(
    browser: Browser, stack: Stack, done: str
) -> None:
    browser.driver.get(f"{stack.info['console']}/tasks/{done}")

    browser.find("#out summary").click()

    browser.until_text('"id_task": "shown"', "#out")


async def test_table_is_live_and_many_are_taken_back(browser: Browser, stack: Stack) -> None:
    browser.driver.get(stack.info["console"] + "/tasks")
    with stack.held():
        uids = [(await stack.submit(**text_to_image(f"live-{n}")))["uid"] for n in (1, 2)]

        await stack.until(uids[0], "running")
        for uid in uids:
            browser.find(f"#task-{uid}")
        browser.find("[data-all]").send_keys(Keys.SPACE)
        browser.find("form .secondary").send_keys(Keys.ENTER)
        browser.confirm()

        browser.until_text("1 taken back.", "#said")
        for uid in uids:
            browser.until_text("cancelled", f"#task-{uid}")


async def test_filters_are_kept_while_the_table_is_live(
    browser: Browser, stack: Stack, done: str
) -> None:
    browser.driver.get(stack.info["console"] + "/tasks")
    browser.find("[name=text]").send_keys("named", Keys.ENTER)
    browser.until_text("No task is like that.")

    uid = (await stack.submit(**text_to_image("so-named")))["uid"]

    browser.find(f"#task-{uid}")
    assert len(browser.all("tbody tr")) == 1
    assert browser.find("[name=text]").get_property("value") == "named"
    await stack.until(uid, "completed")


async def test_choice_and_focus_stay_while_the_table_changes(
    browser: Browser, stack: Stack
) -> None:
    with stack.held():
        first = (await stack.submit(**text_to_image("stays-1")))["uid"]
        browser.driver.get(stack.info["console"] + "/tasks")
        browser.find(f"#task-{first} input").send_keys(Keys.SPACE)

        second = (await stack.submit(**text_to_image("stays-2")))["uid"]

        browser.find(f"#task-{second}")
        chosen = browser.find(f"#task-{first} input")
        assert chosen.is_selected()
        assert browser.driver.switch_to.active_element == chosen
    await stack.until(second, "completed")


async def test_running_task_tells_how_far_it_is_until_it_has_ended(
    browser: Browser, stack: Stack
) -> None:
    with stack.held():
        uid = (await stack.submit(**pipeline("runs")))["uid"]
        browser.driver.get(f"{stack.info['console']}/tasks/{uid}")
        browser.until_text("of 4", "#live")

    browser.until_text("completed", "#live")
    assert browser.find("#live").get_attribute("hx-get") is None


async def test_pages_work_by_keyboard(browser: Browser, stack: Stack) -> None:
    browser.driver.get(stack.info["console"] + "/tasks")
    active = browser.driver.switch_to

    active.active_element.send_keys(Keys.TAB)
    assert active.active_element.text == "Skip to the content"
    active.active_element.send_keys(Keys.TAB)
    active.active_element.send_keys(Keys.TAB)
    active.active_element.send_keys(Keys.ENTER)

    browser.until(lambda: browser.driver.current_url.endswith("/tasks"))


async def test_task_is_submitted_again_with_changes(
    browser: Browser, stack: Stack, done: str
) -> None:
    browser.driver.get(f"{stack.info['console']}/tasks/{done}")
    browser.until_text(HOSTILE)

    browser.find("a[href^='/playground?from=']").click()
    assert browser.find("[name=prompt]").get_property("value") == HOSTILE
    assert browser.find("[name=steps]").get_property("value") == "4"
    browser.find("[value=submit]").click()

    browser.find("#result .pictures img")
