"""Reading a URL of a stranger, strictly: one that two parsers may read differently is refused.

Pure. What a URL leads to is decided by its addresses: see `egress.addresses`.
"""

from __future__ import annotations

import re
import unicodedata
from ipaddress import IPv4Address, IPv6Address
from typing import Final
from urllib.parse import urljoin

from yarl import URL

from egress.addresses import Address

URL_CHARACTERS: Final = 8192
_SCHEMES: Final = frozenset({"http", "https"})
_LAST_PORT: Final = 65535
_AUTHORITY = re.compile(r"(\[[0-9A-Fa-f:.]+\]|[^:\[\]%]+)(?::([0-9]{1,5}))?")
_WITH_HOST = re.compile(r"(?:[a-z][a-z0-9+.-]*:)?//[^/?#]*", re.IGNORECASE)
_SENT: Final = {byte: chr(byte) for byte in range(128) if chr(byte) != " "}
_LABEL = r"[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?"
_NAME = re.compile(rf"(?=.{{1,254}}\Z){_LABEL}(?:\.{_LABEL})*\.?", re.IGNORECASE)
# The URL standard's "ends in a number": such a host is an IPv4 address, in whatever spelling.
_NUMBER = re.compile(r"(?:.*\.)?(?:[0-9]+|0x[0-9a-f]*)\.?", re.IGNORECASE)


class RefusedUrlError(Exception):
    """A URL is not connected to; the text says why and shows nothing of it."""


def checked(text: str) -> URL:
    """The URL exactly as it is written, so that a signature in it stays good.

    Raises `RefusedUrlError` for everything but an unambiguous http or https URL.
    """
    _check_characters(text)
    scheme, separator, rest = text.partition("://")
    if not separator or scheme.lower() not in _SCHEMES:
        raise RefusedUrlError("it leads to something else than http and https")
    authority = re.split(r"[/?#]", rest, maxsplit=1)[0]
    if "@" in authority:
        raise RefusedUrlError("the URL has credentials in it")
    if not authority:
        raise RefusedUrlError("the URL names no host")
    parts = _AUTHORITY.fullmatch(authority)
    if parts is None:
        raise RefusedUrlError("the host or the port of the URL is not valid")
    if parts[2] is not None and not 0 < int(parts[2]) <= _LAST_PORT:
        raise RefusedUrlError("the port of the URL is not valid")
    try:
        url = URL(text, encoded=text.isascii())
        host = url.raw_host or ""
    except ValueError:
        raise RefusedUrlError("the host's name is not valid") from None
    _check_host(host)
    return url


def redirected(url: URL, location: str) -> URL:
    """Where a redirect leads, checked like any other URL.

    Raises `RefusedUrlError`, also for a way from https to http: what the first URL
    protects would travel in clear.
    """
    location = _as_browsers_send(location)
    if not location:
        raise RefusedUrlError("the redirect leads nowhere")
    # Before joining, which drops some characters in silence.
    _check_characters(location)
    try:
        joined = urljoin(str(url), location)
    except ValueError:
        raise RefusedUrlError("the host's name is not valid") from None
    target = checked(joined)
    if url.scheme == "https" and target.scheme == "http":
        raise RefusedUrlError("a redirect from https to http is not followed")
    return target


def literal_address(url: URL) -> Address | None:
    """The address that the URL itself names; None if it names a host."""
    host = url.raw_host or ""
    try:
        return IPv6Address(host) if ":" in host else IPv4Address(host)
    except ValueError:
        return None


def _as_browsers_send(location: str) -> str:
    """A redirect with the blanks and the bytes beyond ASCII of its path and query encoded.

    The URL standard has parsers do so; servers often leave it to them.
    """
    text = location.strip(" ")
    host = _WITH_HOST.match(text)
    start = host.end() if host else 0
    sent = text[start:].encode(errors="surrogateescape")  # as it came over the wire
    return text[:start] + "".join(_SENT.get(byte, f"%{byte:02X}") for byte in sent)


def _check_characters(text: str) -> None:
    if len(text) > URL_CHARACTERS:
        raise RefusedUrlError(f"the URL has more than {URL_CHARACTERS} characters")
    # Categories C and Z: controls, surrogates, blanks. A backslash is a slash to some parsers.
    if "\\" in text or any(unicodedata.category(one)[0] in "CZ" for one in text):
        raise RefusedUrlError("the URL has characters that no URL has")


def _check_host(host: str) -> None:
    if ":" in host:
        try:
            IPv6Address(host)
        except ValueError:
            raise RefusedUrlError("the host's name is not valid") from None
    elif _NUMBER.fullmatch(host):
        try:
            IPv4Address(host)
        except ValueError:
            raise RefusedUrlError("the host is an oddly written address") from None
    elif not _NAME.fullmatch(host):
        raise RefusedUrlError("the host's name is not valid")
