"""Every knob of ingest. Read once, in `main`, and nowhere else."""

from __future__ import annotations

from datetime import timedelta
from typing import Annotated

from pydantic import Field
from pydantic_settings import SettingsConfigDict

from contracts.message import CONTENT_LIMIT_BYTES
from servicekit.settings import Duration, GrpcSettings, InputFile

_ORIGIN = r"^(\*|https?://[^/]+)$"
_SOON = timedelta(milliseconds=1)


class Settings(GrpcSettings):
    """Environment of ingest; names are `INGEST_<FIELD>`.

    `ops_port` has no effect here: the operators' routes are on `http_port`.
    """

    model_config = SettingsConfigDict(env_prefix="INGEST_", frozen=True, extra="ignore")

    http_port: int = Field(default=8080, ge=0, le=65535)
    """Port of REST and of the operators' routes."""
    grpc_port: int = Field(default=50051, ge=0, le=65535)
    """Port of the public gRPC API."""
    # Clients watch tasks in one call, which is not cut off while most tasks last.
    grpc_connection_grace: Duration = Field(default=timedelta(hours=1), ge=_SOON)
    """Time that calls of an ending connection have to finish; most tasks end within it."""
    api_keys_file: InputFile
    """Hashes of keys, as `darkroom keys` writes them."""
    api_keys_secret: str = ""
    """Secret of AWS Secrets Manager with more of them, by name or ARN; empty: none."""
    api_keys_secret_interval: Duration = Field(default=timedelta(seconds=30), ge=_SOON)
    """Between two looks at that secret, each of which costs something."""
    router_target: str = Field(min_length=1)
    """host:port of the router."""
    model_sync_target: str = Field(min_length=1)
    """host:port of model-sync."""
    notifier_target: str = Field(min_length=1)
    """host:port of the notifier."""
    rate_per_second: float = Field(default=30, gt=0, allow_inf_nan=False)
    """Requests a second of one key whose entry names no rate."""
    burst: int = Field(default=50, ge=1)
    """Requests at one moment of one key whose entry names no burst."""
    replicas: int = Field(default=1, ge=1)
    """How many ingests share the rate and the burst of each key; each takes its part."""
    call_timeout: Duration = Field(default=timedelta(seconds=5), ge=_SOON)
    """Of a call to another service."""
    submit_timeout: Duration = Field(default=timedelta(seconds=10), ge=_SOON)
    """Of a submission to the router."""
    operator_timeout: Duration = Field(default=timedelta(seconds=25), ge=_SOON)
    """Of a call to the router that looks through dead letters; API Gateway waits for 29 s."""
    body_timeout: Duration = Field(default=timedelta(seconds=60), ge=_SOON)
    """Time to read the body of a request."""
    body_bytes: int = Field(default=64 * 2**20, ge=CONTENT_LIMIT_BYTES)
    """Of all requests that are read or handed in at the same time."""
    cors_origins: tuple[Annotated[str, Field(pattern=_ORIGIN)], ...] = ()
    """Whose pages may call REST: `https://studio.example.com`, or `*`."""
    native_wait: Duration = Field(default=timedelta(minutes=14), ge=_SOON)
    """Time that a call of another API waits for its task; API Gateway allows 15 minutes."""
    streams: int = Field(default=500, ge=1)
    """Streams of events at the same time, waits included."""
    watch_timeout: Duration = Field(default=timedelta(minutes=5), ge=_SOON)
    """Of one call to the notifier that watches a task."""
    watch_patience: Duration = Field(default=timedelta(seconds=60), ge=timedelta(0))
    """How long a stream goes on while the notifier is away."""
    readiness_interval: Duration = Field(default=timedelta(seconds=1), ge=_SOON)
    """Between two looks for the router at the start."""
