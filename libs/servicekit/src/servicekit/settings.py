"""What every service lets its operator set, and how a wrong setting is told."""

from __future__ import annotations

import argparse
import re
import sys
from datetime import timedelta
from typing import TypeVar

from pydantic import Field, ValidationError
from pydantic_settings import BaseSettings, SettingsConfigDict, SettingsError


class ServiceSettings(BaseSettings):
    """The knobs that all services share; a subclass adds its prefix and its own."""

    model_config = SettingsConfigDict(frozen=True, extra="ignore")

    host: str = "127.0.0.1"  # address that gRPC and HTTP bind; charts set 0.0.0.0
    ops_port: int = Field(default=9090, ge=0, le=65535)  # /healthz, /readyz, /metrics
    log_level: str = Field(default="INFO", pattern="^(DEBUG|INFO|WARNING|ERROR)$")


class GrpcSettings(ServiceSettings):
    """The knobs of a service that others call over gRPC, beside those of all services."""

    # Clients look for new pods when a connection ends; see `servicekit.rpc.Renewal`.
    grpc_connection_age: timedelta = Field(
        default=timedelta(minutes=2), ge=timedelta(seconds=1)
    )
    grpc_connection_grace: timedelta = Field(
        default=timedelta(seconds=30), ge=timedelta(seconds=1)
    )


S = TypeVar("S", bound=ServiceSettings)


def read_settings(kind: type[S], description: str, argv: list[str] | None = None) -> S:
    """Read the environment, after `--check` and `--help` were looked for in `argv`.

    Ends the process: with 0 after `--check` or `--help`, with 2 and one sentence that names
    each wrong or missing variable.
    """
    parser = argparse.ArgumentParser(description=description, epilog=_list_variables(kind))
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("--check", action="store_true", help="check the settings and exit")
    check = parser.parse_args(argv).check
    try:
        settings = kind()
    except (ValidationError, SettingsError) as error:
        sys.stderr.write(f"{parser.prog}: {_sentence(error, kind)}\n")
        raise SystemExit(2) from None
    if check:
        sys.stdout.write("settings are valid\n")
        raise SystemExit(0)
    return settings


def _sentence(error: ValidationError | SettingsError, kind: type[ServiceSettings]) -> str:
    prefix = kind.model_config.get("env_prefix", "")
    if isinstance(error, SettingsError):  # tells the field in its text only
        field = re.search(r'field "(\w+)"', str(error))
        name = f"{prefix}{field[1]}".upper() if field else "settings"
        return f"wrong settings: {name}: is not JSON"
    parts = []
    for item in error.errors(include_input=False, include_url=False):
        name = f"{prefix}{item['loc'][0]}".upper() if item["loc"] else "settings"
        parts.append(f"{name}: {'is not set' if item['type'] == 'missing' else item['msg']}")
    return "wrong settings: " + "; ".join(parts)


def _list_variables(kind: type[ServiceSettings]) -> str:
    prefix = kind.model_config.get("env_prefix", "")
    lines = ["environment variables:"]
    for name, field in kind.model_fields.items():
        default = "required" if field.is_required() else f"default {field.get_default()}"
        lines.append(f"  {prefix}{name.upper()}  ({default})")
    return "\n".join(lines)
