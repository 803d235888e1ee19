from __future__ import annotations

import pytest

from contracts.fields import find_texts, texts

CONTENT = {
    "init_images": ["a", "b"],
    "alwayson_scripts": {"x": {"args": [{"image": "c", "on": True}]}},
    "12:3": {"inputs": {"image.first": "d"}},
    "a": {"b/c": "e"},
}


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("init_images[1]", "b"),
        ("alwayson_scripts.x.args[0].image", "c"),
        ("12:3.inputs.image.first", "d"),
        ("/init_images/0", "a"),
        ("/a/b~1c", "e"),
    ],
)
def test_text_is_found_by_its_place(name: str, value: str) -> None:
    found = find_texts(CONTENT, [name])

    assert dict(texts(CONTENT))[found[name]] == value


@pytest.mark.parametrize(
    "name", ["", "init_images", "init_images[2]", "nosuch", "/init_images"]
)
def test_place_without_a_text_is_an_error(name: str) -> None:
    with pytest.raises(ValueError, match="names no text"):
        find_texts(CONTENT, [name])


def test_name_of_two_texts_is_an_error_and_its_pointer_is_none() -> None:
    content = {"a.b": "1", "a": {"b": "2"}}

    with pytest.raises(ValueError, match="names two values"):
        find_texts(content, ["a.b"])
    assert find_texts(content, ["/a/b"]) == {"/a/b": ("a", "b")}
    assert find_texts(content, []) == {}
