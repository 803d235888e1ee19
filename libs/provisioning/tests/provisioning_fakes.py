"""The runtimes of these tests."""

from __future__ import annotations

from contracts.kinds import RuntimeType
from contracts.runtimes import Runtime

# One name begins as the other, so that a filter by prefix would show.
RUNTIMES = (
    Runtime(name="alpha", type=RuntimeType.SDWEBUI),
    Runtime(name="alphabet", type=RuntimeType.COMFYUI),
)
