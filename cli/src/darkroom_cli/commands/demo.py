"""`darkroom demo`: the way of two tasks on this machine, with sample or with real servers."""

from __future__ import annotations

from pathlib import Path
from tempfile import mkdtemp
from typing import TYPE_CHECKING, Annotated, Final

import typer

from contracts.kinds import RuntimeType
from darkroom_cli.interruption import unless
from darkroom_cli.terminal import (
    AsJson,
    DataDir,
    attempt,
    fail,
    folder_of,
    notes,
    out,
    run,
    say,
    show_json,
)
from servicekit.lifecycle import stop_on_signals

if TYPE_CHECKING:
    from darkroom_cli.embedded.folder import Folder
    from darkroom_cli.embedded.programs import Attached
    from darkroom_cli.real_demo import Plan

CPU_MODEL: Final = "sd-turbo"
GPU_MODEL: Final = "sd15-fp16"


def demo(
    real: Annotated[
        bool, typer.Option("--real", help="Have a real server make the images.")
    ] = False,
    with_: Annotated[
        str,
        typer.Option(
            "--with",
            help="The server: comfyui, invokeai or sdwebui, with =DIR if it is elsewhere.",
            metavar="SERVER[=DIR]",
        ),
    ] = "comfyui",
    model: Annotated[
        str | None,
        typer.Option(
            help="A model of `darkroom models get`, or a file that the stack has.",
            show_default=f"{CPU_MODEL}; on a GPU, or for invokeai, {GPU_MODEL}",
        ),
    ] = None,
    yes: Annotated[
        bool, typer.Option("--yes", help="Install and fetch what is missing; accept licences.")
    ] = False,
    as_json: AsJson = False,
    data_dir: DataDir = None,
) -> None:
    """Run everything once: two tasks in, two images and their callbacks out.

    Starts an AWS emulator, the five services and sample runtimes as processes on free ports of
    127.0.0.1, shows what happens, and stops it all. The sample runtimes draw pictures; no model
    is run. With --real a server and a model are installed first, which takes some gigabytes and
    stays for the next time, and the second image is made from the first.

    Examples:

    darkroom demo --data-dir ./demo

    darkroom demo --real

    darkroom demo --real --with invokeai --model sd15-fp16 --yes
    """
    if not real:
        if model or yes or with_ != "comfyui":
            fail("--with, --model and --yes are for --real")
        made = Path(mkdtemp(prefix="darkroom-demo-")) if data_dir is None else data_dir
        run(_demo(folder_of(made), as_json=as_json))
        return
    from darkroom_cli.commands.models_get import fetch, wanted_model
    from darkroom_cli.commands.runtime import have_installed
    from darkroom_cli.real_demo import file_of, planned

    console = notes if as_json else out
    attempt(lambda: have_installed(with_, accepted=yes, console=console))
    folder, attached = folder_of(data_dir), attempt(lambda: _server(with_))
    kind, device = attached.runtime.type, _device_of(attached)
    name = model or default_model(kind, device)
    plan = attempt(lambda: planned(attached.runtime, device, name))
    if not _has(folder, file_of(name)):
        wanted = attempt(lambda: wanted_model(name, accept_licence=yes))
        run(fetch(wanted, data_dir=data_dir))
    run(_real(folder, attached, plan, as_json=as_json))


def default_model(kind: RuntimeType, device: str) -> str:
    """The well-known model that a demo has where none is named."""
    # InvokeAI cannot read the small one: see `planned`.
    small = device == "cpu" and kind is not RuntimeType.INVOKEAI
    return CPU_MODEL if small else GPU_MODEL


def _server(with_: str) -> Attached:
    from darkroom_cli.embedded.folder import default_folder
    from darkroom_cli.runtime_option import parse_servers

    (attached,) = parse_servers([with_], default_folder())
    return attached


def _device_of(attached: Attached) -> str:
    return attached.served.device if attached.served else ""


def _has(folder: Folder, file: str) -> bool:
    from darkroom_cli.embedded.programs import STACK
    from provisioning.resources import model_bucket_of

    return (folder.objects(model_bucket_of(STACK)) / "Stable-diffusion" / file).is_file()


async def _real(folder: Folder, attached: Attached, plan: Plan, *, as_json: bool) -> None:
    from darkroom_cli.embedded.stack import Options, stack
    from darkroom_cli.real_demo import demonstrate_real

    options = Options(folder=folder, attached=(attached,))
    with stop_on_signals() as stop:
        async with stack(options, say, stop) as running:
            shown = demonstrate_real(running, folder, notes if as_json else out, plan)
            images = await unless(stop, shown)
    _tell(folder, images, as_json=as_json)


async def _demo(folder: Folder, *, as_json: bool) -> None:
    from darkroom_cli.demo import demonstrate
    from darkroom_cli.embedded.stack import Options, stack

    options = Options(folder=folder)
    with stop_on_signals() as stop:
        async with stack(options, say, stop) as running:
            images = await unless(stop, demonstrate(running, folder, notes if as_json else out))
    _tell(folder, images, as_json=as_json)


def _tell(folder: Folder, images: list[Path], *, as_json: bool) -> None:
    if as_json:
        show_json({"folder": str(folder.path), "images": [str(image) for image in images]})
    else:
        out.print(f"images and logs are in {folder.path}", highlight=False, soft_wrap=True)
