"""Files of the model hub: `hf:REPO/FILE`, and the token that only the hub gets."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from typing import Final
from urllib.parse import quote, urlsplit

from darkroom_cli.errors import CommandError

SCHEME: Final = "hf:"
ENDPOINT: Final = "https://huggingface.co"
_REFERENCE: Final = re.compile(
    r"hf:(?P<repository>[\w.-]+/[\w.-]+)(@(?P<revision>[\w.-]+))?/(?P<file>[^?#]+)"
)


def address_of(reference: str) -> str:
    """The URL of `hf:REPO/FILE` or `hf:REPO@REVISION/FILE`; raises `CommandError`."""
    match = _REFERENCE.fullmatch(reference)
    if match is None:
        raise CommandError(
            f"{reference}: must look like hf:OWNER/NAME/FILE or hf:OWNER/NAME@REVISION/FILE"
        )
    revision, file = match["revision"] or "main", quote(match["file"])
    return f"{endpoint()}/{match['repository']}/resolve/{revision}/{file}"


def endpoint() -> str:
    """The hub's URL; HF_ENDPOINT names a mirror, as it does for the hub's own tools."""
    return os.environ.get("HF_ENDPOINT", "").rstrip("/") or ENDPOINT


def is_hub(url: str) -> bool:
    """Whether a URL is one of the hub's own host, and not of where it redirects to."""
    hub, asked = urlsplit(endpoint()), urlsplit(url)
    return (hub.scheme, hub.netloc) == (asked.scheme, asked.netloc)


def token_header() -> Mapping[str, str]:
    """The header with HF_TOKEN, if it is set; raises `CommandError` without its value."""
    token = os.environ.get("HF_TOKEN", "").strip()
    if not all("!" <= character <= "~" for character in token):
        raise CommandError("HF_TOKEN: is no token of the hub")
    return {"authorization": f"Bearer {token}"} if token else {}


def page_of(url: str) -> str:
    """The page of the makers of a file of the hub."""
    return url.partition("/resolve/")[0]
