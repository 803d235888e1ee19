"""The queue of prompts, its one worker, and the history of what ran."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from sample_runtime.comfyui.hub import Hub
from sample_runtime.comfyui.nodes import Place
from sample_runtime.comfyui.runner import Cache, Run


@dataclass(frozen=True, kw_only=True)
class Item:
    """A prompt that was accepted, with the outputs of it that can run."""

    number: float
    prompt_id: str
    prompt: dict[str, Any]
    outputs: list[str]
    extra: dict[str, Any] = field(default_factory=dict)

    def as_list(self) -> list[Any]:
        """The item as `/queue` and `/history` show it."""
        return [self.number, self.prompt_id, self.prompt, self.extra, self.outputs]


class PromptQueue:
    """Prompts wait here, run one at a time and stay in the history."""

    def __init__(self, place: Place, hub: Hub) -> None:
        self._place = place
        self._hub = hub
        self._waiting: list[Item] = []
        self._running: tuple[Item, Run] | None = None
        self._arrived = asyncio.Event()
        self._numbers = itertools.count()
        self._cache: Cache = {}
        self._forget = False
        self.history: dict[str, dict[str, Any]] = {}

    def next_number(self, *, front: bool) -> float:
        """The next place in the order; negative numbers come before all others."""
        number = next(self._numbers)
        return -number if front else number

    def put(self, item: Item) -> None:
        """Let an item wait for its turn."""
        self._waiting = sorted([*self._waiting, item], key=lambda one: one.number)
        self._arrived.set()
        self._tell_status()

    def drop(self, wanted: Callable[[Item], bool]) -> None:
        """Take waiting items away; nobody is told of anything but the queue's length."""
        self._waiting = [item for item in self._waiting if not wanted(item)]
        self._tell_status()

    def forget(self) -> None:
        """Have the next prompt run in full; one that runs goes on."""
        self._forget = True

    def interrupt(self, prompt_id: str | None) -> None:
        """End the running prompt early, unless `prompt_id` names another one."""
        if self._running is None:
            return
        item, run = self._running
        if prompt_id in (None, item.prompt_id):
            run.interrupted = True
            self._place.gpu.interrupt()

    def running(self) -> list[Any]:
        """What runs."""
        return [] if self._running is None else [self._running[0].as_list()]

    def waiting(self) -> list[Any]:
        """What waits, the next one first."""
        return [item.as_list() for item in self._waiting]

    def remaining(self) -> int:
        """The number of prompts that wait or run."""
        return len(self._waiting) + len(self.running())

    async def work(self) -> None:
        """Run prompts for ever."""
        while True:
            while not self._waiting:
                self._arrived.clear()
                await self._arrived.wait()
            if self._forget:
                self._cache.clear()
                self._forget = False
            await self._run(self._waiting.pop(0))

    async def _run(self, item: Item) -> None:
        client = item.extra.get("client_id")
        run = Run(self._place, self._hub, client, item.prompt_id, item.prompt)
        self._running = (item, run)
        self._tell_status()
        await run.execute(item.outputs, self._cache)
        self._running = None
        self.history[item.prompt_id] = {
            "prompt": item.as_list(),
            "outputs": run.shown,
            "status": run.status(),
            "meta": {node: _meta(node) for node in run.shown},
        }
        self._tell_status()
        # Sent after failures and interrupts too: it says that the queue moved on, no more.
        self._hub.tell(client, "executing", {"node": None, "prompt_id": item.prompt_id})

    def _tell_status(self) -> None:
        self._hub.tell_all_status(self.remaining())


def _meta(node: str) -> dict[str, Any]:
    return {
        "node_id": node,
        "display_node": node,
        "parent_node": None,
        "real_node_id": node,
    }
