"""`darkroom submit`: one task for the stack that runs here."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from contracts.ids import new_uid
from contracts.kinds import RuntimeType
from darkroom_cli.api import Api
from darkroom_cli.embedded.folder import Running
from darkroom_cli.embedded.models import SAMPLE_CHECKPOINT
from darkroom_cli.errors import CommandError
from darkroom_cli.objects import download
from darkroom_cli.requests import comfyui_content, image_argument, sdwebui_content
from darkroom_cli.terminal import DataDir, out, run, running_stack, say, use_aws_of


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
    run(
        _submit(
            running_stack(data_dir),
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
    use_aws_of(running)
    await download(urls[0], file)
    say(f"wrote {file}")
