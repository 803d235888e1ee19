"""The servers that can be installed and started here."""

from __future__ import annotations

from typing import Final

from darkroom_cli.errors import CommandError
from darkroom_cli.runtimes.comfyui import COMFYUI
from darkroom_cli.runtimes.invokeai import INVOKEAI
from darkroom_cli.runtimes.sdwebui import SDWEBUI
from darkroom_cli.runtimes.server import Server

SERVERS: Final = {server.name: server for server in (COMFYUI, INVOKEAI, SDWEBUI)}


def server_named(name: str) -> Server:
    """The server of that name; raises `CommandError`."""
    if name not in SERVERS:
        raise CommandError(f"'{name}' is no server to install; there are {', '.join(SERVERS)}")
    return SERVERS[name]
