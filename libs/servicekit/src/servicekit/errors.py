"""The three kinds of failure; the edges decide what each kind becomes on the wire."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from types import MappingProxyType
from typing import Final

NOTHING: Final[Mapping[str, str]] = MappingProxyType({})


class AppError(Exception):
    """Base of every error this repository raises on purpose.

    `details` go to logs, so they must never hold a secret or a part of a request's body.
    """

    def __init__(self, message: str, **details: object) -> None:
        super().__init__(message)
        self.details = details


@dataclass(frozen=True, slots=True)
class FieldError:
    """One thing that is wrong with one field of a request."""

    field: str  # dotted path, for example `task.metadata.id`
    message: str


class RejectedError(AppError):
    """The request itself is wrong, so trying again cannot help.

    `code` is one of api.md's stable codes; the edges find the status by it.
    """

    def __init__(
        self,
        message: str,
        *,
        code: str,
        errors: tuple[FieldError, ...] = (),
        facts: Mapping[str, str] = NOTHING,
        retry_after: timedelta | None = None,
        **details: object,
    ) -> None:
        super().__init__(message, **details)
        self.code = code
        self.errors = errors
        self.facts = facts  # what programs shall know besides the code
        self.retry_after = retry_after


class TransientError(AppError):
    """Something outside failed, so trying again may help."""

    def __init__(
        self, message: str, *, retry_after: timedelta | None = None, **details: object
    ) -> None:
        super().__init__(message, **details)
        self.retry_after = retry_after


class FatalError(AppError):
    """The process cannot go on: let it stop and be restarted."""
