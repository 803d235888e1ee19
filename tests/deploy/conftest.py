"""The fixtures of `ansible_runs.py` and `modules.py`, for every test of the deployment."""

from __future__ import annotations

from ansible_runs import ansible
from modules import modules

__all__ = ["ansible", "modules"]
