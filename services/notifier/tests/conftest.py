from __future__ import annotations

import pytest
from notifier_fakes import World

from testkit.aws import aws

__all__ = ["aws"]


@pytest.fixture
def world() -> World:
    return World()
