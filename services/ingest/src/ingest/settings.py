"""Every knob of ingest. Read once, in `main`, and nowhere else."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

from pydantic import Field
from pydantic_settings import SettingsConfigDict

from servicekit.settings import GrpcSettings

_SOON = timedelta(milliseconds=1)


class Settings(GrpcSettings):
    """Environment of ingest; names are `INGEST_<FIELD>`.

    `ops_port` has no effect here: the operators' routes are on `http_port`.
    """

    model_config = SettingsConfigDict(env_prefix="INGEST_", frozen=True, extra="ignore")

    http_port: int = Field(default=8080, ge=0, le=65535)  # REST and the operators' routes
    grpc_port: int = Field(default=50051, ge=0, le=65535)
    # Clients watch tasks in one call, which is not cut off while most tasks last.
    grpc_connection_grace: timedelta = Field(default=timedelta(hours=1), ge=_SOON)
    api_keys_file: Path  # {"keys": [{"name", "tenant", "sha256", "rate_per_second", "burst"}]}
    router_target: str = Field(min_length=1)  # host:port
    model_sync_target: str = Field(min_length=1)  # host:port
    notifier_target: str = Field(min_length=1)  # host:port
    rate_per_second: float = Field(default=30, gt=0, allow_inf_nan=False)  # of one key
    burst: int = Field(default=50, ge=1)  # of one key
    call_timeout: timedelta = Field(default=timedelta(seconds=5), ge=_SOON)
    submit_timeout: timedelta = Field(default=timedelta(seconds=10), ge=_SOON)
    body_timeout: timedelta = Field(default=timedelta(seconds=60), ge=_SOON)  # to read a body
    streams: int = Field(default=500, ge=1)  # of events at the same time, waits included
    watch_timeout: timedelta = Field(default=timedelta(minutes=5), ge=_SOON)  # of a call
    watch_patience: timedelta = Field(default=timedelta(seconds=60), ge=timedelta(0))
    readiness_interval: timedelta = Field(default=timedelta(seconds=1), ge=_SOON)
