"""The other pages, as a person with a browser has them."""

from __future__ import annotations

import json
import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest
from harness import Stack, command, environment
from PIL import Image
from selenium.webdriver.common.keys import Keys

from darkroom_bench.chromium import DESK, PHONE, Browser, Scheme

HOSTILE = 'it\'s "$HOME" `id` <img src=x onerror="document.title=\'taken\'">'
PATHS = [
    "/",
    "/dead-letters",
    "/models",
    "/access",
    "/playground",
    "/playground?runtime=sddynamic",
    "/playground?runtime=comfyruntime",
]


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [DESK, PHONE])
@pytest.mark.parametrize("path", PATHS)
def test_page_is_good_to_read(
    browser: Browser, stack: Stack, axe: str, path: str, width: int, scheme: Scheme
) -> None:
    browser.shape(width, scheme)

    browser.driver.get(stack.info["console"] + path)

    browser.find("h1")
    assert browser.violations(axe) == []
    assert browser.overflow() == 0


def write(browser: Browser, name: str, text: str) -> None:
    field = browser.find(f"[name={name}]")
    field.clear()
    field.send_keys(text)


@pytest.fixture
def playground(browser: Browser, stack: Stack) -> Browser:
    """The form of an SD WebUI, filled for a small image."""
    browser.driver.get(stack.info["console"] + "/playground?runtime=sdruntime")
    for name, text in {"prompt": HOSTILE, "width": "64", "height": "64", "steps": "4"}.items():
        write(browser, name, text)
    return browser


def test_playground_makes_an_image(playground: Browser) -> None:
    playground.find("[value=submit]").send_keys(Keys.ENTER)

    picture = playground.find("#result .pictures img")
    playground.until(lambda: picture.get_property("naturalWidth") == 64)
    assert "completed" in playground.text("#result")
    assert HOSTILE.replace('"', '\\"') in playground.text("#result")


def test_playground_begins_with_an_image(playground: Browser, tmp_path: Path) -> None:
    Image.effect_noise((64, 64), 100).save(tmp_path / "noise.png")
    playground.find("[name=image]").send_keys(str(tmp_path / "noise.png"))

    playground.find("[value=submit]").click()

    playground.until_text("image-to-image", "#result")
    playground.find("#result .pictures img")
    assert "<base64 of your image>" in playground.text("#result")


def test_playground_runs_a_workflow(browser: Browser, stack: Stack) -> None:
    browser.driver.get(stack.info["console"] + "/playground?runtime=comfyruntime")

    browser.find("[value=submit]").click()

    browser.find("#result .pictures img")


@pytest.mark.parametrize(
    ("name", "text", "said"),
    [
        ("body", "{", "body: is no JSON"),
        ("body", '{"1": {}, "nodes": [], "links": []}', "use Workflow > Export"),
        ("body", "[]", "body: must be an object of JSON"),
    ],
)
def test_wrong_workflow_is_one_sentence(
    browser: Browser, stack: Stack, name: str, text: str, said: str
) -> None:
    browser.driver.get(stack.info["console"] + "/playground?runtime=comfyruntime")
    write(browser, name, text)

    browser.find("[value=submit]").click()

    browser.until_text(said, "#notice")
    assert ["400" in each for each in browser.complaints()] == [True]


@pytest.mark.parametrize("form", ["curl", "Python", "Command"])
def test_same_request_for_programs_does_the_same(
    playground: Browser, stack: Stack, form: str, tmp_path: Path
) -> None:
    playground.find("[value=show]").click()
    playground.find("#result details")
    texts = playground.driver.execute_script(
        "const texts = {};"
        "for (const each of document.querySelectorAll('#result pre'))"
        " texts[each.previousElementSibling.textContent] = each.textContent;"
        "return texts;"
    )
    darkroom = tmp_path / "darkroom"
    darkroom.write_text(f'#!/bin/sh\nexec {" ".join(command())} "$@"\n')
    darkroom.chmod(darkroom.stat().st_mode | stat.S_IXUSR)
    variables = {
        "DARKROOM_API_KEY": stack.info["api_key"],
        "PATH": f"{tmp_path}:{os.environ['PATH']}",
        "PYTHONPATH": os.pathsep.join(str(Path(each).absolute()) for each in sys.path),
    }

    program = [sys.executable, "-c"] if form == "Python" else ["bash", "-ec"]
    ended = subprocess.run(
        [*program, texts[form]],
        cwd=tmp_path,
        env=environment(variables),
        capture_output=True,
        text=True,
        check=False,
    )

    assert ended.returncode == 0, ended.stderr
    if form == "Python":
        assert (tmp_path / ended.stdout.strip()).read_bytes().startswith(b"\x89PNG")
    else:
        assert json.loads(ended.stdout)["uid"]


def test_webhook_is_added_tested_and_removed(browser: Browser, stack: Stack) -> None:
    url = "http://127.0.0.1:9/hook"
    browser.driver.get(stack.info["console"] + "/access")
    write(browser, "url", url)
    browser.find("form[hx-post='/webhooks'] button").click()
    browser.until_text("whsec_", "#said")
    browser.until_text(url, "#live")

    browser.find(f"[aria-label='Test: {url}']").click()
    browser.until_text("is on its way", "#said")
    browser.find("td.do a").click()
    browser.until_text("webhook.test")

    browser.driver.back()
    browser.find(f"[aria-label='Remove: {url}']").click()
    browser.confirm()
    browser.until_text("is told nothing more", "#said")
    browser.until_text("There are none.", "#live")


def test_refused_webhook_is_told_why(browser: Browser, stack: Stack) -> None:
    browser.driver.get(stack.info["console"] + "/access")
    write(browser, "url", "https://user:secret@example.com/hook")

    browser.find("form[hx-post='/webhooks'] button").click()

    browser.until_text("url", "#notice")
    assert ["400" in each for each in browser.complaints()] == [True]


def test_model_is_uploaded(browser: Browser, stack: Stack, tmp_path: Path) -> None:
    browser.driver.get(stack.info["console"] + "/models")
    header = b'{"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}}'
    model = tmp_path / "detail.safetensors"
    model.write_bytes(len(header).to_bytes(8, "little") + header + bytes(4))
    browser.find("[name=file]").send_keys(str(model))
    write(browser, "kind", "Lora")

    browser.find("form[hx-post='/models'] button").click()

    browser.until_text("Lora/detail.safetensors is stored.", "#upload")
    browser.until_text("detail.safetensors", "#live")


def test_model_with_a_name_that_none_can_have_is_refused(
    browser: Browser, stack: Stack, tmp_path: Path
) -> None:
    browser.driver.get(stack.info["console"] + "/models")
    (tmp_path / "notes.txt").write_text("no model")
    browser.find("[name=file]").send_keys(str(tmp_path / "notes.txt"))

    browser.find("form[hx-post='/models'] button").click()

    browser.until_text("was not stored: ", "#upload")


def test_keys_are_listed_and_not_told(browser: Browser, stack: Stack) -> None:
    browser.driver.get(stack.info["console"] + "/access")

    assert "embedded" in browser.text("[aria-label=Keys]")
    assert stack.info["api_key"] not in browser.driver.page_source
