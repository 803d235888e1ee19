"""The fixtures of `ansible_runs.py`, for every test of the deployment."""

from __future__ import annotations

from ansible_runs import ansible

__all__ = ["ansible"]
