"""Every knob of the notifier. Read once, in `main`, and nowhere else."""

from __future__ import annotations

from datetime import timedelta

from pydantic import Field
from pydantic_settings import SettingsConfigDict

from servicekit.settings import Duration, GrpcSettings

_SOON = timedelta(milliseconds=1)


class Settings(GrpcSettings):
    """Environment of the notifier; names are `NOTIFIER_<FIELD>`."""

    model_config = SettingsConfigDict(env_prefix="NOTIFIER_")

    grpc_port: int = Field(default=50051, ge=1, le=65535)
    """Port for agents and for ingest."""
    result_topic_arn: str
    """Topic of the callbacks."""
    table: str
    """Table of the ledger."""
    failures: int = Field(default=3, ge=1)
    """Failures of the platform after which a task is given up."""
    receives: int = Field(default=10, ge=1)
    """maxReceiveCount of the redrive policy of the queues."""
    progress_interval: Duration = Field(default=timedelta(seconds=1), ge=timedelta(0))
    """Between two writes of the progress of one task."""
    watch_poll: Duration = Field(default=timedelta(seconds=0.5), ge=_SOON)
    """Between two looks at a watched task."""
    watchers: int = Field(default=1000, ge=1)
    """Watchers of tasks at the same time."""
    sweep_interval: Duration = Field(default=timedelta(seconds=30), ge=_SOON)
    """Between two searches for callbacks that were not sent."""
    sweep_age: Duration = Field(default=timedelta(seconds=60), ge=timedelta(0))
    """A callback that is due for longer was not sent, and is sent by a search."""
    dead_letter_queues: tuple[str, ...] = ()
    """URLs of the dead-letter queues of all runtimes, as a JSON list."""
    queue_prefix: str = ""
    """What the names of the queues begin with, before `-`, the runtime, and `-dlq`."""
    output_bucket: str = ""
    """Bucket of the results, for the records of tasks that were published past the router."""
    parked_interval: Duration = Field(default=timedelta(seconds=30), ge=_SOON)
    """Between two looks whether messages were parked."""
