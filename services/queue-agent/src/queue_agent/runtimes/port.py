"""What a type of runtime brings to the agent, and what it is told."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from queue_agent.ports import ImageRuntime
from queue_agent.runtimes.loading import LoadedModels
from queue_agent.task.out_document import OutFormat
from queue_agent.task.prepare import FindInputs

TakeListings = Callable[[], Awaitable[Mapping[str, Any]]]
"""Gives what the server offers, by resource of its API; raises `RuntimeLostError`."""


async def no_listings() -> Mapping[str, Any]:
    """Nothing: no client asks for what this server offers."""
    return {}


@dataclass(frozen=True, slots=True, kw_only=True)
class RuntimeOptions:
    """What the operator sets for a runtime; no type needs all of it."""

    poll: timedelta
    silence: timedelta  # unanswered polls: the runtime is lost
    loaded: LoadedModels
    dynamic_model: bool  # it may be told to load another checkpoint
    own_model: str  # its file, if it serves one only; empty if that is not known
    models_folder: str  # as it sees it; empty if there is none


@dataclass(frozen=True, slots=True, kw_only=True)
class RuntimeParts:
    """One runtime, and the rules for bodies and answers of its type."""

    runtime: ImageRuntime
    find_inputs: FindInputs
    out: OutFormat
    listings: TakeListings
    width: int = 1  # runs that it is handed at once
