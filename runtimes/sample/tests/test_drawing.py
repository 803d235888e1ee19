"""Pictures of all sizes, and what is written on them."""

from __future__ import annotations

import io

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from sample_runtime import drawing, infotext


@given(
    prompt=st.text(max_size=300),
    width=st.integers(1, 200),
    height=st.integers(1, 200),
    seed=st.integers(0, 2**64),
)
def test_any_prompt_fits_on_a_picture_of_any_size(
    prompt: str, width: int, height: int, seed: int
) -> None:
    picture = drawing.draw(prompt, width=width, height=height, seed=seed)

    assert picture.size == (width, height)


def test_prompt_and_seed_both_change_the_picture() -> None:
    def draw(prompt: str, seed: int) -> bytes:
        return drawing.draw(prompt, width=64, height=64, seed=seed).tobytes()

    assert draw("a", 1) == draw("a", 1)
    assert len({draw("a", 1), draw("a", 2), draw("b", 1)}) == 3


@pytest.mark.parametrize(
    ("width", "error"), [(0, ValueError), (100_000_000, MemoryError)], ids=["none", "too-much"]
)
def test_size_that_cannot_be_drawn_is_refused(width: int, error: type[Exception]) -> None:
    with pytest.raises(error):
        drawing.draw("a", width=width, height=10, seed=1)


def test_text_of_any_script_survives_in_the_file() -> None:
    picture = drawing.draw("a", width=8, height=8, seed=1)

    content = drawing.png(picture, {"parameters": "кот, 猫"})

    assert Image.open(io.BytesIO(content)).info["parameters"] == "кот, 猫"


def test_parameters_are_read_back_as_they_were_written() -> None:
    text = infotext.write("a dog,\nrunning", "blurry", {"Steps": 4, "Sampler": "Euler a"})

    assert infotext.parse(text) == {
        "Prompt": "a dog,\nrunning",
        "Negative prompt": "blurry",
        "Steps": "4",
        "Sampler": "Euler a",
    }
