"""Model files to be brought in: what is said of them."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

import yaml

from darkroom_cli.errors import CommandError
from darkroom_cli.models import hub
from modelfiles.formats import FORMATS, LISTED
from modelfiles.names import check_name

DEFAULT_FOLDER: Final = "Stable-diffusion"
_FIELDS: Final = {"source", "folder", "filename", "headers", "sha256"}
_SHA256: Final = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Model:
    """One model file and where it belongs; its source and headers may have a secret."""

    source: str = field(repr=False)  # a URL or a path
    folder: str
    filename: str
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)  # for its own host
    sha256: str | None = None
    size_bytes: int | None = None  # None: as large as its server says
    fetched: Path | None = None  # a copy that is at hand

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
        return without_secrets(self.source) if is_url(self.source) else self.source


def model(
    source: str,
    *,
    folder: str = DEFAULT_FOLDER,
    filename: str | None = None,
    headers: Mapping[str, str] | None = None,
    sha256: str | None = None,
    size_bytes: int | None = None,
) -> Model:
    """A model of a path, a URL or `hf:REPO/FILE`; raises `CommandError`.

    Its name is the last part of its source if it is given none.
    """
    name = filename or _path_of(source).rpartition("/")[2]
    given = dict(headers or {})
    if source.startswith(hub.SCHEME):
        source = hub.address_of(source)
    if hub.is_hub(source) and "authorization" not in map(str.lower, given):
        given.update(hub.token_header())
    try:
        check_name(folder, name)
    except ValueError as error:
        raise CommandError(str(error)) from None
    return Model(
        source=source, folder=folder, filename=name, headers=given,
        sha256=_sum(sha256), size_bytes=size_bytes,
    )  # fmt: skip


def _path_of(source: str) -> str:
    try:
        return urlsplit(source).path if is_url(source) else source
    except ValueError:
        raise CommandError("the source is no URL") from None


def _sum(sha256: str | None) -> str | None:
    if sha256 is None or _SHA256.fullmatch(sha256.lower()):
        return sha256 and sha256.lower()
    raise CommandError("a sha256 must be 64 hexadecimal digits")


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
        sha256=str(entry["sha256"]) if entry.get("sha256") else None,
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


def check_form(wanted: Model) -> None:
    """Return if runtimes read files of that name; raises `CommandError`."""
    if wanted.form is None:
        raise CommandError(
            f"{wanted.filename}: runtimes read no such file; they read {LISTED}"
            " (--force stores it)"
        )


def is_url(source: str) -> bool:
    """Whether it is a URL and no path."""
    return source.lower().startswith(("http://", "https://"))


def without_secrets(url: str) -> str:
    """A URL without login, query and fragment."""
    parts = urlsplit(url)
    host = parts.netloc.rpartition("@")[2]
    return parts._replace(netloc=host, query="", fragment="").geturl()
