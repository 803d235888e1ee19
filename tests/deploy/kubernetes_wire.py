"""Secrets as Helm sends them: in Kubernetes' protobuf, which its other objects are not in.

The envelope: https://kubernetes.io/docs/reference/using-api/api-concepts/#protobuf-encoding-idl;
the numbers of fields: `generated.proto` of k8s.io/api/core/v1 and k8s.io/apimachinery.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from typing import Any

Json = dict[str, Any]

_MAGIC = b"k8s\0"
_TYPE, _RAW = 1, 2  # of the envelope
_API_VERSION, _KIND = 1, 2  # of its type
_METADATA, _DATA, _SECRET_TYPE = 1, 2, 3  # of a secret
_NAME, _NAMESPACE, _LABELS = 1, 3, 11  # of its metadata
_KEY, _VALUE = 1, 2  # of an entry of a map


def decoded(body: bytes) -> Json:
    """The object of a request's body; raises `ValueError` for protobuf of another kind."""
    if not body.startswith(_MAGIC):
        found: Json = json.loads(body)
        return found
    envelope = dict(_fields(body.removeprefix(_MAGIC)))
    which = dict(_fields(envelope[_TYPE]))
    if (which[_API_VERSION], which[_KIND]) != (b"v1", b"Secret"):
        raise ValueError(f"no protobuf of {which[_KIND].decode()} is known here")
    return _secret(envelope[_RAW])


def _secret(raw: bytes) -> Json:
    fields = list(_fields(raw))
    once = dict(fields)
    metadata = list(_fields(once[_METADATA]))
    named = dict(metadata)
    labels = (_entry(value) for number, value in metadata if number == _LABELS)
    held = (_entry(value) for number, value in fields if number == _DATA)
    return {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {
            "name": named[_NAME].decode(),
            "namespace": named.get(_NAMESPACE, b"").decode(),
            "labels": {key: value.decode() for key, value in labels},
        },
        "type": once[_SECRET_TYPE].decode(),
        "data": {key: base64.b64encode(value).decode() for key, value in held},
    }


def _entry(raw: bytes) -> tuple[str, bytes]:
    entry = dict(_fields(raw))
    return entry[_KEY].decode(), entry.get(_VALUE, b"")


def _fields(raw: bytes) -> Iterator[tuple[int, bytes]]:
    """The fields with a length, by number; numbers are left out."""
    place = 0
    while place < len(raw):
        tag, place = _number(raw, place)
        length, place = _number(raw, place)
        if tag & 7 == 2:
            yield tag >> 3, raw[place : place + length]
            place += length
        elif tag & 7 != 0:
            raise ValueError(f"no field of wire type {tag & 7} is known here")


def _number(raw: bytes, place: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = raw[place]
        value |= (byte & 127) << shift
        place, shift = place + 1, shift + 7
        if byte < 128:
            return value, place
