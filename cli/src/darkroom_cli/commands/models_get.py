"""`darkroom models get`: fetching well-known models, or any other, from where they are."""

from __future__ import annotations

import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import asdict
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Annotated

import typer

from darkroom_cli.commands.models import (
    Force,
    HeadersFile,
    Kind,
    Name,
    Sha256,
    headers_in,
    show_brought,
)
from darkroom_cli.errors import CommandError
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
    use_aws_of,
)
from servicekit.lifecycle import stop_on_signals

if TYPE_CHECKING:
    from darkroom_cli.models.files import Model
    from darkroom_cli.models.known import KnownModel
    from darkroom_cli.models.places import Place

GB = 10**9


def models_get(
    source: Annotated[
        str | None,
        typer.Argument(
            metavar="NAME|URL|hf:OWNER/NAME/FILE",
            help="A model of the list, a URL, or a file of the model hub "
            "(hf:OWNER/NAME@REVISION/FILE for a revision).",
            show_default=False,
        ),
    ] = None,
    listed: Annotated[
        bool, typer.Option("--list", help="List the well-known models, as without a name.")
    ] = False,
    kind: Kind = "Stable-diffusion",
    name: Name = None,
    to: Annotated[
        Path | None,
        typer.Option(
            help="A folder instead; it gets Stable-diffusion, Lora, ... as a bucket has them.",
            show_default=False,
        ),
    ] = None,
    bucket: Annotated[
        str | None,
        typer.Option(
            help="A bucket of your AWS credentials.", show_default="that of your stack"
        ),
    ] = None,
    headers_file: HeadersFile = None,
    sha256: Sha256 = None,
    accept_licence: Annotated[
        bool, typer.Option("--accept-licence", help="You have read its licence and accept it.")
    ] = False,
    force: Force = False,
    as_json: AsJson = False,
    data_dir: DataDir = None,
) -> None:
    """Fetch a model into the model bucket of your stack, or list the well-known ones.

    The stack need not run: it has the model when it is started. A fetch that breaks off or is
    stopped goes on where it was when it is run again. Size, head and sha256 are checked.
    HF_TOKEN is the token of the model hub, for models with terms to accept there.

    Examples:

    darkroom models get

    darkroom models get sd-turbo --accept-licence

    darkroom models get hf:stabilityai/sdxl-vae/sdxl_vae.safetensors --kind VAE

    darkroom models get https://models.example.com/detail.safetensors --kind Lora --to ./models
    """
    if source is None or listed:
        _show_known(as_json)
        return
    if to is not None and bucket is not None:
        fail("choose either --to or --bucket")
    headers = attempt(lambda: headers_in(headers_file))
    wanted = attempt(
        lambda: wanted_model(source, kind, name, headers, sha256, accept_licence=accept_licence)
    )
    run(fetch(wanted, to, bucket, force, as_json, data_dir))


def _show_known(as_json: bool) -> None:
    from darkroom_cli.models.known import KNOWN

    if as_json:
        show_json([{**asdict(each), "page": each.page} for each in KNOWN])
        return
    for each in KNOWN:
        asked = " (asks to be accepted)" if each.to_accept else ""
        for line in (
            f"{each.name:10} {each.use}",
            f"{'':10} {each.size_bytes / GB:.1f} GB, {each.licence}{asked}: {each.licence_url}",
            f"{'':10} {each.page}",
            f"{'':10} sha256 {each.sha256}",
        ):
            out.print(line, markup=False, highlight=False, soft_wrap=True)


def wanted_model(
    source: str,
    kind: str = "Stable-diffusion",
    name: str | None = None,
    headers: Mapping[str, str] = MappingProxyType({}),
    sha256: str | None = None,
    *,
    accept_licence: bool,
) -> Model:
    """The model that a source names; asks for its licence. Raises `CommandError`."""
    from darkroom_cli.models.files import is_url, model
    from darkroom_cli.models.hub import SCHEME
    from darkroom_cli.models.known import KNOWN

    known = next((each for each in KNOWN if each.name == source), None)
    if known is not None:
        _accept(known, accept_licence)
        return model(
            known.reference, folder=kind, filename=name, headers=headers,
            sha256=sha256 or known.sha256, size_bytes=known.size_bytes,
        )  # fmt: skip
    if not is_url(source) and not source.startswith(SCHEME):
        names = ", ".join(each.name for each in KNOWN)
        raise CommandError(
            f"{source}: is none of {names}, and neither a URL nor hf:OWNER/NAME/FILE"
        )
    return model(source, folder=kind, filename=name, headers=headers, sha256=sha256)


def _accept(known: KnownModel, accepted: bool) -> None:
    say(f"{known.name}: {known.size_bytes / GB:.1f} GB, {known.licence}: {known.licence_url}")
    if accepted or not known.to_accept:
        return
    if not _may_ask():
        raise CommandError(
            f"{known.name} has the {known.licence}: read {known.licence_url}"
            " and say --accept-licence"
        )
    if not typer.confirm("Do you accept this licence?", err=True):
        raise CommandError(f"{known.name}: its licence was not accepted")


def _may_ask() -> bool:
    return sys.stdin.isatty()


async def fetch(
    wanted: Model,
    to: Path | None = None,
    bucket: str | None = None,
    force: bool = False,
    as_json: bool = False,
    data_dir: Path | None = None,
) -> None:
    """Have a model in a folder, a bucket or the stack of `data_dir`; raises `CommandError`."""
    with stop_on_signals() as stop:
        async with _place(to, bucket, force, data_dir) as place:
            done = await unless(stop, place.bring(wanted))
    if as_json:
        show_json(asdict(done))
    else:
        show_brought(done)


@asynccontextmanager
async def _place(
    to: Path | None, bucket: str | None, force: bool, data_dir: Path | None
) -> AsyncIterator[Place]:
    from awsio import clients
    from darkroom_cli.models.folder import FolderStore
    from darkroom_cli.models.places import InBucket, InFolder, InStoppedStack
    from darkroom_cli.models.progress import shown_on
    from darkroom_cli.models.upload import Upload

    shown = shown_on(notes, say)
    if to is not None:
        yield InFolder(FolderStore(root=to, shown=shown, force=force))
        return
    folder = folder_of(data_dir)
    downloads = FolderStore(root=folder.path / "downloads", shown=shown, force=force)
    if bucket is None:
        try:
            running = folder.running()
        except CommandError:
            yield InStoppedStack(folder, downloads)
            return
        use_aws_of(running)
        bucket = running.model_bucket
    async with clients.s3() as s3:
        yield InBucket(Upload(s3=s3, bucket=bucket, shown=shown, force=force), downloads)
