"""`darkroom submit`: one task for the stack that runs here, or for another."""

from __future__ import annotations

import asyncio
import json
import secrets
import sys
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from contracts.kinds import RuntimeType
from darkroom_cli.errors import CommandError
from darkroom_cli.requests import (
    SAMPLE_CHECKPOINT,
    comfyui_content,
    image_argument,
    sdwebui_content,
)
from darkroom_cli.terminal import (
    DataDir,
    Endpoint,
    KeyFile,
    Target,
    attempt,
    fail,
    out,
    run,
    say,
    target,
    use_aws_of,
)

if TYPE_CHECKING:
    from darkroom_cli.api import Api

SIZE: Final = 512
WAITING_POLL_SECONDS: Final = 1.0
RETRY_SECONDS: Final = 60  # of many tasks, all that was done would be lost to one broken call
LARGEST_SEED: Final = 2**31


@dataclass(frozen=True, slots=True, kw_only=True)
class Words:
    """A task in the words of the command line."""

    prompt: str
    runtime: str | None
    image: str | None
    checkpoint: str | None
    size: int
    seed: int
    task_id: str | None


def submit(
    prompt: Annotated[
        str | None, typer.Option(help="What the image should show.", show_default=False)
    ] = None,
    body: Annotated[
        str | None,
        typer.Option(
            metavar="FILE.json",
            help="A whole body of POST /v1alpha2, or with --runtime a graph;"
            " - is standard input.",
            show_default=False,
        ),
    ] = None,
    runtime: Annotated[
        str | None, typer.Option(help="The runtime's name; by default the first.")
    ] = None,
    image: Annotated[
        str | None, typer.Option(help="An image to start from: a file, or an http or s3 URL.")
    ] = None,
    checkpoint: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            help="The model to use. An sdwebui runtime must be dynamic for it; without it a "
            f"comfyui runtime is asked for {SAMPLE_CHECKPOINT}.",
            show_default=False,
        ),
    ] = None,
    out_file: Annotated[
        Path | None,
        typer.Option("--out", help="Where the image goes; implies --wait.", dir_okay=False),
    ] = None,
    wait: Annotated[bool, typer.Option(help="Wait until the task has ended.")] = False,
    size: Annotated[
        int | None,
        typer.Option(help="Width and height.", min=64, max=4096, show_default=str(SIZE)),
    ] = None,
    seed: Annotated[
        int | None, typer.Option(help="By default another one each time.", show_default=False)
    ] = None,
    task_id: Annotated[str | None, typer.Option("--id", help="Your own name for it.")] = None,
    count: Annotated[
        int, typer.Option(help="So many tasks, each with a seed of its own.", min=1, max=1000)
    ] = 1,
    seed_from: Annotated[
        int | None,
        typer.Option(
            metavar="SEED",
            help="The first seed of --count; the next is one more.",
            min=0,
            show_default="another one each time",
        ),
    ] = None,
    folder: Annotated[
        Path | None,
        typer.Option("--dir", help="Where all images go; implies --wait.", file_okay=False),
    ] = None,
    endpoint: Endpoint = None,
    api_key_file: KeyFile = None,
    data_dir: DataDir = None,
) -> None:
    """Submit a task, or several, and print the answer as JSON.

    Of a prompt the command makes a request for an sdwebui or comfyui runtime. Anything else,
    such as a graph for invokeai or a workflow of your own, is a body: a graph by itself with
    --runtime, or the same file that curl would send, {"task": {"metadata": {"id": ...,
    "runtime": ..., "tasktype": "pipeline"}, "content": {"prompt":
    <workflow in API form>}}}; for invokeai {"graph": <graph>}.

    Examples:

    darkroom submit --prompt "a lighthouse at dusk" --out lighthouse.png

    darkroom submit --prompt "a lighthouse at dusk" --count 8 --seed-from 1 --dir lighthouses

    darkroom submit --prompt "as a drawing" --image photo.png --wait

    darkroom submit --prompt "a red fox" --runtime flux --checkpoint dreamshaper_8.safetensors

    darkroom submit --body task.json --wait

    darkroom submit --body exported_api.json --runtime comfyruntime --wait

    darkroom submit --body - --endpoint https://art.example.com/dev --api-key-file k < task.json
    """
    if (prompt is None) == (body is None):
        fail("say either --prompt TEXT or --body FILE.json")
    parts = (image, checkpoint, size, seed, seed_from)
    if body is not None and (count > 1 or any(part is not None for part in parts)):
        fail("--body is a whole request or a graph: image, checkpoint and so on belong in it")
    if out_file is not None and (count > 1 or folder is not None):
        fail("--out is one file: name a folder with --dir")
    if seed is not None and (count > 1 or seed_from is not None):
        fail("--seed is of one task: --seed-from SEED begins with it")
    request: Words | dict[str, Any]
    if prompt is None:
        request = attempt(lambda: _request(_read_body(str(body)), runtime, task_id))
    else:
        request = Words(
            prompt=prompt,
            runtime=runtime,
            image=image,
            checkpoint=checkpoint,
            size=SIZE if size is None else size,
            seed=next((each for each in (seed, seed_from) if each is not None), -1),
            task_id=task_id,
        )
    chosen = target(endpoint, api_key_file, data_dir)
    if count > 1 or folder is not None:
        run(
            _submit_many(chosen, request, count, folder=folder, wait=wait or folder is not None)
        )
    else:
        run(_submit(chosen, request, out_file=out_file, wait=wait))


