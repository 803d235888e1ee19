"""Model files to be brought in: what is said of them, and their bytes, checked as they pass."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO, Final
from urllib.parse import urlsplit

import httpx
import yaml

from darkroom_cli.errors import CommandError
from modelfiles.formats import FORMATS, GGUF_BYTES, LISTED, check_gguf
from modelfiles.safetensors import Head, MalformedError

DEFAULT_FOLDER: Final = "Stable-diffusion"
SILENT_SECONDS: Final = 60
_FIELDS: Final = {"source", "folder", "filename", "headers"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Model:
    """One model file and where it belongs; its source and headers may have a secret."""

    source: str = field(repr=False)  # a URL or a path
    folder: str
    filename: str
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)

    @property
    def key(self) -> str:
        """Its key in the model bucket."""
        return f"{self.folder}/{self.filename}"

    @property
    def form(self) -> str | None:
        """Its format; None if runtimes read no such file."""
        return FORMATS.get(Path(self.filename).suffix.lower())

    @property
    def origin(self) -> str:
        """Its source without login and query, which may have a secret."""
        if not _is_url(self.source):
            return self.source
        parts = urlsplit(self.source)
        host = parts.netloc.rpartition("@")[2]
        return parts._replace(netloc=host, query="", fragment="").geturl()


def model(
    source: str,
    *,
    folder: str = DEFAULT_FOLDER,
    filename: str | None = None,
    headers: Mapping[str, str] | None = None,
) -> Model:
    """A model with the last part of its source as its name if it has none; `CommandError`."""
    path = urlsplit(source).path if _is_url(source) else source
    name = filename or path.rpartition("/")[2]
    for what, value in (("folder", folder), ("name", name)):
        if not value or "/" in value or value.startswith("."):
            raise CommandError(f"the {what} {value!r} must be one name without /")
    return Model(source=source, folder=folder, filename=name, headers=headers or {})


def listed_models(text: str) -> list[Model]:
    """The models of a YAML or JSON text, in the form of `models.yml`; raises `CommandError`.

    What is wrong is told without the values, which may be secret.
    """
    try:
        content = yaml.safe_load(text)
    except yaml.YAMLError:
        raise CommandError("the list of models is neither YAML nor JSON") from None
    found = content.get("models") if isinstance(content, dict) else content
    if not isinstance(found, list):
        raise CommandError("there is no list of models: it must look like models: [...]")
    return [_listed(each, number) for number, each in enumerate(found, start=1)]


def _listed(entry: Any, number: int) -> Model:
    if not isinstance(entry, dict) or not isinstance(entry.get("source"), str):
        raise CommandError(f"model {number} of the list has no source")
    if unknown := sorted(map(str, entry.keys() - _FIELDS)):
        known = ", ".join(sorted(_FIELDS))
        raise CommandError(f"model {number} has {', '.join(unknown)}; allowed: {known}")
    headers = entry.get("headers") or {}
    if not isinstance(headers, dict):
        raise CommandError(f"the headers of model {number} must look like {{name: value}}")
    return model(
        entry["source"],
        folder=str(entry.get("folder") or DEFAULT_FOLDER),
        filename=str(entry.get("filename") or "") or None,
        headers={str(name): str(value) for name, value in headers.items()},
    )


def headers_of(text: str) -> dict[str, str]:
    """The headers of lines like `Name: value`; raises `CommandError`."""
    headers = {}
    for line in filter(None, map(str.strip, text.splitlines())):
        name, colon, value = line.partition(":")
        if not colon:
            raise CommandError("each line of the headers must look like `Name: value`")
        headers[name.strip()] = value.strip()
    return headers


@dataclass(frozen=True, slots=True)
class Opened:
    """A file that is being read; `size_bytes` is None if nobody tells it."""

    model: Model
    size_bytes: int | None
    _blocks: AsyncIterator[bytes]

    async def parts(self, part_bytes: int) -> AsyncIterator[bytes]:
        """The file in parts of that size, checked as they pass; raises `MalformedError`."""
        part = bytearray()
        async for block in self._checked():
            part += block
            while len(part) >= part_bytes:
                yield bytes(part[:part_bytes])
                del part[:part_bytes]
        if part:
            yield bytes(part)

    async def _checked(self) -> AsyncIterator[bytes]:
        head = Head() if self.model.form == "safetensors" else None
        begin, taken = b"", 0
        async for block in self._blocks:
            begin += block[: GGUF_BYTES - len(begin)]
            taken += len(block)
            if head:
                head.take(block, self.size_bytes)
            elif self.model.form == "gguf" and len(begin) == GGUF_BYTES:
                check_gguf(begin)
            yield block
        if self.size_bytes is not None and taken != self.size_bytes:
            raise MalformedError(f"{self.size_bytes} bytes were promised and {taken} came")
        if not taken:
            raise MalformedError("it is empty")
        if head:
            head.check_end(taken)
        elif self.model.form == "gguf":
            check_gguf(begin)


@asynccontextmanager
async def opened(wanted: Model) -> AsyncIterator[Opened]:
    """Open a URL or a file; raises `CommandError`, here and while it is read."""
    try:
        if _is_url(wanted.source):
            async with _answered(wanted) as answer:
                size = answer.headers.get("content-length")
                promised = None if size is None else int(size)
                yield Opened(wanted, promised, _arriving(answer, promised))
        else:
            path = Path(wanted.source)
            file = await asyncio.to_thread(path.open, "rb")
            with file:
                size = (await asyncio.to_thread(path.stat)).st_size
                yield Opened(wanted, size, _read(file))
    except MalformedError as error:
        raise CommandError(f"{wanted.origin}: {error}") from error
    except OSError as error:
        raise CommandError(f"{wanted.origin}: {error.strerror or error}") from error
    except (httpx.HTTPError, httpx.InvalidURL, UnicodeError) as error:
        # Its text may have the URL or a header.
        raise CommandError(f"{wanted.origin}: {type(error).__name__}") from None


def check_form(wanted: Model) -> None:
    """Return if runtimes read files of that name; raises `CommandError`."""
    if wanted.form is None:
        raise CommandError(
            f"{wanted.filename}: runtimes read no such file; they read {LISTED}"
            " (--force stores it)"
        )


@asynccontextmanager
async def _answered(wanted: Model) -> AsyncIterator[httpx.Response]:
    headers = {"accept-encoding": "identity", **wanted.headers}
    async with (
        httpx.AsyncClient(timeout=SILENT_SECONDS, follow_redirects=True) as client,
        client.stream("GET", wanted.source, headers=headers) as answer,
    ):
        if not answer.is_success:
            said = f"the server answered {answer.status_code} {answer.reason_phrase}"
            raise CommandError(f"{wanted.origin}: {said}")
        yield answer


async def _arriving(answer: httpx.Response, promised: int | None) -> AsyncIterator[bytes]:
    try:
        async for block in answer.aiter_raw():
            yield block
    except httpx.RemoteProtocolError:
        if promised is None:
            raise
        # It broke off: what is missing is told by its size.


async def _read(file: BinaryIO) -> AsyncIterator[bytes]:
    while block := await asyncio.to_thread(file.read, 2**20):
        yield block


def _is_url(source: str) -> bool:
    return source.lower().startswith(("http://", "https://"))
