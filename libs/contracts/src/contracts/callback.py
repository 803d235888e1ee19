"""What the world learns at the end of a task: the callback on the result topic."""

from __future__ import annotations

from typing import Annotated, Any, Final, Literal

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    SerializerFunctionWrapHandler,
    model_serializer,
)

from contracts.cost import CostView
from contracts.ids import TaskIdField, UidField

TerminalStatus = Literal["completed", "failed", "cancelled"]


# Runtimes can say hundreds of kilobytes, and a message of SNS has room for 256 KiB.
MESSAGE_CHARACTERS: Final = 4000


def _shortened(text: str) -> str:
    return text if len(text) <= MESSAGE_CHARACTERS else f"{text[: MESSAGE_CHARACTERS - 1]}…"


class Failure(BaseModel):
    """Why a task failed; a long message is cut."""

    model_config = ConfigDict(frozen=True)

    code: str = Field(description="Stable, for programs.")
    message: Annotated[str, AfterValidator(_shortened)]
    retryable: bool = Field(
        description="Whether the same task may succeed when it is submitted again."
    )


class Callback(BaseModel):
    """The message on the result topic; the first five keys are the original solution's."""

    model_config = ConfigDict(frozen=True)

    id: TaskIdField
    result: bool
    image_url: list[str]
    output_url: str | None  # None only if it was cancelled before it ran
    context: Any
    runtime: str
    status: TerminalStatus
    uid: UidField
    error: Failure | None
    warnings: tuple[str, ...] = Field(
        default=(), description="What the runtime did otherwise than it was asked."
    )

    cost: CostView | None = Field(
        default=None, description="What it has cost; only if `metadata.include` asks for it."
    )

    @model_serializer(mode="wrap")
    def _without_what_is_not_there(
        self, write: SerializerFunctionWrapHandler
    ) -> dict[str, Any]:
        written: dict[str, Any] = write(self)
        if not self.warnings:
            del written["warnings"]
        if self.cost is None:
            del written["cost"]
        return written