async def _submit_many(
    chosen: Target,
    request: Words | dict[str, Any],
    count: int,
    *,
    folder: Path | None,
    wait: bool,
) -> None:
    from darkroom_cli.many import submit_many

    async with chosen.api(retry_seconds=RETRY_SECONDS) as api:
        bodies = await _bodies(api, request, count) if isinstance(request, Words) else [request]
        answers = await submit_many(api, bodies, wait=wait, folder=folder)
    out.print_json(data=answers)
    wrong = [answer for answer in answers if answer.get("state", "completed") != "completed"]
    if wrong:
        error = wrong[0].get("error")
        reason = f": {_failure(error, request)}" if error else ""
        first = f"{wrong[0]['id']} is {wrong[0]['state']}{reason}"
        raise CommandError(f"{len(wrong)} of {len(answers)} did not complete; {first}")


async def _bodies(api: Api, words: Words, count: int) -> list[dict[str, Any]]:
    """A body for each seed."""
    runtime = await _choose_runtime(api, words.runtime)
    if count == 1:
        return [_body(runtime, words)]
    first = words.seed if words.seed >= 0 else secrets.randbelow(LARGEST_SEED)
    name = words.task_id
    return [
        _body(runtime, replace(words, seed=first + n, task_id=name and f"{name}-{n + 1}"))
        for n in range(count)
    ]


async def _submit(
    chosen: Target, request: Words | dict[str, Any], *, out_file: Path | None, wait: bool
) -> None:
    async with chosen.api() as api:
        if isinstance(request, Words):
            body = _body(await _choose_runtime(api, request.runtime), request)
        else:
            body = request
        answer = await api.post(body)
        if wait or out_file:
            say(f"uid {answer['uid']}")  # so that it is known if the wait is given up
            answer = await _ended(chosen, api, answer)
        out.print_json(data=answer)
        if answer.get("state") == "failed":
            raise CommandError(_failure(answer["error"], request))
        if out_file:
            await _download_first(chosen, api, answer, out_file)


async def _ended(chosen: Target, api: Api, accepted: dict[str, Any]) -> dict[str, Any]:
    """The task when it has ended; says meanwhile why its runtime takes none."""
    readiness = chosen.running.readiness if chosen.running else {}
    name = accepted.get("runtime", "")
    async with asyncio.TaskGroup() as group:
        telling = group.create_task(_tell_waiting(name, readiness.get(name)), name="tell")
        ended = await api.finished(accepted["uid"])
        telling.cancel()
    return ended


