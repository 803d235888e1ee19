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
from enum import Enum, auto
from typing import Any, BinaryIO, Final

from pydantic_core import from_json

from queue_agent.files.body import PART_BYTES, Body, FileBody

LONG_BYTES: Final = 2**16
REST_BYTES: Final = 2**25  # of what is not an image
TOO_MUCH: Final = f"it has more than {REST_BYTES} bytes besides images"
_HEAD_BYTES: Final = 256  # the comma of a data URL is within them
_BASE64: Final = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/="
_NO_BASE64: Final = bytes(set(range(256)) - set(_BASE64))


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

    def head(self) -> bytes:
        """Its beginning."""
        return self.text.read(self.start, min(self.end, self.start + _HEAD_BYTES))

    def _parts(self) -> Iterator[bytes]:
        head = self.head()
        start = head.index(b",") + 1 if head.startswith(b"data:") else 0
        with self.text.open() as reader:
            reader.seek(self.start + start)
            left = self.end - self.start - start
            while left:
                part = reader.read(min(left, PART_BYTES))
                left -= len(part)
                yield part


def parsed(text: Body, images: Collection[str] = (), *, echoed: Collection[str] = ()) -> Any:
    """What JSON says, with `LongString` for long strings in its fields `images`.

    Of long base64 in its fields `echoed`, which repeat what was asked, only the length is
    left. Raises `ValueError` for what is no JSON, and `TooLongError`. This blocks.
    """
    if isinstance(text, bytes):
        strings, rest = {}, from_json(text)
    else:
        cut = _Cut(text)
        with text.open() as reader:
            cut.read(reader)
        strings, rest = cut.strings, from_json(cut.rest)
    placed = _Placed(strings)
    if not isinstance(rest, dict):
        return placed.place(rest)
    return {
        placed.place(key): placed.place(inner, _Place.of(str(key), images, echoed))
        for key, inner in rest.items()
    }


class _Place(Enum):
    """What the strings of a field are."""

    REST = auto()
    IMAGE = auto()
    ECHO = auto()

    @classmethod
    def of(cls, key: str, images: Collection[str], echoed: Collection[str]) -> _Place:
        if key in images:
            return cls.IMAGE
        return cls.ECHO if key in echoed else cls.REST


class _Placed:
    """Puts strings where their tokens are: as they are, or as text while there is room."""

    def __init__(self, strings: Mapping[str, LongString]) -> None:
        self._strings = strings
        self._room = REST_BYTES

    def place(self, value: Any, where: _Place = _Place.REST) -> Any:
        if isinstance(value, str):
            return self._placed(value, where)
        if isinstance(value, list):
            return [self.place(inner, where) for inner in value]
        if isinstance(value, dict):
            return {self._text(key): self.place(inner, where) for key, inner in value.items()}
        return value

    def _placed(self, value: str, where: _Place) -> str | LongString:
        string = self._strings.get(value)
        if where is _Place.IMAGE and string:
            return string
        if where is _Place.ECHO:
            length = string.end - string.start if string else len(value)
            head = string.head() if string else value[:_HEAD_BYTES].encode(errors="replace")
            if length > LONG_BYTES and _is_base64(head):
                return f"({length} characters of base64)"
        return self._text(value)

    def _text(self, value: str) -> str:
        string = self._strings.get(value)
        if string is None:
            return value
        self._room -= string.end - string.start
        if self._room < 0:
            raise TooLongError(TOO_MUCH)
        return string.text.read(string.start, string.end).decode()


def _is_base64(head: bytes) -> bool:
    start = head.index(b",") + 1 if head.startswith(b"data:") and b"," in head else 0
    return not head[start:].translate(None, _BASE64)


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
