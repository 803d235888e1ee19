"""The page of dead letters, as an operator with a browser has it."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator

import pytest
from harness import Stack, text_to_image
from selenium.webdriver.common.keys import Keys

from awsio import clients
from darkroom_bench.chromium import Browser

HOSTILE = "<img src=x onerror=\"document.title='taken'\">"


@pytest.fixture
async def parked(stack: Stack) -> AsyncIterator[str]:
    """The uid of a task whose message was given up, beside garbage."""
    accepted = await stack.submit(**text_to_image("parked"))
    await stack.until(accepted["uid"], "completed")
    message = {
        "uid": accepted["uid"],
        "id": "parked",
        "runtime": "sddynamic",
        "tasktype": "text-to-image",
        "prefix": "output",
        "bucket": stack.info["bucket"],
        "accepted_at": "2026-01-01T00:00:00Z",
        "checkpoint": "v1-5-pruned-emaonly.safetensors",
        "content": text_to_image("parked")["content"],
    }
    url = f"{stack.info['queues']['sddynamic']}-dlq"
    async with clients.sqs() as sqs:
        for body in (json.dumps(message), HOSTILE):
            await sqs.send_message(QueueUrl=url, MessageBody=body)
        yield accepted["uid"]
        await sqs.purge_queue(QueueUrl=url)


async def test_one_is_redriven_and_the_rest_purged(
    browser: Browser, stack: Stack, parked: str, axe: str
) -> None:
    browser.driver.get(stack.info["console"] + "/dead-letters?runtime=sddynamic")
    browser.until(lambda: len(browser.all("tbody tr")) == 2)
    assert browser.violations(axe) == []
    for details in browser.all("tbody summary"):
        details.click()
    browser.until_text(HOSTILE, "tbody")
    assert browser.driver.title == "Dead letters · Darkroom"

    row = next(each for each in browser.all("tbody tr") if "parked" in each.text)
    row.find_element("css selector", "input").send_keys(Keys.SPACE)
    browser.find("[value=redrive]").send_keys(Keys.ENTER)
    browser.until_text("1 redriven.", "#said")
    browser.until(lambda: len(browser.all("tbody tr")) == 1)
    again = await stack.task("parked")
    assert again["uid"] != parked

    browser.find("[name=everything]").click()
    browser.find("form .secondary").click()
    browser.confirm()
    browser.until_text("1 purged.", "#said")
    browser.until_text("There are none.", "#live")
    await stack.until(again["uid"], "completed")


def test_nothing_chosen_is_said(browser: Browser, stack: Stack, parked: str) -> None:
    browser.driver.get(stack.info["console"] + "/dead-letters?runtime=sddynamic")

    browser.find("[value=redrive]").click()

    browser.until_text("Nothing was chosen.", "#said")
