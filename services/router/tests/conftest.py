from __future__ import annotations

import pytest
from hypothesis import settings
from router_fakes import World

from testkit.aws import aws

__all__ = ["aws"]

settings.register_profile("router", deadline=None)  # a busy machine is not a defect
settings.load_profile("router")


@pytest.fixture
def world() -> World:
    return World()
