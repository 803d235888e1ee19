"""`darkroom up`: the whole stack on this machine."""

from __future__ import annotations

import sys
from decimal import Decimal, InvalidOperation
from typing import TYPE_CHECKING, Annotated, Final

import typer

from darkroom_cli.errors import CommandError
from darkroom_cli.terminal import DataDir, attempt, folder_of, out, run, say
from servicekit.lifecycle import stop_on_signals

if TYPE_CHECKING:
    from darkroom_cli.embedded.folder import Folder, Running
    from darkroom_cli.embedded.programs import Attached
    from darkroom_cli.embedded.stack import Options

MOST: Final = 10**6  # an hour
CONSOLE_PORT: Final = 8090


def read_price(text: str) -> Decimal:
    """A price an hour; raises `typer.BadParameter`."""
    try:
        price = Decimal(text)
    except InvalidOperation:
        price = Decimal(-1)
    if not (price.is_finite() and 0 <= price <= MOST):
        raise typer.BadParameter(f"found {text!r}; allowed: a number, 0 to {MOST}, such as 0.5")
    return price


def up(
    runtime: Annotated[
        list[str] | None,
        typer.Option(
            help="A runtime that runs already: NAME=TYPE@URL, followed by ,model=FILE or "
            ",dynamic as it needs. Repeat for more. Without any, and without --with, sample "
            "runtimes are started.",
            metavar="SPEC",
        ),
    ] = None,
    with_: Annotated[
        list[str] | None,
        typer.Option(
            "--with",
            help="A server to start that `darkroom runtime install` has installed: comfyui, "
            "invokeai or sdwebui, with =DIR if it is elsewhere. Repeat for more.",
            metavar="SERVER[=DIR]",
        ),
    ] = None,
    aws_endpoint_url: Annotated[
        str | None, typer.Option(help="Use the AWS at this URL instead of starting one.")
    ] = None,
    data_dir: DataDir = None,
    host: Annotated[str, typer.Option(help="Address that the API listens on.")] = "127.0.0.1",
    port: Annotated[
        int, typer.Option(help="Port of the REST API; 0 takes a free one.", min=0, max=65535)
    ] = 8080,
    grpc_port: Annotated[
        int, typer.Option(help="Port of the gRPC API; 0 takes a free one.", min=0, max=65535)
    ] = 0,
    sample_seconds: Annotated[
        float, typer.Option(help="Seconds that a sample runtime takes for an image.", min=0)
    ] = 1.0,
    allow_loopback_inputs: Annotated[
        bool,
        typer.Option(
            "--allow-loopback-inputs",
            help="Let inputs and webhooks be on servers of this machine.",
        ),
    ] = False,
    gpu_price: Annotated[
        Decimal | None,
        typer.Option(
            help="What an hour of this machine costs in USD, for the cost of tasks. Without it "
            "they tell GPU seconds and no amount.",
            parser=read_price,
            metavar="USD",
        ),
    ] = None,
    console_port: Annotated[
        int,
        typer.Option(
            help="Port of the console's pages; if it is taken, or 0, a free one.",
            min=0,
            max=65535,
        ),
    ] = CONSOLE_PORT,
    console: Annotated[
        bool, typer.Option("--console/--no-console", help="Whether to serve the console.")
    ] = True,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print one line of JSON when ready.")
    ] = False,
) -> None:
    """Run the whole stack on this machine until Ctrl-C; a second `up` continues with its data.

    Examples:

    darkroom up

    darkroom up --runtime mine=sdwebui@http://127.0.0.1:7860,dynamic

    darkroom up --runtime comfy=comfyui@http://127.0.0.1:8188 --port 9000 --json

    darkroom up --with comfyui --gpu-price 0.5
    """
    from darkroom_cli.embedded.stack import Options

    options = Options(
        folder=folder_of(data_dir),
        host=host,
        port=port,
        grpc_port=grpc_port,
        attached=attempt(lambda: _attached(runtime or [], with_ or [], aws_endpoint_url)),
        aws_endpoint_url=aws_endpoint_url,
        seconds_per_image=sample_seconds,
        allow_loopback_inputs=allow_loopback_inputs,
        gpu_price=gpu_price,
        console_port=console_port if console else None,
    )
    run(_up(options, as_json=as_json))


def _attached(
    runtimes: list[str], servers: list[str], aws_endpoint_url: str | None
) -> tuple[Attached, ...]:
    from darkroom_cli.embedded.folder import default_folder
    from darkroom_cli.runtime_option import parse_runtimes, parse_servers

    if servers and aws_endpoint_url:
        raise CommandError(
            "--with needs the models as files, which --aws-endpoint-url has not: start the"
            " server yourself and name it with --runtime"
        )
    attached = parse_runtimes(runtimes)
    return (*attached, *parse_servers(servers, default_folder(), attached))


async def _up(options: Options, *, as_json: bool) -> None:
    from darkroom_cli.embedded.stack import stack

    with stop_on_signals() as stop:
        async with stack(options, say, stop) as running:
            if as_json:
                sys.stdout.write(running.model_dump_json() + "\n")
                sys.stdout.flush()
            else:
                _print_running(running, options.folder)
            await stop.wait()


def _print_running(running: Running, folder: Folder) -> None:
    rows = running.model_dump(exclude={"queues", "readiness"}, exclude_none=True)
    rows |= {f"queue of {runtime}": url for runtime, url in running.queues.items()}
    rows["logs"] = folder.path / "logs"
    for name, value in rows.items():
        line = f"{name.replace('_', ' '):<22}{value}"
        out.print(line, highlight=False, markup=False, soft_wrap=True)
    out.print("Ctrl-C stops it; `darkroom submit --prompt '...' --wait` uses it.")
