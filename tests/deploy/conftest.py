"""The fixtures that several tests of the deployment use."""

from __future__ import annotations

from ansible_runs import ansible
from modules import modules

__all__ = ["ansible", "modules"]
