"""Every knob of model-sync. Read once, in `main`, and nowhere else."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

from pydantic import Field
from pydantic_settings import SettingsConfigDict

from servicekit.settings import Duration, GrpcSettings


class Settings(GrpcSettings):
    """Environment of model-sync; names are `MODEL_SYNC_<FIELD>`."""

    model_config = SettingsConfigDict(env_prefix="MODEL_SYNC_")

    grpc_port: int = Field(default=50051, ge=1, le=65535)
    """Port of the catalogue."""
    model_bucket: str
    """Bucket of the models."""
    refresh_interval: Duration = Field(
        default=timedelta(seconds=60), ge=timedelta(seconds=1), le=timedelta(days=1)
    )
    """Between two listings of the bucket."""
    max_models: int = Field(default=10_000, ge=1)
    """Bounds the memory of the catalogue."""
    # Copies the bucket there and ends, instead of serving: for the disks of a GPU node.
    copy_to: Path | None = None
    """Folder to copy the bucket to, instead of serving: for the disks of a GPU node."""
    copy_keys: tuple[str, ...] = ()
    """Patterns of the keys to copy; none: the whole bucket."""
    copy_parallel: int = Field(default=16, ge=1, le=64)
    """Parts of 16 MiB at a time."""
