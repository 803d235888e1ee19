"""A stack on AWS, and what a kind of its resources is."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

TAG = "darkroom/stack"
Found = tuple[str, str]


class Stack:
    """A stack's name, where it is, and clients of AWS."""

    def __init__(self, name: str, *, region: str, client: Callable[[str], Any]) -> None:
        self.name, self.region, self._make = name, region, client
        self._clients: dict[str, Any] = {}

    def client(self, service: str) -> Any:
        """The one client of a service."""
        if service not in self._clients:
            self._clients[service] = self._make(service)
        return self._clients[service]

    def pages(self, service: str, call: str, key: str, **request: Any) -> Iterator[Any]:
        """All items of a paged call."""
        paginator = self.client(service).get_paginator(call)
        for page in paginator.paginate(**request):
            yield from page.get(key) or []

    def has(self, tags: Any) -> bool:
        """Whether tags, in either form of AWS, are of this stack."""
        if isinstance(tags, dict):
            return tags.get(TAG) == self.name
        return any(
            tag.get("Key", tag.get("key")) == TAG
            and tag.get("Value", tag.get("value")) == self.name
            for tag in tags or []
        )


@dataclass(frozen=True)
class Kind:
    """One kind of resource."""

    title: str
    call: str  # the call of AWS that lists it, to be left out where an emulator lacks it
    find: Callable[[Stack], Iterator[Found]]
    remove: Callable[[Stack, str], Any]
    holds_data: bool = False  # kept unless asked for


def by(service: str, call: str, parameter: str, **more: Any) -> Callable[[Stack, str], Any]:
    """A removal that is one call with one id."""

    def remove(stack: Stack, identifier: str) -> Any:
        return getattr(stack.client(service), call)(**{parameter: identifier}, **more)

    return remove
