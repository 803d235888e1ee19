"""Every knob of the router. Read once, in `main`, and nowhere else."""

from __future__ import annotations

from datetime import timedelta

from pydantic import Field
from pydantic_settings import SettingsConfigDict

from servicekit.settings import Duration, GrpcSettings, InputFile


class Settings(GrpcSettings):
    """Environment of the router; names are `ROUTER_<FIELD>`."""

    model_config = SettingsConfigDict(env_prefix="ROUTER_")

    grpc_port: int = Field(default=50051, ge=1, le=65535)
    """Port for ingest."""
    runtimes_file: InputFile
    """{"runtimes": [{"name", "type", "model_filename", "dynamic_model"}]}."""
    task_topic_arn: str
    """Topic that the queues of the runtimes subscribe to."""
    table: str
    """Table of the ledger."""
    output_bucket: str
    """Bucket of the results."""
    claim_bucket: str
    """Bucket of contents that are too large for a message."""
    model_sync_target: str
    """host:port of model-sync."""
    model_sync_timeout: Duration = timedelta(seconds=5)
    """Of a call to model-sync."""
    notifier_target: str
    """host:port of the notifier."""
    notifier_timeout: Duration = timedelta(seconds=5)
    """Of a call to the notifier."""
    queue_prefix: str
    """What the names of the queues begin with, before `-` and the runtime."""
    keep_requests: bool = True
    """Keep the requests of tasks, up to 16 KiB packed, as long as their records."""
    fair_queues: bool = True
    """Publish with the tenant as message group."""
