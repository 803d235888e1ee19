"""Every knob of the notifier. Read once, in `main`, and nowhere else."""

from __future__ import annotations

from datetime import timedelta

from pydantic import Field
from pydantic_settings import SettingsConfigDict

from servicekit.settings import GrpcSettings

_SOON = timedelta(milliseconds=1)


class Settings(GrpcSettings):
    """Environment of the notifier; names are `NOTIFIER_<FIELD>`."""

    model_config = SettingsConfigDict(env_prefix="NOTIFIER_")

    grpc_port: int = Field(default=50051, ge=1, le=65535)
    result_topic_arn: str
    table: str
    failures: int = Field(default=3, ge=1)  # of the platform, after which a task is given up
    receives: int = Field(default=10, ge=1)  # maxReceiveCount of the queues' redrive policy
    progress_interval: timedelta = Field(default=timedelta(seconds=1), ge=timedelta(0))
    watch_poll: timedelta = Field(default=timedelta(seconds=0.5), ge=_SOON)
    watchers: int = Field(default=1000, ge=1)  # at the same time
    sweep_interval: timedelta = Field(default=timedelta(seconds=30), ge=_SOON)
    sweep_age: timedelta = Field(default=timedelta(seconds=60), ge=timedelta(0))
