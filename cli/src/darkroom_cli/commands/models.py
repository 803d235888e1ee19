"""`darkroom models`: the model bucket of the stack that runs here."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.table import Table

from darkroom_cli.api import Api
from darkroom_cli.embedded.folder import Running
from darkroom_cli.embedded.models import add_model
from darkroom_cli.terminal import DataDir, fail, out, run, running_stack, use_aws_of


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
    running = running_stack(data_dir)
    use_aws_of(running)

    async def add() -> None:
        key = await add_model(running.model_bucket, file, kind)
        out.print(f"s3://{running.model_bucket}/{key}", highlight=False, soft_wrap=True)

    run(add())


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

    run(show(running_stack(data_dir)))
