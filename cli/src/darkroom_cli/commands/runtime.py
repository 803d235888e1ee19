"""`darkroom runtime`: Stable Diffusion servers, installed here by their makers' means."""

from __future__ import annotations

import re
import shlex
import sys
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from darkroom_cli.errors import CommandError
from darkroom_cli.interruption import unless
from darkroom_cli.terminal import (
    AsJson,
    attempt,
    notes,
    out,
    run,
    say,
    show_json,
    show_rows,
)
from servicekit.lifecycle import stop_on_signals

if TYPE_CHECKING:
    from rich.console import Console

    from darkroom_cli.runtimes.server import Place, Server, Wish

VERSION = re.compile(r"[0-9A-Za-z][0-9A-Za-z.+_-]{0,63}")

Name = Annotated[str, typer.Argument(help="comfyui, invokeai or sdwebui.", show_default=False)]
Dir = Annotated[
    Path | None,
    typer.Option("--dir", help="Its folder.", show_default="one in the user's data folder"),
]
Yes = Annotated[bool, typer.Option("--yes", help="Don't ask.")]


def runtime_install(
    name: Name,
    folder: Dir = None,
    device: Annotated[
        str, typer.Option(help="What it computes on: auto, cpu, cuda, rocm or mps.")
    ] = "auto",
    version: Annotated[
        str | None, typer.Option(help="Its version.", show_default="a pinned one")
    ] = None,
    source: Annotated[
        Path | None,
        typer.Option(
            help="A checkout that is there already: it is used where it is, and stays.",
            show_default=False,
        ),
    ] = None,
    accepted: Annotated[
        bool,
        typer.Option("--yes", "--accept-licence", help="Accept the licence, and don't ask."),
    ] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Say what it takes and would run; do nothing.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Install a server in an environment of its own; `darkroom up --with NAME` starts it.

    Says first what that takes, and asks. What is broken off goes on with the same command.

    Examples:

    darkroom runtime install comfyui

    darkroom runtime install invokeai --device cpu --yes

    darkroom runtime install comfyui --source ~/ComfyUI --dir ~/servers/comfyui
    """
    server, place, wish = attempt(lambda: _wanted(name, folder, device, version, source))
    if attempt(lambda: _is_there(server, place, wish)):
        say(f"{server.title} is there already: {place.path}")
        if as_json:
            _show_installed(server, place)
        return
    _print_costs(server, place, wish, notes if as_json else out)
    wish = attempt(lambda: _ready(server, place, wish))
    if dry_run:
        _print_steps(server, place, wish, as_json=as_json)
        return
    attempt(lambda: _accept(server, accepted=accepted))
    run(_install(server, place, wish))
    if as_json:
        _show_installed(server, place)


def have_installed(spec: str, *, accepted: bool, console: Console) -> None:
    """Install the server of SERVER[=DIR] as `runtime install` does, unless there is one.

    What that takes is told on `console`.
    """
    from darkroom_cli.runtimes.installed import installed

    name, _, folder = spec.partition("=")
    directory = Path(folder) if folder else None
    server, place, wish = attempt(lambda: _wanted(name, directory, "auto", None, None))
    if attempt(lambda: installed(place)) is not None:
        return
    attempt(lambda: _is_there(server, place, wish))
    _print_costs(server, place, wish, console)
    wish = attempt(lambda: _ready(server, place, wish))
    attempt(lambda: _accept(server, accepted=accepted))
    run(_install(server, place, wish))


def _wanted(
    name: str, folder: Path | None, device: str, version: str | None, source: Path | None
) -> tuple[Server, Place, Wish]:
    from darkroom_cli.embedded.folder import default_folder
    from darkroom_cli.runtimes.installed import place_of
    from darkroom_cli.runtimes.known import server_named
    from darkroom_cli.runtimes.machine import device_for
    from darkroom_cli.runtimes.server import Device, Wish

    server = server_named(name)
    if device not in (devices := ("auto", *Device)):
        raise CommandError(f"--device {device}: must be one of {', '.join(devices)}")
    if version is not None and source is not None:
        raise CommandError("--version and --source: a checkout has its own version")
    if version is not None and not VERSION.fullmatch(version):
        raise CommandError(f"--version {version}: is no version")
    wish = Wish(
        version=version or server.version,
        device=device_for(server, device),
        source=_checkout(server, source) if source else None,
    )
    return server, place_of(server, default_folder(), folder), wish


def _checkout(server: Server, source: Path) -> Path:
    if not (source / server.marker).is_file():
        raise CommandError(
            f"--source {source}: is no checkout of {server.title}, it has no {server.marker}"
        )
    return source.absolute()


def _is_there(server: Server, place: Place, wish: Wish) -> bool:
    """Whether just that is installed; raises `CommandError` if something else is in the way."""
    from darkroom_cli.runtimes.installed import installed, is_strange

    if is_strange(place):
        raise CommandError(f"{place.path} holds something else; choose an empty --dir")
    found = installed(place)
    if found is None or found.fits(server, wish):
        return found is not None
    raise CommandError(
        f"{place.path} holds {found.name} {found.version} for {found.device}, from"
        f" {found.source or 'its maker'}: `darkroom runtime remove {found.name}"
        f" --dir {shlex.quote(str(place.path))}`, or choose another --dir"
    )


def _print_costs(server: Server, place: Place, wish: Wish, console: Console) -> None:
    from darkroom_cli.runtimes.machine import free_gigabytes

    free = free_gigabytes(place.path)
    slow = " (slow: an image takes minutes)" if wish.device == "cpu" else ""
    rows = {
        "server": f"{server.title} {'' if wish.source else wish.version}".strip(),
        "from": str(wish.source or server.origin),
        "licence": server.licence,
        "device": wish.device + slow,
        "folder": str(place.path),
        "disk": f"about {server.room_gigabytes(wish.device)} GB; {free:.0f} GB are free",
        "time": "5 to 30 minutes, most of it for downloads",
    }
    for what, value in rows.items():
        console.print(f"{what:<9}{value}", highlight=False, markup=False, soft_wrap=True)


def _ready(server: Server, place: Place, wish: Wish) -> Wish:
    """The wish with a Python for it; raises `CommandError` if that or room is missing."""
    from darkroom_cli.runtimes.installed import unfinished
    from darkroom_cli.runtimes.machine import check_room, venv_maker

    if unfinished(place) is None:  # which has taken its part already
        check_room(server, wish.device, place.path)
    return replace(wish, make_venv=venv_maker(server))


def _print_steps(server: Server, place: Place, wish: Wish, *, as_json: bool) -> None:
    steps = server.steps(place, wish)
    if as_json:
        show_json([{"title": step.title, "command": list(step.command)} for step in steps])
        return
    for step in steps:
        line = f"{step.title}: {shlex.join(step.command)}"
        out.print(line, highlight=False, markup=False, soft_wrap=True)


def _accept(server: Server, *, accepted: bool) -> None:
    """Return if the licence is accepted; raises `CommandError`."""
    if accepted:
        return
    if not sys.stdin.isatty():
        raise CommandError(
            f"{server.title} has the licence {server.licence}: accept it with --accept-licence,"
            " for here is no terminal to ask on"
        )
    if not typer.confirm(f"Accept the licence {server.licence} and install it?"):
        raise CommandError("the licence was not accepted, and nothing is installed")


async def _install(server: Server, place: Place, wish: Wish) -> None:
    from darkroom_cli.runtimes.steps import install

    with stop_on_signals() as stop:
        finished = await unless(stop, install(server, place, wish, say))
    say(f"{server.title} {finished.version} is installed in {place.path}")
    say(f"start it: {_start_command(server, place)}")


def _show_installed(server: Server, place: Place) -> None:
    show_json({**_row(place), "start": _start_command(server, place)})


def _start_command(server: Server, place: Place) -> str:
    """The command that starts a server in a stack."""
    from darkroom_cli.embedded.folder import default_folder
    from darkroom_cli.runtimes.installed import place_of

    usual = place == place_of(server, default_folder())
    where = "" if usual else f"={shlex.quote(str(place.path))}"
    return f"darkroom up --with {server.name}{where}"


def runtime_list(
    folder: Annotated[
        list[Path] | None,
        typer.Option("--dir", help="Look into this folder as well. Repeat for more."),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """List the servers that are installed in the user's data folder, and in those named.

    Example: darkroom runtime list --dir ~/servers/comfyui
    """
    rows = attempt(lambda: _rows(folder or []))
    if as_json:
        show_json(rows)
    elif not rows:
        say("none is installed: `darkroom runtime install NAME`")
    else:
        show_rows(rows, "name", "version", "device", "state", "folder", wrapped="folder")


def _rows(folders: list[Path]) -> list[dict[str, str]]:
    from darkroom_cli.embedded.folder import default_folder
    from darkroom_cli.runtimes.installed import installed, place_of, unfinished
    from darkroom_cli.runtimes.known import SERVERS
    from darkroom_cli.runtimes.server import Place

    usual = [place_of(server, default_folder()) for server in SERVERS.values()]
    rows = []
    for place in [*usual, *(Place(folder.absolute()) for folder in folders)]:
        if installed(place) or unfinished(place):
            rows.append(_row(place))
    return rows


def _row(place: Place) -> dict[str, str]:
    """What is in a folder in which something is."""
    from darkroom_cli.runtimes.installed import installed, unfinished

    finished = installed(place)
    found = finished or unfinished(place)
    kept = found.model_dump(mode="json", include={"name", "version", "device"}) if found else {}
    state = "installed" if finished else "unfinished"
    return {**kept, "state": state, "folder": str(place.path)}


def runtime_remove(
    name: Name, folder: Dir = None, yes: Yes = False, as_json: AsJson = False
) -> None:
    """Remove what `runtime install` made; the checkout of a --source stays as it is.

    Example: darkroom runtime remove comfyui
    """
    removed = attempt(lambda: _remove(name, folder, yes=yes))
    if as_json:
        show_json(removed)


def _remove(name: str, folder: Path | None, *, yes: bool) -> dict[str, object]:
    from darkroom_cli.embedded.folder import default_folder
    from darkroom_cli.runtimes.installed import installed, place_of, remove, unfinished
    from darkroom_cli.runtimes.known import server_named

    server = server_named(name)
    place = place_of(server, default_folder(), folder)
    found = installed(place) or unfinished(place)
    if found is None or found.name != server.name:
        raise CommandError(f"{server.title} is not installed in {place.path}")
    if not yes:
        if not sys.stdin.isatty():
            raise CommandError("say --yes to remove it, for here is no terminal to ask on")
        if not typer.confirm(f"Remove {server.title} {found.version} in {place.path}?"):
            raise CommandError("nothing is removed")
    if whole := remove(place):
        say(f"{place.path} is gone")
    else:
        say(f"removed, but for what others have put into {place.path}")
    return {"name": server.name, "folder": str(place.path), "gone": whole}
