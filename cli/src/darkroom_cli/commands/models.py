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
    from darkroom_cli.model_files import Model


def models_add(
    source: Annotated[
        str | None, typer.Argument(help="A file, or an http or https URL.", show_default=False)
    ] = None,
    kind: Annotated[
        str, typer.Option(help="Folder of the bucket: Stable-diffusion, Lora, VAE, ...")
    ] = "Stable-diffusion",
    name: Annotated[
        str | None,
        typer.Option(
            help="Its name in the bucket.", show_default="the last part of its source"
        ),
    ] = None,
    headers_file: Annotated[
        Path | None,
        typer.Option(
            help="File of headers for the URL, such as one with a token: `Name: value` lines.",
            show_default=False,
        ),
    ] = None,
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
    force: Annotated[
        bool,
        typer.Option(
            "--force", help="Store what is there already, and files that runtimes do not read."
        ),
    ] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Store nothing.")] = False,
    as_json: AsJson = False,
    data_dir: DataDir = None,
) -> None:
    """Bring a model file into the model bucket, in parts, unless it is there.

    A broken safetensors or GGUF file is not stored. Query, login and headers of a URL are
    neither shown nor kept; other users of this machine see command lines, so put a URL with a
    token into a file for --list.

    Examples:

    darkroom models add dreamshaper_8.safetensors --kind Stable-diffusion

    darkroom models add https://models.example.com/detail.safetensors --kind Lora --bucket art

    darkroom models add --list models.yaml --bucket art
    """
    if (source is None) == (listed is None):
        fail("name either a model or --list FILE")
    wanted = attempt(lambda: _wanted(source, kind, name, headers_file, listed))
    run(_bring(wanted, _bucket(bucket, data_dir), force, dry_run, as_json))


def _wanted(
    source: str | None,
    kind: str,
    name: str | None,
    headers_file: Path | None,
    listed: str | None,
) -> list[Model]:
    from darkroom_cli.model_files import headers_of, listed_models, model

    if source is None:
        return listed_models(_read(str(listed), "--list"))
    headers = headers_of(_read(str(headers_file), "--headers-file")) if headers_file else {}
    return [model(source, folder=kind, filename=name, headers=headers)]


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


async def _bring(
    wanted: list[Model], bucket: str, force: bool, dry_run: bool, as_json: bool
) -> None:
    from awsio import clients
    from darkroom_cli.model_upload import Upload

    brought = []
    with stop_on_signals() as stop:
        async with clients.s3() as s3:
            upload = Upload(s3=s3, bucket=bucket, tell=say, force=force, dry_run=dry_run)
            for each in wanted:
                done = await unless(stop, upload.bring(each))
                brought.append(asdict(done))
                if not as_json:
                    out.print(done.url, markup=False, highlight=False, soft_wrap=True)
                    if not done.changed:
                        say("it is there already")
    if as_json:
        show_json(brought)


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
