"""Every knob of the notifier. Read once, in `main`, and nowhere else."""

from __future__ import annotations

from pydantic import Field
from pydantic_settings import SettingsConfigDict

from servicekit.settings import ServiceSettings


class Settings(ServiceSettings):
    """Environment of the notifier; names are `NOTIFIER_<FIELD>`."""

    model_config = SettingsConfigDict(env_prefix="NOTIFIER_")

    grpc_port: int = Field(default=50051, ge=1, le=65535)
    result_topic_arn: str
    table: str
