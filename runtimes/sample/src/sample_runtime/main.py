"""Builds a sample runtime from its parts and serves it until told to stop."""

from __future__ import annotations

import asyncio
import signal
import socket
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer
import uvicorn
from fastapi import FastAPI

from sample_runtime.checkpoints import CheckpointCatalog
from sample_runtime.comfyui.app import create_app as create_comfyui
from sample_runtime.comfyui.files import Folders
from sample_runtime.gpu import Behaviour, Gpu
from sample_runtime.invokeai.app import create_app as create_invokeai
from sample_runtime.sdwebui.app import create_app as create_sdwebui

DEFAULT_CHECKPOINT = "v1-5-pruned-emaonly.safetensors"
HELP = """Serve a stand-in for a Stable Diffusion server: it draws pictures, it runs no model.

Examples:

  sample_runtime --type sdwebui --port 8080

  sample_runtime --type comfyui --port 0 --seconds-per-image 2 --output-dir ./pictures

  sample_runtime --type invokeai --port 9090

  sample_runtime --type sdwebui --fail-when broken --hang-when stuck --busy-log busy.jsonl
"""

app = typer.Typer(add_completion=False)


class RuntimeType(StrEnum):
    """The server whose shape is served."""

    SDWEBUI = "sdwebui"
    COMFYUI = "comfyui"
    INVOKEAI = "invokeai"


class _Server(uvicorn.Server):
    """A server that leaves signals to us; uvicorn would raise them again at the end."""

    def __init__(self, config: uvicorn.Config, greeting: str) -> None:
        super().__init__(config)
        self._greeting = greeting

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        loop = asyncio.get_running_loop()
        handled = (signal.SIGTERM, signal.SIGINT)
        for number in handled:
            loop.add_signal_handler(number, self.handle_exit, number, None)
        try:
            yield
        finally:
            for number in handled:
                loop.remove_signal_handler(number)

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        # Only now is a signal handled: who read this line may send one.
        typer.echo(self._greeting)
        sys.stdout.flush()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        # A killed server drops its connections; uvicorn would answer each call with 500.
        for connection in self.server_state.connections:
            if connection.transport is not None:
                connection.transport.abort()
        await super().shutdown(sockets)


def _listen(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.create_server((host, port), family=family)
    listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)  # inherited by connections
    return listener


def _serve(api: FastAPI, runtime: RuntimeType, host: str, port: int) -> None:
    # A job that is stopped has nothing to finish: cancel it at once.
    config = uvicorn.Config(
        api, log_level="critical", timeout_graceful_shutdown=0, lifespan="on"
    )
    with _listen(host, port) as listener:
        bound = listener.getsockname()[1]
        shown = f"[{host}]" if ":" in host else host
        greeting = f"sample runtime ({runtime}) listens on http://{shown}:{bound}"
        asyncio.run(_Server(config, greeting).serve(sockets=[listener]))


@app.command(help=HELP)
def run(
    *,
    runtime: Annotated[
        RuntimeType, typer.Option("--type", help="The server whose shape is served.")
    ],
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="Port; 0 takes a free one and prints it.")] = 0,
    models_dir: Annotated[
        Path | None,
        typer.Option(help="Folder whose checkpoints are listed.", file_okay=False, exists=True),
    ] = None,
    checkpoint: Annotated[
        list[str] | None,
        typer.Option(help=f"Checkpoint to list; repeatable. [default: {DEFAULT_CHECKPOINT}]"),
    ] = None,
    output_dir: Annotated[
        Path | None,
        typer.Option(help="Folder for ComfyUI's results; else one that goes at the end."),
    ] = None,
    seconds_per_image: Annotated[
        float, typer.Option(min=0, help="Time of one picture, divided over its steps.")
    ] = 0.3,
    fail_when: Annotated[
        str | None, typer.Option(help="Prompts with this text fail as the server's own do.")
    ] = None,
    hang_when: Annotated[
        str | None, typer.Option(help="Prompts with this text run until interrupted.")
    ] = None,
    hold_file: Annotated[
        Path | None,
        typer.Option(
            envvar="SAMPLE_RUNTIME_HOLD_FILE",
            help="While this file exists, runs stand still after each step.",
        ),
    ] = None,
    die_when: Annotated[
        str | None,
        typer.Option(help="Prompts with this text kill the server, as the kernel may."),
    ] = None,
    break_file: Annotated[
        Path | None,
        typer.Option(
            help="When this file appears, the device breaks: all runs fail from then on."
        ),
    ] = None,
    busy_log: Annotated[
        Path | None,
        typer.Option(help="File that gets a JSON line for each span the device worked."),
    ] = None,
) -> None:
    """Serve until SIGTERM or SIGINT, then exit with 0 at once."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    behaviour = Behaviour(
        image_time=timedelta(seconds=seconds_per_image),
        fail_when=fail_when,
        hang_when=hang_when,
        hold_file=hold_file,
        die_when=die_when,
        break_file=break_file,
    )
    gpu = Gpu(behaviour, busy_log)
    catalog = CheckpointCatalog(checkpoint or [DEFAULT_CHECKPOINT], models_dir)
    if runtime is RuntimeType.INVOKEAI:
        _serve(create_invokeai(gpu), runtime, host, port)
        return
    if runtime is RuntimeType.SDWEBUI:
        _serve(create_sdwebui(gpu, catalog), runtime, host, port)
        return
    with tempfile.TemporaryDirectory(prefix="sample-runtime-") as scratch:
        folders = Folders.under(Path(scratch), output=output_dir)
        _serve(create_comfyui(gpu, catalog, folders), runtime, host, port)


def main() -> None:
    """Run the command line."""
    app()


if __name__ == "__main__":
    main()
