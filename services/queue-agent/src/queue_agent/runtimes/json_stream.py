"""Reading JSON of which some strings are images: those are left where they are.

Streaming parsers give a string as a whole, so that one of 27 MB is in memory at least once.
Here nothing but the ends of strings is looked for. Long ones are cut out, and what is left is
parsed as any JSON.
"""

from __future__ import annotations

import binascii
import secrets
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, BinaryIO, Final

from pydantic_core import from_json

from queue_agent.files.body import PART_BYTES, Body, FileBody

LONG_BYTES: Final = 2**16
REST_BYTES: Final = 2**25  # of what is not an image
TOO_MUCH: Final = f"it has more than {REST_BYTES} bytes besides images"
_HEAD_BYTES: Final = 256  # the comma of a data URL is within them
_NO_BASE64: Final = bytes(
    set(range(256)) - set(b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/=")
)


class TooLongError(ValueError):
    """More than what is to be in memory would be."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LongString:
    """A string without escapes that is still in its text, from `start` to `end`."""

    text: FileBody = field(repr=False)
    start: int
    end: int

    def decoded(self) -> FileBody:
        """What base64, or a data URL, stands for; raises `ValueError`. This blocks."""
        body, rest = FileBody(), b""
        for part in self._parts():
            rest += part.translate(None, _NO_BASE64)
            whole = len(rest) - len(rest) % 4
            body.write(binascii.a2b_base64(rest[:whole]))
            rest = rest[whole:]
        body.write(binascii.a2b_base64(rest))
        return body

    def _parts(self) -> Iterator[bytes]:
        head = self.text.read(self.start, min(self.end, self.start + _HEAD_BYTES))
        start = head.index(b",") + 1 if head.startswith(b"data:") else 0
        with self.text.open() as reader:
            reader.seek(self.start + start)
            left = self.end - self.start - start
            while left:
                part = reader.read(min(left, PART_BYTES))
                left -= len(part)
                yield part


def parsed(text: Body, images: Collection[str] = ()) -> Any:
    """What JSON says, with `LongString` for long strings in its fields `images`.

    Raises `ValueError` for what is no JSON, and `TooLongError`. This blocks.
    """
    if isinstance(text, bytes):
        return from_json(text)
    cut = _Cut(text)
    with text.open() as reader:
        cut.read(reader)
    return _Placed(cut.strings).place(from_json(cut.rest), images)


class _Placed:
    """Puts strings where their tokens are: as they are, or as text while there is room."""

    def __init__(self, strings: Mapping[str, LongString]) -> None:
        self._strings = strings
        self._room = REST_BYTES

    def place(self, value: Any, images: Collection[str] = (), *, is_image: bool = False) -> Any:
        if isinstance(value, str):
            string = self._strings.get(value)
            return string if string and is_image else self._text(value)
        if isinstance(value, list):
            return [self.place(inner, is_image=is_image) for inner in value]
        if isinstance(value, dict):
            return {
                self._text(key): self.place(inner, is_image=is_image or key in images)
                for key, inner in value.items()
            }
        return value

    def _text(self, value: str) -> str:
        string = self._strings.get(value)
        if string is None:
            return value
        self._room -= string.end - string.start
        if self._room < 0:
            raise TooLongError(TOO_MUCH)
        return string.text.read(string.start, string.end).decode()


class _Cut:
    """The text without its long strings, for each of which it has a placeholder token."""

    def __init__(self, text: FileBody) -> None:
        self.rest = bytearray()
        self.strings: dict[str, LongString] = {}
        self._text = text
        self._token = secrets.token_hex(16)
        self._start: int | None = None  # of the string that is being read
        self._begun = bytearray()  # what it has so far, up to a little more than a long one has
        self._escapes = False

    def read(self, reader: BinaryIO) -> None:
        place = 0
        while part := reader.read(PART_BYTES):
            while part.endswith(b"\\") and (more := reader.read(1)):
                part += more  # an escape is never cut in two
            self._take(part, place)
            place += len(part)
            if len(self.rest) > REST_BYTES:
                raise TooLongError(TOO_MUCH)
        self.rest += self._begun

    def _take(self, part: bytes, place: int) -> None:
        at = 0
        while at < len(part):
            step = self._outside if self._start is None else self._inside
            at = step(part, place, at)

    def _outside(self, part: bytes, place: int, at: int) -> int:
        quote = part.find(b'"', at)
        if quote < 0:
            self.rest += part[at:]
            return len(part)
        self.rest += part[at : quote + 1]
        self._start, self._escapes = place + quote + 1, False
        return quote + 1

    def _inside(self, part: bytes, place: int, at: int) -> int:
        quote = part.find(b'"', at)
        end = quote if quote >= 0 else len(part)
        escape = part.find(b"\\", at, end)
        if escape >= 0:
            self._escapes = True
            end = escape + 2
        if len(self._begun) <= LONG_BYTES:
            self._begun += part[at:end]
        if escape >= 0 or quote < 0:
            return end
        self._close(place + quote)
        return quote + 1

    def _close(self, end: int) -> None:
        assert self._start is not None  # noqa: S101  # a string is being read
        if end - self._start <= LONG_BYTES:
            self.rest += self._begun
        elif self._escapes:
            self.rest += self._text.read(self._start, min(end, self._start + REST_BYTES))
        else:
            token = f"{self._token}{len(self.strings)}"
            self.strings[token] = LongString(text=self._text, start=self._start, end=end)
            self.rest += token.encode()
        self.rest += b'"'
        self._begun.clear()
        self._start = None
