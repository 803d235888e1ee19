"""The `--runtime NAME=TYPE@URL[,model=FILE][,dynamic]` option of `darkroom up`."""

from __future__ import annotations

from collections.abc import Sequence
from urllib.parse import urlsplit

from pydantic import ValidationError

from contracts.runtimes import Runtime
from darkroom_cli.embedded.programs import Attached
from darkroom_cli.errors import CommandError

FORM = "NAME=TYPE@URL[,model=FILE][,dynamic]"


def parse_runtimes(texts: Sequence[str]) -> tuple[Attached, ...]:
    """The runtimes that all options name; raises `CommandError`."""
    found: dict[str, Attached] = {}
    for text in texts:
        attached = parse_runtime(text)
        name = attached.runtime.name
        if name in found:
            raise CommandError(f"--runtime {text}: another runtime has the name '{name}'")
        found[name] = attached
    return tuple(found.values())


def parse_runtime(text: str) -> Attached:
    """The runtime that one option names; raises `CommandError` that says what is wrong."""
    name, equals, rest = text.partition("=")
    kind, at, rest = rest.partition("@")
    if not equals or not at:
        raise CommandError(f"--runtime {text}: must look like {FORM}")
    url, *flags = rest.split(",")
    url = _server(url, text)
    fields: dict[str, object] = {"name": name.lower(), "type": kind}
    for flag in flags:
        key, has_value, value = flag.partition("=")
        if key == "model" and value:
            fields["model_filename"] = value
        elif key == "dynamic" and not has_value:
            fields["dynamic_model"] = True
        else:
            raise CommandError(f"--runtime {text}: '{flag}' is neither model=FILE nor dynamic")
    try:
        return Attached(runtime=Runtime.model_validate(fields), url=url)
    except ValidationError as error:
        wrong = error.errors(include_input=False)[0]
        raise CommandError(f"--runtime {text}: {wrong['loc'][0]}: {wrong['msg']}") from error


def _server(url: str, text: str) -> str:
    """The URL of a server, without a slash at its end; raises `CommandError`."""
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError as error:
        raise CommandError(f"--runtime {text}: '{url}': {error}") from error
    if parts.scheme not in {"http", "https"} or not parts.hostname or port == 0:
        raise CommandError(f"--runtime {text}: '{url}' is no http:// or https:// URL")
    if parts.path.strip("/") or "?" in url or "#" in url:
        raise CommandError(
            f"--runtime {text}: '{url}' must end after the host and port, without a path"
        )
    return f"{parts.scheme}://{parts.netloc}"
