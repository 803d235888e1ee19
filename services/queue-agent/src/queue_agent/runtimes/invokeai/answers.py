"""Reading what InvokeAI says: refusals, the end of an item, and what it made. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Final

from contracts.state import Progress
from queue_agent.domain import RunInterruptedError, TaskFailedError
from queue_agent.runtimes.http import Answer
from queue_agent.runtimes.invokeai.graph import image_names
from queue_agent.runtimes.memory import CODE as OUT_OF_MEMORY
from queue_agent.runtimes.memory import is_out_of_memory
from queue_agent.runtimes.shape import items, mapping, progress

PENDING: Final = "pending"
ENDS: Final = frozenset({"completed", "failed", "canceled"})
_IMAGE_NAME = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9._-]{0,254}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Item:
    """One queue item as the server shows it: one run of a graph."""

    item_id: int
    status: str
    destination: str
    shown: Mapping[str, Any] = field(repr=False)

    @classmethod
    def read(cls, shown: object) -> Item | None:
        """The item that the server shows; None if it is none."""
        if not isinstance(shown, Mapping) or not isinstance(shown.get("item_id"), int):
            return None
        return cls(
            item_id=shown["item_id"],
            status=str(shown.get("status")),
            destination=str(shown.get("destination")),
            shown=shown,
        )

    def check_ending(self) -> None:
        """Return if all went well.

        Raises `TaskFailedError` for a failure and `RunInterruptedError` when somebody else
        cancelled it.
        """
        if self.status == "canceled":
            raise RunInterruptedError("somebody else cancelled the runtime's work")
        if self.status == "failed":
            raise self._failure()

    def progress(self) -> Progress | None:
        """How many of the graph's nodes have run."""
        total = len(mapping(mapping(self._session.get("graph")).get("nodes")))
        step = len(mapping(self._session.get("results")))
        return progress(min(step, total), total)

    def image_names(self) -> list[str]:
        """The names of the results, those of every node that is not marked as intermediate."""
        nodes = mapping(mapping(self._session.get("graph")).get("nodes"))
        found: dict[str, None] = {}
        for node, result in self._results():
            if not mapping(nodes.get(node)).get("is_intermediate"):
                found |= dict.fromkeys(_names(result))
        return list(found)

    def made(self) -> list[str]:
        """The names of all images that the run made, intermediate ones as well."""
        given = set(image_names(self._session.get("graph")))
        names = dict.fromkeys(name for _, result in self._results() for name in _names(result))
        return [name for name in names if name not in given]

    def has_values(self) -> bool:
        """Whether a node that no other one uses gave a value that is no image."""
        edges = items(mapping(self._session.get("graph")).get("edges"))
        used = {mapping(mapping(edge).get("source")).get("node_id") for edge in edges}
        nodes = mapping(mapping(self._session.get("graph")).get("nodes"))
        return any(
            result.get("value", result.get("collection")) is not None
            for node, result in self._results()
            if node not in used and not mapping(nodes.get(node)).get("is_intermediate")
        )

    def outputs(self) -> dict[str, list[Mapping[str, Any]]]:
        """Every result by the node's id in the graph that was sent."""
        outputs: dict[str, list[Mapping[str, Any]]] = {}
        for node, result in self._results():
            outputs.setdefault(node, []).append(result)
        return outputs

    def messages(self) -> list[tuple[str, dict[str, int]]]:
        """When it began and ended, as ComfyUI tells it: in milliseconds since 1970."""
        told = {
            "execution_start": self.shown.get("started_at"),
            "execution_success": self.shown.get("completed_at"),
        }
        moments = {what: _milliseconds(at) for what, at in told.items()}
        return [(what, {"timestamp": moment}) for what, moment in moments.items() if moment]

    @property
    def _session(self) -> Mapping[str, Any]:
        return mapping(self.shown.get("session"))

    def _results(self) -> Iterator[tuple[str, Mapping[str, Any]]]:
        # Nodes run as prepared copies, of which an iteration has many.
        sources = mapping(self._session.get("prepared_source_mapping"))
        for prepared, result in mapping(self._session.get("results")).items():
            yield str(sources.get(prepared, prepared)), mapping(result)

    def _failure(self) -> TaskFailedError:
        sources = mapping(self._session.get("prepared_source_mapping"))
        nodes = [str(sources.get(one, one)) for one in mapping(self._session.get("errors"))]
        kind = str(self.shown.get("error_type") or "Error")
        said = str(self.shown.get("error_message") or "the runtime gave no reason")
        where = f"node {', '.join(nodes)}: " if nodes else ""
        kept = ("error_type", "error_message", "error_traceback")
        no_memory = is_out_of_memory(kind, said)
        return TaskFailedError(
            f"{where}{kind}: {said}",
            code=OUT_OF_MEMORY if no_memory else "runtime_error",
            retryable=no_memory,
            answer={key: self.shown[key] for key in kept if self.shown.get(key)},
        )


def refusal(answer: Answer) -> TaskFailedError:
    """The failure that a refused graph is, with every complaint of the server."""
    detail = answer.body.get("detail") if isinstance(answer.body, Mapping) else answer.body
    if not isinstance(detail, list):
        return answer.failure(str(detail or f"the runtime answered {answer.status}"))
    return answer.failure("; ".join(map(_complaint, detail)))


def is_image_name(name: object) -> bool:
    """Whether a name that the server gave is one plain segment of a path."""
    return isinstance(name, str) and _IMAGE_NAME.fullmatch(name) is not None


def _complaint(one: object) -> str:
    detail = mapping(one)
    where = ".".join(map(str, items(detail.get("loc"))))
    return f"{where}: {detail.get('msg', 'is wrong')}"


def _names(result: Mapping[str, Any]) -> Iterator[str]:
    collection = result.get("collection")
    images = [result.get("image"), *items(collection)]
    for image in images:
        name = mapping(image).get("image_name")
        if is_image_name(name):
            yield str(name)


def _milliseconds(moment: object) -> int:
    """Since 1970, of a time that the server's database wrote, in UTC; 0 of anything else."""
    try:
        return round(datetime.fromisoformat(str(moment)).replace(tzinfo=UTC).timestamp() * 1000)
    except (ValueError, OverflowError):
        return 0
