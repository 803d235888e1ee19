"""What can go wrong, one class for each thing that a program may want to tell apart."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timezone
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Any, Final

from pydantic import BaseModel, ConfigDict, Field, ValidationError

if TYPE_CHECKING:
    from darkroom_client.results import Task


class FieldError(BaseModel):
    """One thing that is wrong with one field of a request."""

    model_config = ConfigDict(frozen=True)

    field: str = Field(description="Dotted path, for example `task.metadata.id`.")
    message: str


class Problem(BaseModel):
    """A refusal as the server words it; what it does not say is empty."""

    model_config = ConfigDict(frozen=True)

    code: str = ""
    detail: str = ""
    errors: tuple[FieldError, ...] = ()
    quota: str = ""
    limit: float | None = None
    used: float | None = None
    resets_at: datetime | None = None


class DarkroomError(Exception):
    """Every error of this package.

    `code` is for programs and empty where there is none, `detail` is for people, and `status`
    is that of HTTP. `temporary` tells whether the same call may succeed a little later.
    """

    temporary = False

    def __init__(
        self,
        detail: str,
        *,
        code: str = "",
        status: int | None = None,
        problem: Problem | None = None,
        retry_after: float | None = None,
    ) -> None:
        super().__init__(f"{code}: {detail}" if code else detail)
        self.detail = detail
        self.code = code
        self.status = status
        self.problem = problem or Problem()
        self.retry_after = retry_after  # seconds, if the server named them
        self.tries = 1  # how often the call was made

    def __reduce__(self) -> tuple[Any, ...]:
        return _restored, (type(self), self.args, self.__dict__)


def _restored(kind: type[DarkroomError], args: Any, state: dict[str, Any]) -> DarkroomError:
    error = kind.__new__(kind)
    error.args = args
    error.__dict__.update(state)
    return error


class RuntimeNotFound(DarkroomError):
    """No runtime has this name; `detail` names those that there are."""


class ModelNotFound(DarkroomError):
    """No runtime serves this checkpoint, or it is not in the model bucket."""


class TaskNotFound(DarkroomError):
    """There is no such task, or it is another tenant's."""


class RequestNotKept(DarkroomError):
    """The task is there, but what was asked for is not kept: it is too large, or too old."""


class InvalidRequest(DarkroomError):
    """The request is wrong; `errors` names every wrong field."""

    @property
    def errors(self) -> tuple[FieldError, ...]:
        """What is wrong, field by field."""
        return self.problem.errors


class Unauthorized(DarkroomError):
    """The API key is not valid."""


class Forbidden(DarkroomError):
    """The API key may not do this."""


class IdempotencyConflict(DarkroomError):
    """The Idempotency-Key was used for another body."""


class AlreadyFinished(DarkroomError):
    """A task that has ended cannot be cancelled."""


class Throttled(DarkroomError):
    """More requests than the key may make; `retry_after` says in how many seconds again."""

    temporary = True


class QuotaExceeded(DarkroomError):
    """A quota of the key is used up; this passes when it resets, not by trying again."""

    @property
    def quota(self) -> str:
        """Which quota."""
        return self.problem.quota

    @property
    def limit(self) -> float | None:
        """How much it allows."""
        return self.problem.limit

    @property
    def used(self) -> float | None:
        """How much of it is used."""
        return self.problem.used

    @property
    def resets_at(self) -> datetime | None:
        """When it is fresh again."""
        return self.problem.resets_at


class Unavailable(DarkroomError):
    """The stack cannot serve the call for now."""

    temporary = True


class Unreachable(DarkroomError):
    """Nothing answered, or the answer broke off."""

    temporary = True


class TooLarge(DarkroomError):
    """An answer or an image has more bytes than are allowed."""


class TaskFailed(DarkroomError):
    """A task ended as failed; `retryable` tells whether the same task may succeed later."""

    def __init__(self, task: Task) -> None:
        error = task.error
        super().__init__(
            error.message if error else "no reason was told",
            code=error.code if error else "failed",
        )
        self.message = self.detail
        self.retryable = error.retryable if error else False
        self.task = task


class TaskCancelled(DarkroomError):
    """A task was taken back before it was done."""

    def __init__(self, task: Task) -> None:
        super().__init__(f"task {task.uid} was cancelled")
        self.task = task


class WaitTimeout(DarkroomError):
    """A task has not ended in the time that was given to it; it goes on."""

    def __init__(self, task: Task, seconds: float) -> None:
        super().__init__(f"task {task.uid} is {task.state} after {seconds:g} s")
        self.task = task


class InvalidSignature(DarkroomError):
    """A webhook that its secret has not signed, or one from another time."""


_BY_CODE: Final[Mapping[str, type[DarkroomError]]] = {
    "already_finished": AlreadyFinished,
    "forbidden": Forbidden,
    "idempotency_conflict": IdempotencyConflict,
    "invalid_request": InvalidRequest,
    "model_not_found": ModelNotFound,
    "quota_exceeded": QuotaExceeded,
    "request_not_kept": RequestNotKept,
    "runtime_not_found": RuntimeNotFound,
    "task_not_found": TaskNotFound,
    "throttled": Throttled,
    "unauthorized": Unauthorized,
    "unavailable": Unavailable,
}
# Of gateways and load balancers, which know no codes.
_BY_STATUS: Final[Mapping[int, type[DarkroomError]]] = {
    401: Unauthorized,
    403: Forbidden,
    429: Throttled,
    502: Unavailable,
    503: Unavailable,
    504: Unavailable,
}


def refusal(status: int, headers: Mapping[str, str], body: bytes) -> DarkroomError:
    """The error that an answer without success is."""
    try:
        problem = Problem.model_validate_json(body)
    except ValidationError:
        problem = Problem()
    if problem.code:
        kind, detail = _BY_CODE.get(problem.code, DarkroomError), problem.detail
    else:
        kind = _BY_STATUS.get(status, DarkroomError)
        detail = f"the endpoint answered {status}"
    return kind(
        detail,
        code=problem.code,
        status=status,
        problem=problem,
        retry_after=_seconds(headers.get("retry-after", "")),
    )


def reason_of(error: Exception) -> str:
    """Why something could not be read, in a few words."""
    if isinstance(error, ValidationError):
        first = error.errors(include_url=False, include_input=False)[0]
        return ": ".join((".".join(map(str, first["loc"])), first["msg"]))
    return f"{type(error).__name__}: {error}"


def _seconds(retry_after: str) -> float | None:
    """Seconds, or a date, as RFC 9110 has it; None for anything else."""
    if retry_after.isascii() and retry_after.isdigit():
        return float(retry_after[:9])
    try:
        moment = parsedate_to_datetime(retry_after)
    except (TypeError, ValueError):
        return None
    if moment.tzinfo is None:
        return None
    return max(0.0, (moment - datetime.now(timezone.utc)).total_seconds())
