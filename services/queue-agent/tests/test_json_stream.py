from __future__ import annotations

import base64
import json
import os
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from queue_agent.files.body import FileBody
from queue_agent.runtimes import json_stream
from queue_agent.runtimes.json_stream import LongString, TooLongError, parsed

texts = st.text(max_size=40) | st.text('ab"\\/é\n', max_size=40)
values = st.recursive(
    texts | st.integers() | st.none() | st.booleans(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(texts, inner, max_size=4),
    max_leaves=12,
)


def spooled(text: bytes) -> FileBody:
    body = FileBody()
    body.write(text)
    return body


@pytest.fixture
def _short(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(json_stream, "LONG_BYTES", 10)
    monkeypatch.setattr(json_stream, "PART_BYTES", 7)


@pytest.mark.usefixtures("_short")
@settings(deadline=None, max_examples=300)
@given(values, st.booleans())
def test_any_json_is_read_as_it_is(value: Any, ascii_only: bool) -> None:
    text = json.dumps(value, ensure_ascii=ascii_only)

    assert parsed(spooled(text.encode())) == json.loads(text)


@pytest.mark.usefixtures("_short")
@settings(deadline=None, max_examples=300)
@given(st.lists(st.binary(max_size=60)), st.sampled_from(["", "data:image/png;base64,"]))
def test_images_are_decoded_from_where_they_are(images: list[bytes], prefix: str) -> None:
    strings = [prefix + base64.b64encode(image).decode() for image in images]
    rest = {"images": strings}
    text = json.dumps({"a": "\\", "images": strings, "parameters": rest}).encode()

    found = parsed(spooled(text), ("images",))

    assert found["parameters"] == rest
    for string, image in zip(found["images"], images, strict=True):
        if isinstance(string, LongString):
            assert string.decoded().read() == image
        else:
            assert base64.b64decode(string.removeprefix(prefix)) == image


def test_large_images_are_long_and_the_rest_is_not() -> None:
    image = os.urandom(700_000)
    string = base64.b64encode(image).decode()

    found = parsed(spooled(json.dumps({"images": [string] * 2, "n": 1}).encode()), ("images",))

    assert [type(one) for one in found["images"]] == [LongString, LongString]
    assert [one.decoded().read() for one in found["images"]] == [image, image]
    assert found["n"] == 1


@pytest.mark.parametrize("in_file", [True, False])
@pytest.mark.parametrize("size", [70_000, 14_000_000])
@pytest.mark.parametrize("prefix", ["", "data:image/png;base64,"])
def test_long_base64_in_what_is_echoed_is_cut_out(
    prefix: str, size: int, in_file: bool
) -> None:
    control = prefix + base64.b64encode(os.urandom(size)).decode()
    prompt = "a dog, " * 10_000
    args = [{"image": control, "weight": 1}, {"image": {"image": control, "mask": None}}] * 2
    scripts = {"controlnet": {"args": args}}
    answer = {
        "images": ["aGk="],
        "parameters": {"prompt": prompt, "alwayson_scripts": scripts},
        "info": "{}",
    }
    text = json.dumps(answer).encode()

    found = parsed(
        spooled(text) if in_file else text, ("images",), echoed=("parameters", "detail")
    )

    assert (found["images"], found["info"]) == (["aGk="], "{}")
    assert found["parameters"]["prompt"] == prompt
    first = found["parameters"]["alwayson_scripts"]["controlnet"]["args"][0]
    assert first == {"image": f"({len(control)} characters of base64)", "weight": 1}
    assert len(json.dumps(found)) < 80_000


@pytest.mark.usefixtures("_short")
@pytest.mark.parametrize("text", [b'{"a": "unfinished' + b"x" * 50, b'{"a": 1', b"", b'"\\'])
def test_unfinished_json_is_refused(text: bytes) -> None:
    with pytest.raises(ValueError, match=r"EOF|end of"):
        parsed(spooled(text))


@pytest.mark.parametrize("text", ["y" * 200_000, '"' * 200_000])
def test_text_besides_images_is_bounded(text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(json_stream, "REST_BYTES", 300_000)
    one, two = (json.dumps({"images": [], "info": [text] * n}).encode() for n in (1, 2))

    if text.startswith("y"):
        assert parsed(spooled(one))["info"] == [text]
    with pytest.raises(TooLongError):
        parsed(spooled(two))


def test_string_that_is_no_base64_is_refused() -> None:
    text = json.dumps({"images": ["A" * 100_001]}).encode()
    [string] = parsed(spooled(text), ("images",))["images"]

    with pytest.raises(ValueError, match="base64"):
        string.decoded()
