"""The fixtures of `ansible_runs.py` and `modules.py`, for every test of the deployment."""

from __future__ import annotations

from modules import modules

from ansible_runs import ansible

__all__ = ["ansible", "modules"]
