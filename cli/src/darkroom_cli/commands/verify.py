"""`darkroom verify`: whether every runtime of a stack makes images."""

from __future__ import annotations

import os
import re
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from darkroom_cli.errors import CommandError
from darkroom_cli.interruption import unless
from darkroom_cli.requests import SAMPLE_CHECKPOINT
from darkroom_cli.terminal import (
    AsJson,
    DataDir,
    Endpoint,
    KeyFile,
    Target,
    attempt,
    fail,
    run,
    say,
    show_json,
    show_rows,
    target,
    use_aws_of,
)
from servicekit.lifecycle import stop_on_signals

if TYPE_CHECKING:
    from darkroom_cli.verification.run import Plan, Report


def verify(
    runtime: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME", help="Only this runtime. Repeat for more.", show_default="all"
        ),
    ] = None,
    result_topic: Annotated[
        str | None,
        typer.Option(
            metavar="ARN",
            help="Topic of the callbacks, for --endpoint; AWS is that of your credentials.",
            show_default=False,
        ),
    ] = None,
    size: Annotated[int, typer.Option(help="Width and height.", min=64, max=4096)] = 512,
    checkpoint: Annotated[
        str, typer.Option(metavar="NAME", help="The model for runtimes that take any.")
    ] = SAMPLE_CHECKPOINT,
    image: Annotated[
        str | None,
        typer.Option(
            help="An image to start from: a file, or an http or s3 URL.",
            show_default="a picture of its own",
        ),
    ] = None,
    open_seconds: Annotated[
        float,
        typer.Option(
            help="How long requests are sent again while a new stack does not take them.", min=0
        ),
    ] = 180,
    wait_seconds: Annotated[
        float, typer.Option(help="How long all of it may take; a first node takes minutes.")
    ] = 1800,
    folder: Annotated[
        Path | None,
        typer.Option("--out", help="Folder for the images.", file_okay=False),
    ] = None,
    keep: Annotated[bool, typer.Option("--keep", help="Leave the images in S3.")] = False,
    tag: Annotated[
        list[str] | None,
        typer.Option(
            metavar="KEY=VALUE",
            help="Tag of the queue that hears the topic meanwhile. Repeat for more.",
            show_default=False,
        ),
    ] = None,
    as_json: AsJson = False,
    endpoint: Endpoint = None,
    api_key_file: KeyFile = None,
    data_dir: DataDir = None,
) -> None:
    """Have every runtime make images and look at them; the status is 1 if something is wrong.

    Each image has to decode, to have the size that was asked for, and not to be blank. What was
    made is removed at the end: the images, and a queue that hears the callbacks meanwhile.

    Examples:

    darkroom verify

    darkroom verify --endpoint https://art.example.com/dev --api-key-file art.key
    --result-topic arn:aws:sns:us-east-1:111122223333:art-results
    """
    chosen = target(endpoint, api_key_file, data_dir)
    topic = _topic(chosen, result_topic)
    tags = attempt(lambda: _tags(tag or []))
    from darkroom_cli.verification.run import Plan

    plan = Plan(
        result_topic_arn=topic,
        runtimes=runtime or (),
        size=size,
        checkpoint=checkpoint,
        image=image,
        open_seconds=open_seconds,
        wait_seconds=wait_seconds,
        folder=folder,
        keep=keep,
        tags=tags,
    )
    run(_verify(chosen, plan, as_json=as_json))


async def _verify(chosen: Target, plan: Plan, *, as_json: bool) -> None:
    from darkroom_cli.verification.run import verify as verified

    with stop_on_signals() as stop:
        async with chosen.api() as api:
            report = await unless(stop, verified(api, plan, say))
    _show(report, as_json=as_json)
    if report.failures:
        fail(*report.failures)


def _show(report: Report, *, as_json: bool) -> None:
    images = [asdict(image) for image in report.images]
    if as_json:
        show_json({"images": images, "failures": report.failures})
        return
    rows = [{**each, "size": f"{each['width']}x{each['height']}"} for each in images]
    if rows:
        show_rows(rows, "id", "size", "seconds", "url", wrapped="url")


def _topic(chosen: Target, given: str | None) -> str:
    """The topic; the SDK of this process knows afterwards where it is."""
    if chosen.running:
        use_aws_of(chosen.running)
        return given or chosen.running.result_topic_arn
    if given is None:
        fail("--endpoint needs --result-topic ARN")
    arn = re.fullmatch(r"arn:[^:]+:sns:([^:]+):\d+:[^:]+", given)
    if arn is None:
        fail(f"--result-topic {given}: is no ARN of a topic")
    os.environ["AWS_REGION"] = arn[1]  # no other region knows the topic
    return given


def _tags(texts: list[str]) -> dict[str, str]:
    tags = {}
    for text in texts:
        key, equals, value = text.partition("=")
        if not key or not equals:
            raise CommandError(f"--tag {text}: must look like KEY=VALUE")
        tags[key] = value
    return tags
