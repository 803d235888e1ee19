"""`darkroom models`: bringing models into a model bucket, and which ones there are."""

from __future__ import annotations

import sys
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from darkroom_cli.errors import CommandError
from darkroom_cli.interruption import unless
from darkroom_cli.terminal import (
    AsJson,
    DataDir,
    Endpoint,
    KeyFile,
    attempt,
    call,
    fail,
    notes,
    out,
    run,
    running_stack,
    say,
    show_json,
    show_rows,
    use_aws_of,
)
from servicekit.lifecycle import stop_on_signals

if TYPE_CHECKING:
    from darkroom_cli.api import Api
    from darkroom_cli.models.files import Model
    from darkroom_cli.models.upload import Brought

Kind = Annotated[
    str, typer.Option(help="Folder of the bucket: Stable-diffusion, Lora, VAE, ...")
]
Name = Annotated[
    str | None,
    typer.Option(help="Its name there.", show_default="the last part of its source"),
]
HeadersFile = Annotated[
    Path | None,
    typer.Option(
        help="File of headers for the URL, such as one with a token: `Name: value` lines.",
        show_default=False,
    ),
]
Sha256 = Annotated[
    str | None,
    typer.Option("--sha256", help="The sum that the file must have.", show_default=False),
]
Force = Annotated[
    bool,
    typer.Option(
        "--force", help="Store what is there already, and files that runtimes do not read."
    ),
]


def models_add(
    source: Annotated[
        str | None,
        typer.Argument(
            help="A file, an http or https URL, or hf:OWNER/NAME/FILE of the model hub.",
            show_default=False,
        ),
    ] = None,
    kind: Kind = "Stable-diffusion",
    name: Name = None,
    headers_file: HeadersFile = None,
    sha256: Sha256 = None,
    listed: Annotated[
        str | None,
        typer.Option(
            "--list",
            metavar="FILE",
            help="Several models, as playbooks/models.yml takes them; - is standard input.",
            show_default=False,
        ),
    ] = None,
    bucket: Annotated[
        str | None,
        typer.Option(
            help="A bucket of your AWS credentials.", show_default="that of the running stack"
        ),
    ] = None,
    force: Force = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Store nothing.")] = False,
    as_json: AsJson = False,
    data_dir: DataDir = None,
) -> None:
    """Bring a model file into the model bucket, in parts, unless it is there.

    A broken safetensors or GGUF file is not stored, nor one with another sum. A connection
    that breaks off is continued; `darkroom models get` goes on after a stop as well. Query,
    login and headers of a URL are neither shown nor kept; other users of this machine see
    command lines, so put a URL with a token into a file for --list. HF_TOKEN is the token of
    the model hub.

    Examples:

    darkroom models add dreamshaper_8.safetensors --kind Stable-diffusion

    darkroom models add https://models.example.com/detail.safetensors --kind Lora --bucket art

    darkroom models add --list models.yaml --bucket art
    """
    if (source is None) == (listed is None):
        fail("name either a model or --list FILE")
    wanted = attempt(lambda: _wanted(source, kind, name, headers_file, sha256, listed))
    run(_add(wanted, _bucket(bucket, data_dir), force, dry_run, as_json))


def _wanted(
    source: str | None,
    kind: str,
    name: str | None,
    headers_file: Path | None,
    sha256: str | None,
    listed: str | None,
) -> list[Model]:
    from darkroom_cli.models.files import listed_models, model

    if source is None:
        return listed_models(_read(str(listed), "--list"))
    headers = headers_in(headers_file)
    return [model(source, folder=kind, filename=name, headers=headers, sha256=sha256)]


def headers_in(file: Path | None) -> dict[str, str]:
    """The headers of --headers-file; raises `CommandError`."""
    from darkroom_cli.models.files import headers_of

    return headers_of(_read(str(file), "--headers-file")) if file else {}


def _read(file: str, option: str) -> str:
    try:
        return sys.stdin.read() if file == "-" else Path(file).read_text()
    except (OSError, UnicodeError) as error:
        why = error.strerror if isinstance(error, OSError) else "is no text"
        raise CommandError(f"{option} {file}: {why}") from error


def _bucket(named: str | None, data_dir: Path | None) -> str:
    """The bucket that is named, or that of the running stack, whose AWS is used then."""
    if named is not None:
        return named
    running = running_stack(data_dir)
    use_aws_of(running)
    return running.model_bucket


async def _add(
    wanted: list[Model], bucket: str, force: bool, dry_run: bool, as_json: bool
) -> None:
    from awsio import clients
    from darkroom_cli.models.progress import shown_on
    from darkroom_cli.models.upload import Upload

    brought = []
    with stop_on_signals() as stop:
        async with clients.s3() as s3:
            upload = Upload(
                s3=s3, bucket=bucket, shown=shown_on(notes, say), force=force, dry_run=dry_run
            )
            for each in wanted:
                done = await unless(stop, upload.bring(each))
                brought.append(asdict(done))
                if not as_json:
                    show_brought(done)
    if as_json:
        show_json(brought)


def show_brought(done: Brought) -> None:
    """Print where a model is."""
    out.print(done.url, markup=False, highlight=False, soft_wrap=True)
    if not done.changed:
        say("it is there already")


def models_list(
    as_json: AsJson = False,
    endpoint: Endpoint = None,
    api_key_file: KeyFile = None,
    data_dir: DataDir = None,
) -> None:
    """Print the catalogue of models.

    Examples:

    darkroom models list

    darkroom models list --json --endpoint https://art.example.com/dev --api-key-file art.key
    """

    async def show(api: Api) -> None:
        models = await api.models()
        if as_json:
            show_json(models)
            return
        rows = [{**model, "problem": model["problem"] or ""} for model in models]
        show_rows(rows, "kind", "name", "bytes", "format", "problem", wrapped="problem")

    call(show, endpoint, api_key_file, data_dir)
