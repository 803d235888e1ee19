"""API keys as their file has them: hashed, each of a tenant, with what it may do.

Keys are random tokens of 256 bits, so plain SHA-256 is right: nobody can guess a token, which
is what slow password hashes make costly.
"""

from __future__ import annotations

import hashlib
import re
import secrets
from decimal import Decimal
from enum import StrEnum
from typing import Annotated, Final, Self

from pydantic import (
    AwareDatetime,
    BaseModel,
    ConfigDict,
    Field,
    ValidationError,
    model_validator,
)

MOST_OPEN_TASKS: Final = 1000  # their uids are in one item of the ledger's table
PREFIX: Final = "dr_"  # by which scanners find keys that leaked

Name = Annotated[str, Field(min_length=1, max_length=128, pattern=r"^[^#\x00-\x1f]+$")]
_NAME: Final = re.compile(r"[^#\x00-\x1f]{1,128}")


def tenant_name(text: str) -> str:
    """The checked name of a tenant; raises `ValueError` for one that no key can have.

    What the ledger's table lists besides tasks is listed under names with `#`.
    """
    if not _NAME.fullmatch(text):
        raise ValueError("must be 1 to 128 characters, without # and control characters")
    return text


class KeyScope(StrEnum):
    """What a key is good for; each is good for what those before are."""

    READ = "read"  # reads its tenant's tasks
    SUBMIT = "submit"  # hands tasks in and takes its tenant's back, too
    ADMIN = "admin"  # all of it, for every tenant

    def covers(self, needed: KeyScope) -> bool:
        """Whether a key of this scope may do what needs another."""
        return list(KeyScope).index(self) >= list(KeyScope).index(needed)


class Quota(BaseModel):
    """How much the tasks that come with one key may take; None: as much as they like."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    open_tasks: Annotated[int, Field(ge=1, le=MOST_OPEN_TASKS)] | None = None  # at once
    daily_images: Annotated[int, Field(ge=1)] | None = None  # of a day, in UTC
    monthly_budget: Annotated[Decimal, Field(gt=0)] | None = None  # of a month, in UTC


class Key(BaseModel):
    """One key."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: Name
    tenant: Name
    sha256: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
    scope: KeyScope = KeyScope.SUBMIT
    rate_per_second: float | None = Field(default=None, gt=0, allow_inf_nan=False)
    burst: int | None = Field(default=None, ge=1)
    quota: Quota = Quota()
    expires_at: AwareDatetime | None = None


class Keys(BaseModel):
    """The file of keys."""

    model_config = ConfigDict(extra="forbid")

    keys: list[Key]

    @model_validator(mode="after")
    def _each_is_there_once(self) -> Self:
        if len({key.sha256 for key in self.keys}) != len(self.keys):
            raise ValueError("two keys have the same sha256")
        # While a key is replaced by another, both have its name.
        if len({key.name for key in self.keys}) != len({(k.name, k.tenant) for k in self.keys}):
            raise ValueError("two keys of different tenants have the same name")
        return self


class BrokenKeysError(ValueError):
    """A file of keys cannot be used; the message says why and shows nothing of it."""


def read_keys(text: bytes) -> list[Key]:
    """The keys of a file; raises `BrokenKeysError`."""
    try:
        return Keys.model_validate_json(text).keys
    except ValidationError as error:
        found = error.errors(include_url=False, include_input=False, include_context=False)
        told = (f"{'.'.join(map(str, e['loc'])) or 'file'}: {e['msg']}" for e in found)
        raise BrokenKeysError("; ".join(told)) from None


def write_keys(keys: list[Key]) -> str:
    """The text of a file; raises `BrokenKeysError` if not all can be in one."""
    text = Keys.model_construct(keys=keys).model_dump_json(exclude_defaults=True, indent=1)
    read_keys(text.encode())
    return text


def new_key() -> str:
    """A key that nobody can guess."""
    return PREFIX + secrets.token_urlsafe(32)


def digest_of(key: bytes) -> str:
    """What a file holds of a key."""
    return hashlib.sha256(key).hexdigest()
