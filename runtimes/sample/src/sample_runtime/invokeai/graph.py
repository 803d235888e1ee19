"""The graphs that an InvokeAI server takes, and what it has against the others."""

from __future__ import annotations

from typing import Annotated, Any, Self
from uuid import uuid4

from pydantic import BaseModel, Field, model_validator

from sample_runtime.invokeai.nodes import COMMON_FIELDS, MODEL_FIELDS, MODEL_PARTS, NODES


class Place(BaseModel):
    """One field of one node."""

    node_id: str
    field: str


class Edge(BaseModel):
    """Takes a node's result to another node."""

    source: Place
    destination: Place


class Graph(BaseModel):
    """Nodes by id and the edges between them; has no circle."""

    id: str = Field(default_factory=lambda: str(uuid4()))
    nodes: dict[str, dict[str, Any]] = {}
    edges: list[Edge] = []

    @model_validator(mode="after")
    def _fits(self) -> Self:
        for node_id, node in self.nodes.items():
            self._check_node(node_id, node)
        for edge in self.edges:
            self._check_edge(edge)
        self.order()
        return self

    def order(self) -> list[str]:
        """The nodes so that each comes after what it needs; raises `ValueError`."""
        left, order = set(self.nodes), list[str]()
        while left:
            free = [
                node for node in self.nodes if node in left and not self._needs(node) & left
            ]
            if not free:
                raise ValueError("Graph is not a valid directed acyclic graph")
            order += free
            left -= set(free)
        return order

    def _needs(self, node: str) -> set[str]:
        return {edge.source.node_id for edge in self.edges if edge.destination.node_id == node}

    def _check_node(self, node_id: str, node: dict[str, Any]) -> None:
        kind = NODES.get(str(node.get("type")))
        if kind is None:
            raise ValueError(f"Invalid invocation type {node.get('type')!r}")
        if node.get("id", node_id) != node_id:
            raise ValueError(f"Node ids must match, got {node_id} and {node['id']}")
        unknown = node.keys() - kind.takes.keys() - COMMON_FIELDS
        if unknown:
            raise ValueError(f"Extra inputs are not permitted: {', '.join(sorted(unknown))}")
        for name in MODEL_FIELDS & node.keys():
            for part in sorted(MODEL_PARTS - dict(node[name]).keys()):
                raise ValueError(f"{node_id}.{name}.{part}: Field required")

    def _check_edge(self, edge: Edge) -> None:
        for place, end in ((edge.source, "source"), (edge.destination, "destination")):
            if place.node_id not in self.nodes:
                raise ValueError(f"Edge {end} node {place.node_id} does not exist in the graph")
        source = NODES[self.nodes[edge.source.node_id]["type"]]
        target = NODES[self.nodes[edge.destination.node_id]["type"]]
        if edge.source.field not in source.gives or edge.destination.field not in target.takes:
            raise ValueError(
                f"Edge from {edge.source.field} to {edge.destination.field} is not possible"
            )


class Batch(BaseModel):
    """What is to be queued: one item for each run."""

    batch_id: str = Field(default_factory=lambda: str(uuid4()))
    origin: str | None = None
    destination: str | None = None
    data: None = None  # the stand-in has no batches of values
    graph: Graph
    workflow: dict[str, Any] | None = None
    runs: Annotated[int, Field(ge=1)] = 1
