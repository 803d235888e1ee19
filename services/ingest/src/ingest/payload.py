"""How a request's text becomes checked values, and how all that is wrong with it is told."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final, TypeVar

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails, from_json, to_json

from contracts.ids import name
from contracts.message import CONTENT_LIMIT_BYTES
from ingest.domain import CONTEXT_LIMIT_BYTES
from servicekit.errors import FieldError, RejectedError

M = TypeVar("M", bound=BaseModel)

INCORRECT: Final = "Incorrect payload structure"  # clients of the original solution look for it

_MESSAGES: Final = {
    "missing": "is missing",
    "string_type": "must be a string",
    "dict_type": "must be an object",
    "model_type": "must be an object",
}


def wrong(field: str, message: str) -> FieldError:
    """A field error whose message is a whole sentence: `task.metadata.id is missing`."""
    return FieldError(field, f"{field} {message}")


def invalid(errors: Iterable[FieldError]) -> RejectedError:
    """The refusal that names each of `errors`."""
    named = tuple(errors)
    detail = f"{INCORRECT}, {'; '.join(error.message for error in named)}"
    return RejectedError(detail, code="invalid_request", errors=named)


def too_large() -> RejectedError:
    """The refusal of a body over the limit."""
    return RejectedError(
        f"the body must not be longer than {CONTENT_LIMIT_BYTES} bytes",
        code="payload_too_large",
    )


def parse_object(text: bytes | str, field: str = "body") -> dict[str, Any]:
    """The JSON object; refuses anything else, and nesting deeper than 200 levels."""
    try:
        value = from_json(text, allow_inf_nan=False)
    except ValueError as error:
        # The parser tells a reason and a place, never a part of the text.
        raise invalid([wrong(field, f"is not JSON: {error}")]) from None
    if not isinstance(value, dict):
        raise invalid([wrong(field, "must be a JSON object")])
    return value


def checked(kind: type[M], value: object, *at: str) -> tuple[M | None, list[FieldError]]:
    """The checked model, or None and all that is wrong, with fields below `at`."""
    try:
        return kind.model_validate(value), []
    except ValidationError as error:
        found = error.errors(include_url=False, include_input=False)
        return None, [field_error(item, at) for item in found]


def required(kind: type[M], value: object) -> M:
    """The checked model; raises `RejectedError` that names every wrong field."""
    model, errors = checked(kind, value)
    if model is None:
        raise invalid(errors)
    return model


def field_error(item: ErrorDetails, at: tuple[str, ...] = ()) -> FieldError:
    """What is wrong with one field, in our words; its name is below `at`."""
    field = ".".join((*at, *map(str, item["loc"]))) or "body"
    if item["type"] == "value_error":
        return wrong(field, str(item["ctx"]["error"]))
    if item["type"] == "enum":
        names = item["ctx"]["expected"].replace("'", "").replace(" or ", ", ")
        return wrong(field, f"must be one of {names}")
    return wrong(field, _MESSAGES.get(item["type"], f"is wrong: {item['msg']}"))


def compact_context(value: object) -> str:
    """A context as compact JSON; raises `ValueError` if it is too long or no JSON."""
    text = to_json(value)
    if len(text) > CONTEXT_LIMIT_BYTES:
        raise ValueError(f"must not be longer than {CONTEXT_LIMIT_BYTES} bytes as compact JSON")
    if not _finite(text):
        raise ValueError("must not have numbers beyond the range of a double")
    return text.decode()


def compact_content(value: dict[str, Any], field: str) -> bytes:
    """A runtime's body as compact JSON; `field` names it in a refusal."""
    text = to_json(value)
    if len(text) > CONTENT_LIMIT_BYTES:  # 1E9 is longer when it is written again
        raise too_large()
    if not _finite(text):
        raise invalid([wrong(field, "must not have numbers beyond the range of a double")])
    return text


def _finite(text: bytes) -> bool:
    # 1e999 is read as an infinite float, which JSON cannot write. The search costs less than a
    # walk over the value; most texts that have the word have it in a string.
    if b"Infinity" not in text and b"NaN" not in text:
        return True
    try:
        from_json(text, allow_inf_nan=False)
    except ValueError:
        return False
    return True


def whole_number(text: str, least: int, most: int) -> int:
    """The number that digits stand for, within bounds; raises `ValueError`."""
    if text.isascii() and text.isdigit() and len(text) <= len(str(most)):
        number = int(text)
        if least <= number <= most:
            return number
    raise ValueError(f"must be {least} to {most}")


def required_name(text: str) -> str:
    """A `name` that is not empty; raises `ValueError`."""
    if not text:
        raise ValueError("must not be empty")
    return name(text)
