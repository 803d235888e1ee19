"""The `darkroom` command."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import Callable, Coroutine
from pathlib import Path
from tempfile import mkdtemp
from typing import Annotated, Any, NoReturn, TypeVar

import typer
from rich.console import Console
from rich.table import Table

from contracts.ids import new_uid
from contracts.kinds import RuntimeType
from darkroom_cli.api import Api
from darkroom_cli.demo import demonstrate
from darkroom_cli.embedded.folder import Folder, Running, default_folder
from darkroom_cli.embedded.models import SAMPLE_CHECKPOINT, add_model
from darkroom_cli.embedded.stack import Options, stack
from darkroom_cli.errors import CommandError
from darkroom_cli.objects import download
from darkroom_cli.requests import comfyui_content, image_argument, sdwebui_content
from darkroom_cli.runtime_option import FORM, parse_runtime
from provisioning import emulator
from servicekit.errors import AppError
from servicekit.lifecycle import stop_on_signals

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    help="Requests for images in, images in S3 and a callback out.",
    epilog="Try it: `darkroom demo`. Keep it running: `darkroom up`.",
)
models_app = typer.Typer(no_args_is_help=True, help="The models of the stack that runs here.")
app.add_typer(models_app, name="models")

T = TypeVar("T")
out = Console()
notes = Console(stderr=True)

DataDir = Annotated[
    Path | None,
    typer.Option("--data-dir", help="Where state, logs and keys are kept.", show_default=False),
]


def _folder(path: Path | None) -> Folder:
    return Folder((path or default_folder()).absolute())


def _say(text: str) -> None:
    notes.print(f"[dim]{text}[/dim]", highlight=False)


@app.command()
def demo(data_dir: DataDir = None) -> None:
    """Run everything once: two tasks in, two images and their callbacks out.

    Starts an AWS emulator, the five services and sample runtimes as processes on free ports of
    127.0.0.1, shows what happens, and stops it all. The sample runtimes draw pictures; no model
    is run.

    Example: darkroom demo --data-dir ./demo
    """
    folder = Folder(data_dir.absolute() if data_dir else Path(mkdtemp(prefix="darkroom-demo-")))
    _run(_demo(folder))


async def _demo(folder: Folder) -> None:
    options = Options(folder=folder)
    with stop_on_signals() as stop:
        async with stack(options, _say) as running:
            await _unless(stop, demonstrate(running, folder, out))
    out.print(f"images and logs are in {folder.path}", highlight=False)


@app.command()
def up(
    runtime: Annotated[
        list[str] | None,
        typer.Option(
            help=f"A runtime that runs already, as {FORM}; repeat for more. Without any, the "
            "sample runtimes are started.",
            metavar="SPEC",
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
    sample_seconds: Annotated[
        float, typer.Option(help="Seconds that a sample runtime takes for an image.", min=0)
    ] = 1.0,
    allow_loopback_inputs: Annotated[
        bool,
        typer.Option(
            "--allow-loopback-inputs", help="Let tasks name images on servers of this machine."
        ),
    ] = False,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print one line of JSON when ready.")
    ] = False,
) -> None:
    """Run the whole stack on this machine until Ctrl-C; a second `up` continues with its data.

    Examples:

    darkroom up

    darkroom up --runtime mine=sdwebui@http://127.0.0.1:7860,dynamic

    darkroom up --runtime comfy=comfyui@http://127.0.0.1:8188 --port 9000 --json
    """
    options = Options(
        folder=_folder(data_dir),
        host=host,
        port=port,
        attached=_attempt(lambda: tuple(parse_runtime(text) for text in runtime or ())),
        aws_endpoint_url=aws_endpoint_url,
        seconds_per_image=sample_seconds,
        allow_loopback_inputs=allow_loopback_inputs,
    )
    _run(_up(options, as_json=as_json))


async def _up(options: Options, *, as_json: bool) -> None:
    with stop_on_signals() as stop:
        async with stack(options, _say) as running:
            if as_json:
                sys.stdout.write(running.model_dump_json() + "\n")
                sys.stdout.flush()
            else:
                _print_running(running, options.folder)
            await stop.wait()


def _print_running(running: Running, folder: Folder) -> None:
    rows = running.model_dump(exclude={"queues"})
    rows |= {f"queue of {runtime}": url for runtime, url in running.queues.items()}
    rows["logs"] = folder.path / "logs"
    for name, value in rows.items():
        line = f"{name.replace('_', ' '):<22}{value}"
        out.print(line, highlight=False, markup=False, soft_wrap=True)
    out.print("Ctrl-C stops it; `darkroom submit --prompt '...' --wait` uses it.")


@app.command()
def submit(
    prompt: Annotated[str, typer.Option(help="What the image should show.")],
    runtime: Annotated[
        str | None, typer.Option(help="The runtime's name; by default the first.")
    ] = None,
    image: Annotated[
        str | None, typer.Option(help="An image to start from: a file, or an http or s3 URL.")
    ] = None,
    out_file: Annotated[
        Path | None,
        typer.Option("--out", help="Where the image goes; implies --wait.", dir_okay=False),
    ] = None,
    wait: Annotated[bool, typer.Option(help="Wait until the task has ended.")] = False,
    size: Annotated[int, typer.Option(help="Width and height.", min=64, max=4096)] = 512,
    seed: Annotated[int, typer.Option(help="-1 takes another one each time.")] = -1,
    task_id: Annotated[str | None, typer.Option("--id", help="Your own name for it.")] = None,
    data_dir: DataDir = None,
) -> None:
    """Submit one task to the stack that runs here and print the answer as JSON.

    Examples:

    darkroom submit --prompt "a lighthouse at dusk" --out lighthouse.png

    darkroom submit --prompt "as a drawing" --image photo.png --wait
    """
    _run(
        _submit(
            _running(data_dir),
            prompt=prompt,
            runtime=runtime,
            image=image,
            out_file=out_file,
            wait=wait,
            size=size,
            seed=seed,
            task_id=task_id,
        )
    )


async def _submit(
    running: Running,
    *,
    prompt: str,
    runtime: str | None,
    image: str | None,
    out_file: Path | None,
    wait: bool,
    size: int,
    seed: int,
    task_id: str | None,
) -> None:
    async with Api(running.endpoint, running.api_key) as api:
        chosen = await _choose_runtime(api, runtime)
        metadata = {"id": task_id or f"cli-{new_uid().lower()}", "runtime": chosen["name"]}
        if chosen["type"] == RuntimeType.INVOKEAI:
            raise CommandError("submit has no graph for an invokeai runtime; use the API")
        if chosen["type"] == RuntimeType.COMFYUI:
            if image is not None:
                raise CommandError("--image needs an sdwebui runtime")
            metadata["tasktype"] = "pipeline"
            content = comfyui_content(
                prompt, size=size, seed=seed, checkpoint=SAMPLE_CHECKPOINT
            )
        else:
            metadata["tasktype"] = "image-to-image" if image else "text-to-image"
            given = image_argument(image) if image else None
            content = sdwebui_content(prompt, size=size, seed=seed, image=given)
        answer = await api.submit(metadata, content)
        if wait or out_file:
            answer = await api.finished(answer["uid"])
        out.print_json(data=answer)
        if answer.get("state") == "failed":
            raise CommandError(f"{answer['error']['code']}: {answer['error']['message']}")
        if out_file:
            await _download_first(running, answer["image_url"], out_file)


async def _choose_runtime(api: Api, name: str | None) -> dict[str, Any]:
    runtimes = await api.runtimes()
    chosen = [each for each in runtimes if name is None or each["name"] == name.lower()]
    if not chosen:
        known = ", ".join(each["name"] for each in runtimes)
        raise CommandError(f"there is no runtime '{name}'; there are: {known}")
    return chosen[0]


async def _download_first(running: Running, urls: list[str], file: Path) -> None:
    if not urls:
        raise CommandError("the task has no image")
    _use_aws_of(running)
    await download(urls[0], file)
    _say(f"wrote {file}")


@app.command()
def status(
    task: Annotated[str, typer.Argument(metavar="ID", help="A uid, or your own id.")],
    data_dir: DataDir = None,
) -> None:
    """Print one task as JSON.

    Example: darkroom status demo-t2i
    """

    async def show(running: Running) -> None:
        async with Api(running.endpoint, running.api_key) as api:
            out.print_json(data=await api.task(task))

    _run(show(_running(data_dir)))


@models_app.command("add")
def models_add(
    file: Annotated[Path, typer.Argument(exists=True, dir_okay=False, readable=True)],
    kind: Annotated[
        str, typer.Option(help="Folder of the bucket: Stable-diffusion, Lora, VAE, ...")
    ],
    data_dir: DataDir = None,
) -> None:
    """Upload a model file to the model bucket.

    Example: darkroom models add dreamshaper_8.safetensors --kind Stable-diffusion
    """
    if not kind or "/" in kind or kind.startswith("."):
        _fail(f"--kind {kind}: must be the name of one folder")
    running = _running(data_dir)
    _use_aws_of(running)

    async def add() -> None:
        key = await add_model(running.model_bucket, file, kind)
        out.print(f"s3://{running.model_bucket}/{key}", highlight=False, soft_wrap=True)

    _run(add())


@models_app.command("list")
def models_list(data_dir: DataDir = None) -> None:
    """Print the catalogue of models."""

    async def show(running: Running) -> None:
        async with Api(running.endpoint, running.api_key) as api:
            table = Table("kind", "name", "bytes", "format", "problem")
            for model in await api.models():
                table.add_row(
                    model["kind"],
                    model["name"],
                    str(model["bytes"]),
                    model["format"],
                    model["problem"] or "",
                )
            out.print(table)

    _run(show(_running(data_dir)))


def _running(data_dir: Path | None) -> Running:
    return _attempt(_folder(data_dir).running)


def _use_aws_of(running: Running) -> None:
    if running.aws_endpoint_url:
        os.environ["AWS_ENDPOINT_URL"] = running.aws_endpoint_url
        for name, value in emulator.CREDENTIALS.items():
            os.environ.setdefault(name, value)


async def _unless(stop: asyncio.Event, work: Coroutine[Any, Any, None]) -> None:
    """Do `work`, but give it up when `stop` is set."""
    async with asyncio.TaskGroup() as group:
        job = group.create_task(work, name="work")
        stopped = group.create_task(stop.wait(), name="stop")
        await asyncio.wait({job, stopped}, return_when=asyncio.FIRST_COMPLETED)
        interrupted = not job.done()
        for task in (job, stopped):
            task.cancel()
    if interrupted:
        raise CommandError("interrupted")


def _run(work: Coroutine[Any, Any, None]) -> None:
    """Run a command to its end; a known failure is one sentence and exit status 1."""
    try:
        asyncio.run(work)
    except* (CommandError, AppError) as failed:
        _fail(_first(failed))


def _attempt(read: Callable[[], T]) -> T:
    try:
        return read()
    except CommandError as error:
        _fail(error)


def _first(group: BaseExceptionGroup[Exception]) -> BaseException:
    error: BaseException = group
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error


def _fail(reason: object) -> NoReturn:
    notes.print(f"darkroom: {reason}", highlight=False, markup=False, soft_wrap=True)
    raise SystemExit(1)


def main() -> None:
    """Run the command."""
    app(prog_name="darkroom")


if __name__ == "__main__":
    main()
