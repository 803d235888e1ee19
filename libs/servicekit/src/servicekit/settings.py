"""What every service lets its operator set, and how a wrong setting is told."""

from __future__ import annotations

import argparse
import json
import re
import sys
import textwrap
from datetime import timedelta
from pathlib import Path
from typing import Annotated, Final, TypeVar

from pydantic import BeforeValidator, Field, ValidationError
from pydantic.fields import FieldInfo
from pydantic_core import to_jsonable_python
from pydantic_settings import BaseSettings, SettingsConfigDict, SettingsError

_DURATION: Final = "is no duration; write seconds, as 90, or ISO 8601, as PT90S"


def _seconds(value: object) -> object:
    """Take a plain number as seconds; the other forms are `PT90S` and `00:01:30`."""
    try:
        return timedelta(seconds=float(value)) if isinstance(value, str) else value
    except (ValueError, OverflowError):
        return value


class _Input:
    """Marks a file that the service reads, so that it must be there."""


Duration = Annotated[timedelta, BeforeValidator(_seconds)]
InputFile = Annotated[Path, _Input]


class ServiceSettings(BaseSettings):
    """The knobs that all services share; a subclass adds its prefix and its own.

    The docstring of a field is what `--help` says of it.
    """

    model_config = SettingsConfigDict(
        frozen=True, extra="ignore", use_attribute_docstrings=True
    )

    host: str = "127.0.0.1"
    """Address that gRPC and HTTP bind; charts set 0.0.0.0."""
    ops_port: int = Field(default=9090, ge=0, le=65535)
    """Port of /healthz, /readyz and /metrics."""
    log_level: str = Field(default="INFO", pattern="^(DEBUG|INFO|WARNING|ERROR)$")
    """DEBUG, INFO, WARNING or ERROR."""


class GrpcSettings(ServiceSettings):
    """The knobs of a service that others call over gRPC, beside those of all services."""

    # See `servicekit.rpc.Renewal`.
    grpc_connection_age: Duration = Field(default=timedelta(minutes=2), ge=timedelta(seconds=1))
    """A connection ends at this age; clients look for new pods then."""
    grpc_connection_grace: Duration = Field(
        default=timedelta(seconds=30), ge=timedelta(seconds=1)
    )
    """Time that calls of an ending connection have to finish."""


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
        if missing := _unreadable(settings):
            sys.stderr.write(f"{parser.prog}: wrong settings: {'; '.join(missing)}\n")
            raise SystemExit(2)
        sys.stdout.write("settings are valid\n")
        raise SystemExit(0)
    return settings


def _variable(kind: type[ServiceSettings], field: object) -> str:
    return f"{kind.model_config.get('env_prefix', '')}{field}".upper()


def _unreadable(settings: ServiceSettings) -> list[str]:
    """Say which files that the service reads are not there; they may come later than it."""
    found = []
    for name, field in type(settings).model_fields.items():
        if _Input in field.metadata:
            try:
                getattr(settings, name).open("rb").close()
            except OSError as error:
                found.append(f"{_variable(type(settings), name)}: {error.strerror}")
    return found


def _sentence(error: ValidationError | SettingsError, kind: type[ServiceSettings]) -> str:
    if isinstance(error, SettingsError):  # tells the field in its text only
        field = re.search(r'field "(\w+)"', str(error))
        name = _variable(kind, field[1]) if field else "settings"
        return f"wrong settings: {name}: is not JSON"
    parts = []
    for item in error.errors(include_input=False, include_url=False):
        name = _variable(kind, item["loc"][0]) if item["loc"] else "settings"
        said = {"missing": "is not set", "time_delta_parsing": _DURATION}
        parts.append(f"{name}: {said.get(item['type'], item['msg'])}")
    return "wrong settings: " + "; ".join(parts)


def _list_variables(kind: type[ServiceSettings]) -> str:
    lines = ["environment variables (durations as 90 or PT90S, lists as JSON):"]
    for name, field in kind.model_fields.items():
        lines.append(f"  {_variable(kind, name)}  ({_default(field)})")
        if field.description:
            said = " ".join(field.description.split())
            lines += textwrap.wrap(said, 92, initial_indent=" " * 6, subsequent_indent=" " * 6)
    return "\n".join(lines)


def _default(field: FieldInfo) -> str:
    """Say what holds where nothing is set, in the form in which it would be set."""
    if field.is_required():
        return "required"
    value = to_jsonable_python(field.get_default(call_default_factory=True))
    if value in (None, ""):
        return "not set by default"
    return f"default {value if isinstance(value, str) else json.dumps(value)}"
