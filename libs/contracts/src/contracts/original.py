"""The original solution's message on the task topic, which producers may publish themselves."""

from __future__ import annotations

import hashlib
from datetime import datetime
from typing import Annotated, Any, Final

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError
from pydantic_core import to_json
from ulid import ULID

from contracts.ids import DEFAULT_PREFIX, PrefixField, TaskIdField, Uid
from contracts.kinds import TaskType
from contracts.message import TaskMessage, UndecodableError
from contracts.scripts import WebuiBody, without_routing

CONTEXT_LIMIT_BYTES: Final = 16 * 1024
LEGACY: Final = "legacy"  # names no runtime: the checkpoint has routed it


def _context(value: object) -> str:
    text = to_json(value)
    if len(text) > CONTEXT_LIMIT_BYTES:
        raise ValueError(f"must not be longer than {CONTEXT_LIMIT_BYTES} bytes")
    return text.decode()


class _Metadata(BaseModel):
    id: TaskIdField
    runtime: str
    tasktype: TaskType
    prefix: PrefixField = DEFAULT_PREFIX
    context: Annotated[Any, AfterValidator(_context)] = Field(default_factory=lambda: "{}")


class OriginalMessage(BaseModel):
    """`{"metadata": ..., "content": ...}`, as the original solution's parser published it."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    metadata: _Metadata
    content: dict[str, Any]

    @classmethod
    def decode(cls, body: bytes | str) -> OriginalMessage:
        """The checked message; raises `UndecodableError` and shows nothing of the body."""
        try:
            return cls.model_validate_json(body)
        except ValidationError as error:
            fields = {".".join(map(str, e["loc"])) or "body" for e in error.errors()}
            raise UndecodableError(f"wrong or missing: {', '.join(sorted(fields))}") from None

    def body(self) -> tuple[dict[str, Any], str | None]:
        """The runtime's own body without routing, and the checkpoint that was asked for.

        Raises `UndecodableError`.
        """
        if self.metadata.tasktype is TaskType.PIPELINE:
            return self.content, None
        content = {key: self.content[key] for key in self.content if key != "s3_output_path"}
        try:
            webui = WebuiBody.model_validate(content)
        except ValidationError:
            raise UndecodableError("wrong: content") from None
        asked = (webui.override_settings or {}).get("sd_model_checkpoint")
        if scripts := webui.alwayson_scripts:
            content = without_routing(content, scripts, self.metadata.tasktype)
            asked = scripts.sd_model_checkpoint or asked
        return content, asked if isinstance(asked, str) else None

    def task(
        self, *, runtime: str, bucket: str, message_id: str, sent_at: datetime
    ) -> TaskMessage:
        """The task that it is in the queue of a runtime: the same for each of its deliveries.

        Raises `UndecodableError`, also if it is for another runtime.
        """
        content, checkpoint = self.body()
        asked = self.metadata
        if asked.runtime.lower() not in {runtime, LEGACY}:
            raise UndecodableError("it is for another runtime")
        return TaskMessage(
            uid=uid_of_message(message_id, sent_at),
            id=asked.id,
            runtime=runtime,
            tasktype=asked.tasktype,
            prefix=asked.prefix,
            bucket=bucket,
            checkpoint=checkpoint,
            accepted_at=sent_at,
            content=content,
        )


def uid_of_message(message_id: str, sent_at: datetime) -> Uid:
    """The uid of a message that brought none: the same for each of its deliveries."""
    milliseconds = int(sent_at.timestamp() * 1000).to_bytes(6, "big")
    digest = hashlib.sha256(message_id.encode()).digest()
    return Uid(str(ULID.from_bytes(milliseconds + digest[:10])))
