"""`darkroom models`: the model bucket of the stack that runs here, or what another has."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from darkroom_cli.terminal import (
    AsJson,
    DataDir,
    Endpoint,
    KeyFile,
    call,
    fail,
    out,
    run,
    running_stack,
    show_json,
    show_rows,
    use_aws_of,
)
from modelfiles.formats import FORMATS, GGUF_BYTES, LISTED, check_gguf
from modelfiles.safetensors import MalformedError

if TYPE_CHECKING:
    from darkroom_cli.api import Api


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
        fail(f"--kind {kind}: must be the name of one folder")
    _check(file)
    from darkroom_cli.embedded.models import add_model

    running = running_stack(data_dir)
    use_aws_of(running)

    async def add() -> None:
        key = await add_model(running.model_bucket, file, kind)
        out.print(f"s3://{running.model_bucket}/{key}", highlight=False, soft_wrap=True)

    run(add())


def _check(file: Path) -> None:
    """Return if a runtime may read the file; ends the command if its name or head says no."""
    form = FORMATS.get(file.suffix.lower())
    if form is None:
        fail(f"{file.name}: runtimes read no such file; they read {LISTED}")
    if form == "gguf":
        with file.open("rb") as head:
            try:
                check_gguf(head.read(GGUF_BYTES))
            except MalformedError as error:
                fail(f"{file.name}: {error}")


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
