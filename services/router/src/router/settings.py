"""Every knob of the router. Read once, in `main`, and nowhere else."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

from pydantic import Field
from pydantic_settings import SettingsConfigDict

from servicekit.settings import GrpcSettings


class Settings(GrpcSettings):
    """Environment of the router; names are `ROUTER_<FIELD>`."""

    model_config = SettingsConfigDict(env_prefix="ROUTER_")

    grpc_port: int = Field(default=50051, ge=1, le=65535)
    runtimes_file: Path  # {"runtimes": [{"name", "type", "model_filename", "dynamic_model"}]}
    task_topic_arn: str
    table: str
    output_bucket: str
    claim_bucket: str
    model_sync_target: str  # host:port
    model_sync_timeout: timedelta = timedelta(seconds=5)
    notifier_target: str  # host:port
    notifier_timeout: timedelta = timedelta(seconds=5)
    fair_queues: bool = True  # publish with the tenant as message group
