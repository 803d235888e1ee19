"""The file that lists the configured runtimes; written by the deployment, read by services."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from pydantic import BaseModel, ConfigDict, Field, field_validator

from contracts.kinds import TASKTYPES, RuntimeType, TaskType

WEBHOOKS: Final = "webhooks"
"""Stands for the queue of webhooks where else a runtime is named."""


class Runtime(BaseModel):
    """One configured runtime: a queue, and agents that serve it."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    # A Kubernetes name, because a Deployment and a node pool are called after it.
    name: str = Field(pattern=r"^[a-z0-9]([-a-z0-9]{0,48}[a-z0-9])?$")
    type: RuntimeType
    model_filename: str | None = None
    dynamic_model: bool = False

    @property
    def tasktypes(self) -> tuple[TaskType, ...]:
        """The task types that it takes."""
        return TASKTYPES[self.type]


class RuntimesFile(BaseModel):
    """The whole file: `{"runtimes": [...]}`."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    runtimes: tuple[Runtime, ...] = Field(min_length=1)

    @field_validator("runtimes")
    @classmethod
    def _names_are_unique(cls, runtimes: tuple[Runtime, ...]) -> tuple[Runtime, ...]:
        names = [runtime.name for runtime in runtimes]
        if len(names) != len(set(names)):
            raise ValueError("two runtimes have the same name")
        if WEBHOOKS in names:
            raise ValueError(f"no runtime may be called '{WEBHOOKS}'")
        return runtimes

    @classmethod
    def read(cls, path: Path) -> RuntimesFile:
        """Read the file; raises `OSError` or `pydantic.ValidationError`."""
        return cls.model_validate_json(path.read_bytes())
