"""The names that a task is known by, and the one place that checks them.

Invariant 10 of the architecture: nothing from a request reaches a key, a path or a log unless
one of these functions has let it through.
"""

from __future__ import annotations

import re
import unicodedata
from datetime import datetime
from typing import Annotated, NewType

from pydantic import AfterValidator
from ulid import ULID

TaskId = NewType("TaskId", str)
"""The client's own name of a task; safe as a path segment and in a key."""

Uid = NewType("Uid", str)
"""The service's name of one submission: a ULID, so newer ones sort later."""

Prefix = NewType("Prefix", str)
"""A folder in the output bucket, without leading or trailing `/`."""

Key = NewType("Key", str)
"""The key of an object; made of the names above only, so that it stays where it belongs."""

DEFAULT_PREFIX = Prefix("output")
PREFIX_BYTES = 512
NAME_LENGTH = 256

_TASK_ID = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9._-]{0,127}")
_UID = re.compile(r"[0-7][0-9A-HJKMNP-TV-Z]{25}")
_OUTPUT = re.compile(r"[a-z0-9-]{1,40}\.[a-z0-9]{1,16}")


def task_id(text: str) -> TaskId:
    """The checked id; raises `ValueError` for anything else than api.md allows."""
    if not _TASK_ID.fullmatch(text):
        raise ValueError("must be 1 to 128 of A-Z a-z 0-9 . _ - and not start with '.'")
    return TaskId(text)


def uid(text: str) -> Uid:
    """The checked uid; raises `ValueError` unless `text` is a ULID in upper case."""
    if not _UID.fullmatch(text):
        raise ValueError("must be a ULID")
    return Uid(text)


def new_uid() -> Uid:
    """Make a uid for a new submission."""
    return Uid(str(ULID()))


def made_at(of: Uid) -> datetime:
    """When a uid was made, to the millisecond."""
    return ULID.from_str(of).datetime


def prefix(text: str) -> Prefix:
    """The checked prefix without outer slashes; raises `ValueError` if it is unsafe."""
    inner = text.strip("/")
    if not inner:
        return DEFAULT_PREFIX
    if len(inner.encode(errors="surrogatepass")) > PREFIX_BYTES:
        raise ValueError(f"must not be longer than {PREFIX_BYTES} bytes")
    # Category C: control, format, surrogate, private and unassigned characters.
    if any(unicodedata.category(character).startswith("C") for character in inner):
        raise ValueError("must not have control characters")
    if any(segment in {"", ".", ".."} for segment in inner.split("/")):
        raise ValueError("must not have empty, '.' or '..' segments")
    return Prefix(inner)


def name(text: str) -> str:
    """The name of a runtime or checkpoint; raises `ValueError` if it cannot be one."""
    if len(text) > NAME_LENGTH:
        raise ValueError(f"must not be longer than {NAME_LENGTH} characters")
    if any(unicodedata.category(character).startswith("C") for character in text):
        raise ValueError("must not have control characters")
    return text


def claim_key(of: Uid) -> Key:
    """The key of a submission's body in the claim-check bucket."""
    return Key(f"{uid(of)}.json")


def output_key(folder: Prefix, of: TaskId, name: str, extension: str) -> Key:
    """The key of one output; `name` is joined to the id, `extension` has no dot.

    Raises `ValueError` for anything that might lead to another folder.
    """
    if not _OUTPUT.fullmatch(f"{name}.{extension}"):
        raise ValueError("must be 1 to 40 of a-z 0-9 - and an extension of 1 to 16 of a-z 0-9")
    return Key(f"{prefix(folder)}/{task_id(of)}/{of}-{name}.{extension}")


TaskIdField = Annotated[TaskId, AfterValidator(task_id)]
UidField = Annotated[Uid, AfterValidator(uid)]
PrefixField = Annotated[Prefix, AfterValidator(prefix)]
