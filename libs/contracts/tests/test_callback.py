from __future__ import annotations

import json
from pathlib import Path

import pytest
from pydantic import ValidationError

from contracts.callback import MESSAGE_CHARACTERS, Callback, Failure

# Tests run in the root of the repository.
GOLDEN = Path("tests/contract/golden/callback.completed.json").read_text(encoding="utf-8")


def test_the_golden_callback_comes_back_byte_for_byte_with_its_keys_in_order() -> None:
    callback = Callback.model_validate_json(GOLDEN)
    written = callback.model_dump_json()
    assert written == json.dumps(json.loads(GOLDEN), separators=(",", ":"))


def test_the_first_five_keys_are_those_of_the_original_solution() -> None:
    written = json.loads(Callback.model_validate_json(GOLDEN).model_dump_json())
    assert list(written)[:5] == ["id", "result", "image_url", "output_url", "context"]


@pytest.mark.parametrize(
    ("field", "wrong"), [("status", "queued"), ("uid", "x"), ("id", "../up"), ("error", "no")]
)
def test_a_callback_that_breaks_the_contract_cannot_be_made(field: str, wrong: str) -> None:
    with pytest.raises(ValidationError, match=field):
        Callback.model_validate({**json.loads(GOLDEN), field: wrong})


def test_a_message_that_no_topic_would_take_is_cut() -> None:
    failure = Failure(code="runtime_error", message="key " * 100_000, retryable=False)

    assert len(failure.message) == MESSAGE_CHARACTERS
    assert failure.message.startswith("key key ")
    assert failure.message.endswith("…")


def test_warnings_are_there_only_if_there_are_some() -> None:
    told = Callback.model_validate_json(GOLDEN).model_copy(
        update={"warnings": ("another sampler",)}
    )

    assert json.loads(told.model_dump_json())["warnings"] == ["another sampler"]
