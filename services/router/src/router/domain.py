"""Which runtime takes a task. Pure decisions over the configured runtimes."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from contracts.checkpoints import checkpoints_named, has_hash
from contracts.ids import Prefix, TaskId, Uid
from contracts.keys import Quota
from contracts.kinds import Extra, Previews, TaskType
from contracts.runtimes import Runtime
from servicekit.errors import FieldError, RejectedError


@dataclass(frozen=True, slots=True, kw_only=True)
class Submission:
    """One task that ingest has checked."""

    uid: Uid
    id: TaskId
    tenant: str
    key: str  # the name of the API key
    runtime: str  # empty: choose by checkpoint
    tasktype: TaskType
    prefix: Prefix
    context_json: str
    content_json: bytes
    checkpoint: str  # empty: the runtime's own
    timeout: timedelta | None = None  # of one attempt; None: as the agent has it
    inputs: tuple[str, ...] | None = None  # the files of the body; None: as the agent has it
    previews: Previews | None = None  # None: they are no results
    quota: Quota = field(default_factory=Quota)  # of the key
    include: tuple[Extra, ...] = ()  # what the callback has besides
    callback_url: str = field(default="", repr=False)  # where its end is told, too


@dataclass(frozen=True, slots=True, kw_only=True)
class Reader:
    """Who asks for tasks."""

    tenant: str
    all_tenants: bool = False

    def may_see(self, tenant: str) -> bool:
        """Whether the tasks of a tenant exist for it."""
        return self.all_tenants or tenant == self.tenant


@dataclass(frozen=True, slots=True, kw_only=True)
class Depth:
    """About how many messages a queue has."""

    queued: int
    running: int  # in the hands of agents
    dead_letters: int


@dataclass(frozen=True, slots=True, kw_only=True)
class DeadLetter:
    """One message that was parked, as long as it is held."""

    message_id: str
    queue: str  # a runtime's name, or `WEBHOOKS`
    body: str = field(repr=False)
    receipt: str = field(repr=False)
    sent_at: datetime
    reason: str = ""  # as whoever parked it says


@dataclass(frozen=True, slots=True, kw_only=True)
class Claim:
    """What a submission with an idempotency key wants to hold."""

    tenant: str
    key: str = field(repr=False)  # may be a secret of the client's
    fingerprint: str  # SHA-256 of what the client sent
    uid: Uid


@dataclass(frozen=True, slots=True, kw_only=True)
class Held:
    """Who holds an idempotency key."""

    uid: Uid
    fingerprint: str
    claimed_at: datetime
    accepted: bool  # whether the submission is known to be queued


@dataclass(frozen=True, slots=True, kw_only=True)
class Choice:
    """The runtime that takes a task."""

    runtime: Runtime
    # What the runtime must load or, of a fixed one, compare with its own; empty if nothing.
    checkpoint: str


def choose(runtimes: Sequence[Runtime], task: Submission) -> Choice:
    """The runtime of a task; raises `RejectedError` if there is none.

    api.md: the runtime that was named, else the one whose `modelFilename` the checkpoint is,
    else one with `dynamicModel: true`. A fixed runtime is refused another model than its own.
    """
    runtime = _named(runtimes, task.runtime) if task.runtime else _serving(runtimes, task)
    if task.tasktype not in runtime.tasktypes:
        message = (
            f"runtime '{runtime.name}' is of type {runtime.type} and does not take "
            f"'{task.tasktype}'; it takes: {_listed(runtime.tasktypes)}"
        )
        raise RejectedError(
            f"Incorrect payload structure, tasktype: {message}",
            code="invalid_request",
            errors=(FieldError("tasktype", message),),
        )
    if not runtime.dynamic_model:
        _check_own(runtime, task.checkpoint)
    # Only the runtime knows whether a hash is that of its own.
    tells = runtime.dynamic_model or has_hash(task.checkpoint)
    return Choice(runtime=runtime, checkpoint=task.checkpoint if tells else "")


def _check_own(runtime: Runtime, asked: str) -> None:
    own = runtime.model_filename
    if asked and own and not checkpoints_named(asked, [own]):
        raise RejectedError(
            f"runtime '{runtime.name}' serves '{own}' and not '{asked}'", code="model_not_found"
        )


def _named(runtimes: Sequence[Runtime], name: str) -> Runtime:
    for runtime in runtimes:
        if runtime.name == name:
            return runtime
    known = _listed(runtime.name for runtime in runtimes)
    raise RejectedError(
        f"runtime '{name}' does not exist; there are: {known}", code="runtime_not_found"
    )


def _serving(runtimes: Sequence[Runtime], task: Submission) -> Runtime:
    able = [runtime for runtime in runtimes if task.tasktype in runtime.tasktypes]
    meant = checkpoints_named(task.checkpoint, [one.model_filename or "" for one in able])
    if len(meant) > 1:
        raise RejectedError(
            f"'{task.checkpoint}' may be any of {_listed(meant)}: ask for one by its path",
            code="model_ambiguous",
        )
    for runtime in able:
        if runtime.model_filename in meant:
            return runtime
    for runtime in able:
        if runtime.dynamic_model:
            return runtime
    served = _listed(runtime.model_filename for runtime in runtimes if runtime.model_filename)
    raise RejectedError(
        f"no runtime serves the checkpoint '{task.checkpoint}'; served are: {served}",
        code="model_not_found",
    )


def _listed(names: Iterable[str]) -> str:
    return ", ".join(names) or "none"
