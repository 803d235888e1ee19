"""Runs one prompt: its nodes in order, from the cache where nothing changed."""

from __future__ import annotations

import json
import time
import traceback
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from sample_runtime.comfyui.graph import Prompt, parents
from sample_runtime.comfyui.hub import Hub
from sample_runtime.comfyui.library import NODES
from sample_runtime.comfyui.nodes import InterruptProcessingError, Place, Result

Cache = dict[str, Result]


@dataclass
class Run:
    """A prompt while it runs, and what its history will say."""

    place: Place
    hub: Hub
    client: str | None
    prompt_id: str
    prompt: dict[str, Any]
    interrupted: bool = False
    succeeded: bool = False
    shown: dict[str, Any] = field(default_factory=dict)
    messages: list[tuple[str, dict[str, Any]]] = field(default_factory=list)
    _executed: list[str] = field(default_factory=list)
    _states: dict[str, dict[str, Any]] = field(default_factory=dict)
    _current: str = ""

    async def execute(self, outputs: list[str], cache: Cache) -> None:
        """Run what the outputs need; failures end up in the messages, nothing is raised."""
        needed = _needed_by(outputs, self.prompt)
        keys = {node: signature(node, self.prompt, self.place) for node in needed}
        for stale in cache.keys() - set(keys.values()):
            del cache[stale]
        self._note("execution_start")
        cached = [node for node, key in keys.items() if key in cache]
        self._note("execution_cached", nodes=cached)
        results = {node: cache[keys[node]] for node in cached}
        for node in _in_order(outputs, self.prompt, cached):
            if not await self._run_node(node, results):
                return
            cache[keys[node]] = results[node]
        self._note("execution_success")
        self.succeeded = True

    def progress(self, value: int, maximum: int) -> None:
        """Tell the client how far the running node is."""
        self._state(self._current, "running", value, maximum)
        content = {"value": value, "max": maximum, "node": self._current}
        self._tell("progress", content)

    def status(self) -> dict[str, Any]:
        """The `status` of the history entry; an interrupt is an error there too."""
        return {
            "status_str": "success" if self.succeeded else "error",
            "completed": self.succeeded,
            "messages": self.messages,
        }

    async def _run_node(self, node: str, results: dict[str, Result]) -> bool:
        if node in results:
            self._state(node, "finished", 1, 1)
            self._show(node, results[node])
            return True
        self._current = node
        self._tell("executing", {"node": node, "display_node": node})
        self._state(node, "running", 0, 1)
        entry = self.prompt[node]
        values = _resolve(node, self.prompt, results)
        try:
            if self.interrupted:
                raise InterruptProcessingError  # noqa: TRY301  # one way to end a node early
            results[node] = await NODES[entry["class_type"]].run(self, values)
        except InterruptProcessingError:
            self._note("execution_interrupted", **self._where(node))
            return False
        except Exception as error:  # noqa: BLE001  # whatever a node raises is reported
            self._note("execution_error", **self._where(node), **_describe(error, values))
            return False
        self._state(node, "finished", 1, 1)
        self._show(node, results[node])
        self._executed.append(node)
        return True

    def _show(self, node: str, result: Result) -> None:
        if result.shown is not None:
            self.shown[node] = result.shown
            content = {"node": node, "display_node": node, "output": result.shown}
            self._tell("executed", content)

    def _where(self, node: str) -> dict[str, Any]:
        kind = self.prompt[node]["class_type"]
        return {"node_id": node, "node_type": kind, "executed": self._executed}

    def _state(self, node: str, state: str, value: int, maximum: int) -> None:
        self._states[node] = {
            "value": value,
            "max": maximum,
            "state": state,
            "node_id": node,
            "prompt_id": self.prompt_id,
            "display_node_id": node,
            "parent_node_id": None,
            "real_node_id": node,
        }
        self._tell("progress_state", {"nodes": dict(self._states)})

    def _note(self, event: str, **content: Any) -> None:
        noted = {"prompt_id": self.prompt_id, **content, "timestamp": int(time.time() * 1000)}
        self.messages.append((event, noted))
        self.hub.tell(self.client, event, noted)

    def _tell(self, event: str, content: dict[str, Any]) -> None:
        self.hub.tell(self.client, event, {**content, "prompt_id": self.prompt_id})


def signature(node: str, prompt: Prompt, place: Place) -> str:
    """A text that is the same when a node would do the same again."""
    entry = prompt[node]
    inputs = entry.get("inputs", {})
    linked = {
        name: [signature(parent, prompt, place), output]
        for name, (parent, output) in parents(prompt, node).items()
    }
    changing = NODES[entry["class_type"]].fingerprint(place, inputs)
    return json.dumps([entry["class_type"], changing, {**inputs, **linked}], sort_keys=True)


def _needed_by(outputs: list[str], prompt: Prompt) -> list[str]:
    return list(_in_order(outputs, prompt, cached=[]))


def _in_order(outputs: list[str], prompt: Prompt, cached: list[str]) -> Iterator[str]:
    seen: set[str] = set()

    def visit(node: str) -> Iterator[str]:
        if node in seen:
            return
        seen.add(node)
        if node not in cached:
            for parent, _ in parents(prompt, node).values():
                yield from visit(parent)
        yield node

    for output in outputs:
        yield from visit(output)


def _resolve(node: str, prompt: Prompt, results: dict[str, Result]) -> dict[str, Any]:
    linked = {
        name: results[parent].values[output]
        for name, (parent, output) in parents(prompt, node).items()
    }
    return {**prompt[node].get("inputs", {}), **linked}


def _describe(error: Exception, values: dict[str, Any]) -> dict[str, Any]:
    return {
        "exception_message": f"{error}\n",
        "exception_type": type(error).__name__,
        "traceback": traceback.format_tb(error.__traceback__),
        "current_inputs": {name: [repr(value)] for name, value in values.items()},
        "current_outputs": [],
    }
