"""What the queue agent works on. Nothing here does I/O."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Literal

from contracts.callback import Failure
from contracts.cost import Cost
from contracts.ids import Uid
from contracts.kinds import TaskType
from contracts.message import TaskMessage
from contracts.places import OutputPlace
from contracts.verdict import Verdict
from queue_agent.files.body import Body, FileBody
from servicekit.errors import AppError, FatalError, RejectedError, TransientError

Capacity = Literal["on-demand", "spot"]


class QueueMissingError(FatalError):
    """There is no such queue: nothing to wait for."""


class UnworkableError(AppError):
    """A message that this agent must release at once and never delete."""


class PoisonedError(UnworkableError):
    """A task that has failed too often: its message is released to be parked."""


class InterruptionError(AppError):
    """The delivery is interrupted, by a stop or with a lost runtime; the text says which."""


class CancelledByClientError(AppError):
    """The client took the task back while it was staged or ran."""


class LeaseLostError(TransientError):
    """The message belongs to somebody else now: stop, and touch nothing."""


class RuntimeLostError(TransientError):
    """The runtime cannot be worked with; only the run that it was executing may be why."""


class RuntimeGoneError(RuntimeLostError):
    """Nobody listens where the runtime was: it has ended, or is being started."""


class RuntimeUnwellError(RuntimeLostError):
    """The runtime is there; if this lasts, only a restart can help."""


class RuntimeSilentError(RuntimeUnwellError):
    """The runtime took too long to answer, as it may while it loads a model."""


class RuntimeHangsError(RuntimeUnwellError):
    """The runtime goes on with a run that it was told to end."""


class RuntimeBrokenError(RuntimeLostError):
    """The runtime answers, but every run fails until it is started anew."""


class RunInterruptedError(TransientError):
    """Somebody else interrupted the runtime while it ran our job."""


class InputUnavailableError(AppError):
    """One input could not be read; the text shows no secret and `retryable` is a guess."""

    def __init__(self, message: str, *, retryable: bool = False) -> None:
        super().__init__(message)
        self.retryable = retryable


class TaskFailedError(RejectedError):
    """The task cannot be done: a result that the client is told.

    `answer` is what the runtime itself said, for the `.out` document only.
    """

    def __init__(
        self, message: str, *, code: str, retryable: bool = False, answer: object = None
    ) -> None:
        super().__init__(message, code=code)
        self.failure = Failure(code=code, message=message, retryable=retryable)
        self.answer = answer


@dataclass(frozen=True, slots=True, kw_only=True)
class Node:
    """The machine that the runtime works on, as far as it is known."""

    type: str = ""  # as `g5.2xlarge`
    capacity: str = ""  # spot or on-demand
    gpus: int = 1
    since: datetime | None = None  # when this pod had it, or Karpenter made it for the pod


@dataclass(frozen=True, slots=True, kw_only=True)
class Delivery:
    """One hand-over of one message; a redelivery is a new `Delivery`."""

    body: bytes = field(repr=False)
    receipt: str = field(repr=False)
    receives: int  # 1 on the first hand-over
    message_id: str = ""  # the same for each delivery of the message, as is `sent_at`
    sent_at: datetime | None = None
    attributes: Mapping[str, str] = field(default_factory=dict)  # the message's text attributes


@dataclass(frozen=True, slots=True, kw_only=True)
class Incoming:
    """What a delivery asks for; `context_json` is set if it has to be recorded first."""

    message: TaskMessage
    context_json: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Begun:
    """The notifier's answer to a delivery; `attempt` counts from 1 if it may proceed."""

    verdict: Verdict
    attempt: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Task:
    """One attempt of one submission."""

    message: TaskMessage = field(repr=False)
    attempt: int

    @property
    def uid(self) -> Uid:
        """The submission's name."""
        return self.message.uid

    @property
    def place(self) -> OutputPlace:
        """The folder of its files."""
        it = self.message
        return OutputPlace(bucket=it.bucket, prefix=it.prefix, id=it.id, uid=it.uid)


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """What a runtime is asked to do: a body with every input in place.

    A large input is not in `content` itself: a placeholder token is there, and the request has
    the input as base64.
    """

    uid: Uid
    attempt: int
    tasktype: TaskType
    content: Mapping[str, Any] = field(repr=False)
    checkpoint: str | None = None  # must be loaded, by whichever of its names
    inputs: Mapping[str, Body] = field(default_factory=dict, repr=False)  # by placeholder token
    request: Body | None = field(default=None, repr=False)  # ready to be sent, if it is
    keep_previews: bool = False  # they are results, too


@dataclass(frozen=True, slots=True, kw_only=True)
class Leftovers:
    """What an attempt leaves at the runtime: what it made there, and its inputs."""

    uid: Uid
    attempt: int
    uploads: list[str] = field(default_factory=list)  # by the names that the runtime gave


@dataclass(frozen=True, slots=True, kw_only=True)
class File:
    """One file that a runtime made, unchanged; `name` is the runtime's own, if it has one."""

    body: Body = field(repr=False)
    name: str = ""
    is_grid: bool = False  # it shows the others together
    ref: tuple[str, ...] = ()  # by which the runtime's answer names it


@dataclass(frozen=True, slots=True, kw_only=True)
class Generated:
    """A finished run: the files and the rest of the runtime's answer."""

    files: tuple[File, ...]
    answer: Mapping[str, Any] = field(repr=False)
    has_text: bool = False  # the answer itself holds results
    why_nothing: str = ""  # what to do about it if there are no results
    warnings: tuple[str, ...] = ()  # what the runtime did otherwise than it was asked


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What is to be stored and told; complete if it is neither a failure nor cancelled."""

    task: Task
    document: Mapping[str, Any] = field(repr=False)  # the `.out`
    files: tuple[File, ...] = ()
    warnings: tuple[str, ...] = ()
    failure: Failure | None = None
    cancelled: bool = False  # by the client
    started_at: datetime | None = None  # when the runtime began with it; None if it did not
    cost: Cost | None = None

    def close(self) -> None:
        """Free the space of the files, which are stored elsewhere now or made again."""
        for file in self.files:
            if isinstance(file.body, FileBody):
                file.body.close()


@dataclass(frozen=True, slots=True, kw_only=True)
class Stored:
    """An outcome whose files are in the bucket, as `s3://` URLs."""

    image_url: tuple[str, ...]
    output_url: str
    failure: Failure | None
    warnings: tuple[str, ...] = ()
    cancelled: bool = False  # by the client
    started_at: datetime | None = None  # when the runtime began with it; None if it did not
    cost: Cost | None = None
