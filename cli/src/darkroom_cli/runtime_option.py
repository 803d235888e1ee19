"""`--runtime NAME=TYPE@URL[,model=FILE][,dynamic]` and `--with SERVER[=DIR]` of `up`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from urllib.parse import urlsplit

from pydantic import ValidationError

from contracts.kinds import RuntimeType
from contracts.runtimes import Runtime
from darkroom_cli.embedded.programs import HOST, Attached
from darkroom_cli.errors import CommandError
from darkroom_cli.runtimes.installed import place_of
from darkroom_cli.runtimes.known import server_named
from darkroom_cli.runtimes.served import served_from
from servicekit.listen import free_port

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


def parse_servers(
    texts: Sequence[str], home: Path, others: Sequence[Attached] = ()
) -> tuple[Attached, ...]:
    """The installed servers that all options name, on free ports; raises `CommandError`."""
    names = {each.runtime.name for each in others}
    found = []
    for text in texts:
        name, _, folder = text.partition("=")
        if name in names:
            raise CommandError(f"--with {text}: another runtime has the name '{name}'")
        names.add(name)
        server = server_named(name)
        served = served_from(server, place_of(server, home, Path(folder) if folder else None))
        dynamic = (
            server.type is RuntimeType.SDWEBUI
        )  # the others are told a model by each graph
        runtime = Runtime(name=name, type=server.type, dynamic_model=dynamic)
        url = f"http://{HOST}:{free_port()}"
        found.append(Attached(runtime=runtime, url=url, served=served))
    return tuple(found)


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
