"""Mitogen's strategy without its pinning to processors, at which several runs would wait.

On two processors all its runs would share one.
"""

from __future__ import annotations

# It comes with the tools of deployment, whose Python runs this.
import ansible_mitogen.affinity  # pants: no-infer-dep
from ansible_mitogen.plugins.strategy import mitogen_linear  # pants: no-infer-dep

StrategyModule = mitogen_linear.StrategyModule
ansible_mitogen.affinity.policy = ansible_mitogen.affinity.Policy()
