"""`darkroom console`: pages that show a stack."""

from __future__ import annotations

from typing import Annotated

import typer

from darkroom_cli.commands.stack import CONSOLE_PORT
from darkroom_cli.terminal import (
    AsJson,
    DataDir,
    Endpoint,
    KeyFile,
    Target,
    out,
    run,
    show_json,
    target,
)


def console(
    endpoint: Endpoint = None,
    api_key_file: KeyFile = None,
    data_dir: DataDir = None,
    port: Annotated[
        int, typer.Option(help="Port of 127.0.0.1; 0 takes a free one.", min=0, max=65535)
    ] = CONSOLE_PORT,
    open_: Annotated[bool, typer.Option("--open", help="Open it in your browser.")] = False,
    as_json: AsJson = False,
) -> None:
    """Serve pages on 127.0.0.1 that show a stack and act on it, until Ctrl-C.

    They can do what the key can, for everybody who can reach ports of this machine. The key
    itself stays here.

    Examples:

    darkroom console

    darkroom console --endpoint https://art.example.com/dev --api-key-file art.key --open
    """
    chosen = target(endpoint, api_key_file, data_dir)
    run(_serve(chosen, port, open_=open_, as_json=as_json))


async def _serve(chosen: Target, port: int, *, open_: bool, as_json: bool) -> None:
    from darkroom_cli.embedded.stack import check_address
    from darkroom_console.serving import HOST, console
    from servicekit.lifecycle import stop_on_signals
    from servicekit.listen import free_port

    check_address(HOST, port)
    port = port or free_port()
    url = f"http://{HOST}:{port}"
    with stop_on_signals() as stop:
        async with console(chosen.endpoint, chosen.api_key, port):
            if as_json:
                show_json({"console": url})
            else:
                out.print(url, highlight=False, markup=False, soft_wrap=True)
            if open_:
                typer.launch(url)
            await stop.wait()