async def _tell_waiting(runtime: str, readiness: str | None) -> None:
    """Say why a runtime takes no task, whenever that is something else."""
    from darkroom_cli.embedded.programs import answering

    told = None
    while readiness:
        if (reason := await answering(readiness)()) and reason != told:
            say(f"runtime {runtime}: {reason}; its tasks wait")
        told = reason
        await asyncio.sleep(WAITING_POLL_SECONDS)


def _failure(error: dict[str, Any], request: Words | dict[str, Any]) -> str:
    said = f"{error['code']}: {error['message']}"
    chose = isinstance(request, Words) and request.checkpoint is None
    if chose and SAMPLE_CHECKPOINT in said:
        return f"{said}; --checkpoint NAME asks for another"
    return said


def _body(chosen: dict[str, Any], words: Words) -> dict[str, Any]:
    """Make a body of v1alpha2 for the type of the runtime."""
    from contracts.ids import new_uid

    kind = chosen["type"]
    size, seed, checkpoint = words.size, words.seed, words.checkpoint
    if kind == RuntimeType.INVOKEAI:
        raise CommandError("an invokeai runtime takes a graph, not a prompt: see --body")
    if kind == RuntimeType.COMFYUI:
        if words.image is not None:
            raise CommandError("--image needs an sdwebui runtime")
        tasktype = "pipeline"
        content = comfyui_content(
            words.prompt, size=size, seed=seed, checkpoint=checkpoint or SAMPLE_CHECKPOINT
        )
    else:
        tasktype = "image-to-image" if words.image else "text-to-image"
        given = image_argument(words.image) if words.image else None
        content = sdwebui_content(
            words.prompt, size=size, seed=seed, image=given, checkpoint=checkpoint
        )
    task_id = words.task_id or f"cli-{new_uid().lower()}"
    metadata = {"id": task_id, "runtime": chosen["name"], "tasktype": tasktype}
    return {"task": {"metadata": metadata, "content": content}}


def _request(body: dict[str, Any], runtime: str | None, task_id: str | None) -> dict[str, Any]:
    """The whole request; a graph by itself is the content of a pipeline."""
    from contracts.ids import new_uid

    if "task" in body:
        if runtime is not None or task_id is not None:
            raise CommandError("--body is a whole request: runtime and id belong in it")
        return body
    if runtime is None:
        raise CommandError("--body has no task: for a graph by itself say --runtime NAME")
    metadata = {"id": task_id or f"cli-{new_uid().lower()}", "runtime": runtime}
    return {"task": {"metadata": {**metadata, "tasktype": "pipeline"}, "content": body}}


def _read_body(file: str) -> dict[str, Any]:
    try:
        text = sys.stdin.read() if file == "-" else Path(file).read_text()
        body = json.loads(text)
    except OSError as error:
        raise CommandError(f"--body {file}: {error.strerror}") from error
    except ValueError as error:
        raise CommandError(f"--body {file}: is no JSON: {error}") from error
    if not isinstance(body, dict):
        raise CommandError(f"--body {file}: is no JSON object")
    return body


async def _choose_runtime(api: Api, name: str | None) -> dict[str, Any]:
    runtimes = await api.runtimes()
    chosen = [each for each in runtimes if name is None or each["name"] == name.lower()]
    if not chosen:
        known = ", ".join(each["name"] for each in runtimes)
        raise CommandError(f"there is no runtime '{name}'; there are: {known}")
    return chosen[0]


async def _download_first(chosen: Target, api: Api, task: dict[str, Any], file: Path) -> None:
    from darkroom_cli.objects import download, keep

    if not task["image_url"]:
        raise CommandError("the task has no image")
    if chosen.running:
        use_aws_of(chosen.running)
        await download(task["image_url"][0], file)
    else:  # whose AWS this command has no credentials for
        (image,) = await api.images({**task, "image_url": task["image_url"][:1]})
        await keep(image.content, file)
    say(f"wrote {file}")
