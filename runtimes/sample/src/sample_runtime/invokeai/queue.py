"""The queue of an InvokeAI server and its one worker."""

from __future__ import annotations

import asyncio
import itertools
import json
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Final
from uuid import uuid4

from sample_runtime.gpu import Gpu
from sample_runtime.invokeai.graph import Batch
from sample_runtime.invokeai.nodes import NODES, Stock

PENDING: Final = "pending"
_ENDED: Final = frozenset({"completed", "failed", "canceled"})


@dataclass(kw_only=True)
class Item:
    """One run of a graph, with what it made; prepared nodes are the ones that really run."""

    item_id: int
    batch: Batch
    status: str = PENDING
    error: tuple[str, str] | None = None
    results: dict[str, dict[str, Any]] = field(default_factory=dict)
    errors: dict[str, str] = field(default_factory=dict)
    prepared: dict[str, str] = field(default_factory=dict)  # prepared id: id in the graph
    session_id: str = field(default_factory=lambda: str(uuid4()))
    created_at: datetime = field(default_factory=lambda: datetime.now(UTC))
    started_at: datetime | None = None
    completed_at: datetime | None = None

    @property
    def ended(self) -> bool:
        """Whether nothing more happens to it."""
        return self.status in _ENDED

    def shown(self) -> dict[str, Any]:
        """The item as the server shows it."""
        error_type, error_message = self.error or (None, None)
        return {
            "item_id": self.item_id,
            "status": self.status,
            "priority": 0,
            "batch_id": self.batch.batch_id,
            "origin": self.batch.origin,
            "destination": self.batch.destination,
            "session_id": self.session_id,
            "error_type": error_type,
            "error_message": error_message,
            "error_traceback": None,
            "created_at": _written(self.created_at),
            "started_at": _written(self.started_at),
            "completed_at": _written(self.completed_at),
            "queue_id": "default",
            "field_values": None,
            "session": self._session(),
        }

    def _session(self) -> dict[str, Any]:
        executed = [self.prepared[one] for one in self.results]
        return {
            "id": self.session_id,
            "graph": self.batch.graph.model_dump(),
            "executed": executed,
            "executed_history": executed,
            "results": self.results,
            "errors": self.errors,
            "prepared_source_mapping": self.prepared,
            "source_prepared_mapping": {source: [one] for one, source in self.prepared.items()},
        }


def _written(moment: datetime | None) -> str | None:
    """As the server's SQLite writes it: `STRFTIME('%Y-%m-%d %H:%M:%f')`."""
    return moment.strftime("%Y-%m-%d %H:%M:%S.%f")[:-3] if moment else None


class SessionQueue:
    """Items wait here, run one at a time and stay to be asked for."""

    def __init__(self, gpu: Gpu, stock: Stock) -> None:
        self._gpu = gpu
        self._stock = stock
        self._results: dict[str, dict[str, Any]] = {}  # by node and values, to be used again
        self._arrived = asyncio.Event()
        self._numbers = itertools.count(1)
        self._running: Item | None = None
        self.items: dict[int, Item] = {}

    def put(self, batch: Batch) -> list[Item]:
        """Queue a batch; gives its items."""
        new = [Item(item_id=next(self._numbers), batch=batch) for _ in range(batch.runs)]
        self.items |= {item.item_id: item for item in new}
        self._arrived.set()
        return new

    def cancel(self, item: Item) -> None:
        """End an item early, unless it has ended."""
        if not item.ended:
            item.status = "canceled"
            if item is self._running:
                self._gpu.interrupt()

    def drop_results(self, image: str) -> None:
        """Forget the results that name an image, so that no run is given them again."""
        kept = {key: made for key, made in self._results.items() if image not in str(made)}
        self._results = kept

    async def work(self) -> None:
        """Run items for ever."""
        while True:
            waiting = [item for item in self.items.values() if item.status == PENDING]
            if waiting:
                await self._run(waiting[0])
            else:
                self._arrived.clear()
                await self._arrived.wait()

    async def _run(self, item: Item) -> None:
        item.status, self._running = "in_progress", item
        item.started_at = datetime.now(UTC)
        async with self._gpu.work(str(item.item_id)):
            for node in item.batch.graph.order():
                if item.ended:
                    break
                await self._run_node(item, node)
        self._running = None
        if not item.ended:
            item.status, item.completed_at = "completed", datetime.now(UTC)

    async def _run_node(self, item: Item, node: str) -> None:
        prepared = str(uuid4())
        item.prepared[prepared] = node
        given = item.batch.graph.nodes[node]
        kind = NODES[given["type"]]
        try:
            values = kind.values(given["type"], {**given, **_linked(item, node)})
            key = json.dumps({**values, "id": None}, sort_keys=True)
            if values.get("use_cache", True) and key in self._results:
                item.results[prepared] = self._results[key]
                return
            if "image" in kind.gives:
                await self._gpu.sample(str(values.get("text", "")), steps=1, on_step=_ignore)
            if not item.ended:
                made = await asyncio.to_thread(kind.run, self._stock, values)
                item.results[prepared] = self._results[key] = made
        except Exception as error:  # noqa: BLE001  # whatever a node raises is reported
            item.status, item.error = "failed", (type(error).__name__, str(error))
            item.errors[prepared] = f"{type(error).__name__}: {error}"


def _linked(item: Item, node: str) -> dict[str, Any]:
    made = {item.prepared[prepared]: result for prepared, result in item.results.items()}
    return {
        edge.destination.field: made[edge.source.node_id][edge.source.field]
        for edge in item.batch.graph.edges
        if edge.destination.node_id == node
    }


def _ignore(_: int) -> None: ...
