"""The message that carries a task from the router through SNS and SQS to a queue agent."""

from __future__ import annotations

from typing import Any, Final

from pydantic import (
    AwareDatetime,
    BaseModel,
    ConfigDict,
    Field,
    ValidationError,
    ValidationInfo,
    field_validator,
    model_validator,
)
from pydantic_core import from_json

from contracts.ids import Key, PrefixField, TaskIdField, UidField, claim_key
from contracts.kinds import Previews, TaskType

CONTENT_LIMIT_BYTES: Final = 10 * 2**20
"""The largest request body that is taken (api.md: 413)."""


class UndecodableError(ValueError):
    """A message body that is no task message; it must go to the DLQ, never be deleted."""


class TaskMessage(BaseModel):
    """One submission, on its way to the agent that will do it."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    version: int = 1
    uid: UidField
    id: TaskIdField
    runtime: str
    tasktype: TaskType
    prefix: PrefixField
    bucket: str
    checkpoint: str | None = None  # asked of a runtime that switches checkpoints
    accepted_at: AwareDatetime
    timeout_seconds: float | None = Field(default=None, ge=1, le=86400)  # of the run, as asked
    inputs: tuple[str, ...] | None = None  # places in the content; None: as the agent has it
    previews: Previews | None = None  # None: they are no results
    content: dict[str, Any] | None = None  # the runtime's own body ...
    content_key: Key | None = None  # ... or its key in the claim-check bucket

    @field_validator("content_key")
    @classmethod
    def _content_is_its_own(cls, key: Key | None, info: ValidationInfo) -> Key | None:
        if key is not None and "uid" in info.data and key != claim_key(info.data["uid"]):
            raise ValueError("must be the key of this uid")
        return key

    @model_validator(mode="after")
    def _content_is_somewhere(self) -> TaskMessage:
        if (self.content is None) == (self.content_key is None):
            raise ValueError("either content or content_key must be set")
        return self

    @classmethod
    def decode(cls, body: bytes | str) -> TaskMessage:
        """The checked message; raises `UndecodableError` and shows nothing of the body."""
        try:
            return cls.model_validate_json(body)
        except ValidationError as error:
            fields = {".".join(map(str, e["loc"])) or "body" for e in error.errors()}
            raise UndecodableError(f"wrong or missing: {', '.join(sorted(fields))}") from None


def decode_content(text: bytes) -> dict[str, Any]:
    """A runtime's body from its JSON text; raises `UndecodableError`."""
    try:
        content = from_json(text)
    except ValueError:
        raise UndecodableError("content is not JSON") from None
    if not isinstance(content, dict):
        raise UndecodableError("content is not an object")
    return content
