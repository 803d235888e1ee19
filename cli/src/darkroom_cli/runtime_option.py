"""The `--runtime NAME=TYPE@URL[,model=FILE][,dynamic]` option of `darkroom up`."""

from __future__ import annotations

from urllib.parse import urlsplit

from pydantic import ValidationError

from contracts.runtimes import Runtime
from darkroom_cli.embedded.programs import Attached
from darkroom_cli.errors import CommandError

FORM = "NAME=TYPE@URL[,model=FILE][,dynamic]"


def parse_runtime(text: str) -> Attached:
    """Give the runtime that one option names; raises `CommandError` that says what is wrong."""
    name, equals, rest = text.partition("=")
    kind, at, rest = rest.partition("@")
    if not equals or not at:
        raise CommandError(f"--runtime {text}: must look like {FORM}")
    url, *flags = rest.split(",")
    parts = urlsplit(url)
    if parts.scheme not in {"http", "https"} or not parts.hostname:
        raise CommandError(f"--runtime {text}: '{url}' is no http:// or https:// URL")
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
        return Attached(runtime=Runtime.model_validate(fields), url=url.rstrip("/"))
    except ValidationError as error:
        wrong = error.errors(include_input=False)[0]
        raise CommandError(f"--runtime {text}: {wrong['loc'][0]}: {wrong['msg']}") from error
