"""How prompts at a ComfyUI are named after the attempts that they are.

Since 2026 it takes only UUIDs in canonical form (`comfy_execution/jobs.py`: `validate_job_id`).
"""

from __future__ import annotations

from typing import Final
from uuid import UUID, uuid5

from contracts.ids import Uid

_ATTEMPTS: Final = UUID("6d7c8f0e-5b0a-5e51-9a53-1f0c6b1f7a42")


def prompt_id_of(uid: Uid, attempt: int) -> str:
    """The name of an attempt's prompt, the same every time."""
    return str(uuid5(_ATTEMPTS, f"{uid}-{attempt}"))


def earlier_prompts(uid: Uid, attempt: int) -> frozenset[str]:
    """The names of the prompts of all attempts before this one."""
    return frozenset(prompt_id_of(uid, number) for number in range(1, attempt))
