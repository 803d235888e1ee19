"""How far a graph is, from what ComfyUI tells of its nodes one after another. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from contracts.state import Progress
from queue_agent.runtimes.shape import items, mapping, progress, text, whole

_STEPS: Final = "steps"
_USUAL_STEPS: Final = 20  # of a node whose number of steps comes from another node


@dataclass(slots=True)
class GraphProgress:
    """The steps of all nodes: those that tell theirs, and those that are expected to.

    A node with `steps` is expected to tell them until it has ended without a word, as the
    schedulers do that only count for a sampler.
    """

    expected: dict[str, int] = field(default_factory=dict)
    _told: dict[str, Progress] = field(default_factory=dict, init=False)
    _at: str = field(default="", init=False)

    @classmethod
    def of(cls, graph: Mapping[str, Any]) -> GraphProgress:
        """The progress of a graph of which nothing has run."""
        nodes = {
            node_id: mapping(mapping(node).get("inputs")) for node_id, node in graph.items()
        }
        return cls(
            {
                node_id: max(1, whole(inputs[_STEPS]))
                if isinstance(inputs[_STEPS], int)
                else _USUAL_STEPS
                for node_id, inputs in nodes.items()
                if _STEPS in inputs
            }
        )

    def hear(self, kind: str, content: Mapping[str, Any]) -> Progress | None:
        """How far the graph is after an event, None if that is not known."""
        match kind:
            case "execution_cached":
                for node in items(content.get("nodes")):
                    self.expected.pop(text(node), None)
            case "executing":
                self._end(self._at)
                self._at = text(content.get("node"))
            case "progress":
                self._tell(content)
            case _:
                pass
        return self._sum() if self._told else None

    def _end(self, node: str) -> None:
        if told := self._told.get(node):
            self._told[node] = Progress(step=told.total, total=told.total)
        self.expected.pop(node, None)

    def _tell(self, content: Mapping[str, Any]) -> None:
        node, now = (
            text(content.get("node")),
            progress(content.get("value"), content.get("max")),
        )
        if now is None:
            return
        before = self._told.get(node, now)
        # A node may count several times from one on, as for each tile of an upscaler.
        step, total = max(before.step, now.step), max(before.total, now.total)
        self._told[node] = Progress(step=step, total=total)

    def _sum(self) -> Progress | None:
        totals = self.expected | {node: one.total for node, one in self._told.items()}
        return progress(sum(one.step for one in self._told.values()), sum(totals.values()))
