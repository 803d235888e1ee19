"""Mitogen's strategy without its pinning to processors, at which several runs would wait.

On two processors all its runs would share one.
"""

from __future__ import annotations

import ansible_mitogen.affinity  # type: ignore[import-not-found]  # only Ansible's Python has it
from ansible_mitogen.plugins.strategy.mitogen_linear import (  # type: ignore[import-not-found]
    StrategyModule,
)

__all__ = ["StrategyModule"]

ansible_mitogen.affinity.policy = ansible_mitogen.affinity.Policy()
