"""What a ComfyUI says of its nodes, as far as inputs go."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Final

from queue_agent.domain import RuntimeLostError, RuntimeSilentError, TaskFailedError
from queue_agent.inputs.find import Chosen, Input, find_in_graph
from queue_agent.inputs.nodes import TABLE, Slots, read_definitions
from queue_agent.runtimes.http import RuntimeHttp

log = logging.getLogger(__name__)

BUDGET: Final = timedelta(seconds=60)  # a server with thousands of nodes and a slow disk


@dataclass(slots=True)
class NodeDefinitions:
    """Asked for once after a server has come up, for new nodes need a new start."""

    known: Mapping[str, Slots] | None = None

    async def look(self, http: RuntimeHttp) -> None:
        """Learn what nodes there are; a server that does not say it is taken as it comes."""
        if self.known is not None:
            return
        self.known = TABLE
        try:
            answer = await http.get("/object_info", budget=BUDGET)
        except (RuntimeSilentError, TaskFailedError) as error:
            log.warning("no definitions of nodes", extra={"reason": str(error)})
            return
        if answer.ok and isinstance(answer.body, dict):
            self.known = read_definitions(answer.body)
        else:
            log.warning("no definitions of nodes", extra={"status": answer.status})

    @contextmanager
    def forgotten_if_lost(self) -> Iterator[None]:
        """Have the next server asked again if this one is lost."""
        try:
            yield
        except RuntimeLostError:
            self.known = None
            raise

    def find_inputs(self, content: Mapping[str, Any], chosen: Chosen) -> list[Input]:
        """The inputs of a body; raises `TaskFailedError` as `find_in_graph` does."""
        return find_in_graph(content, chosen, TABLE if self.known is None else self.known)
