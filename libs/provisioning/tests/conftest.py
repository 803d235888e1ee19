from __future__ import annotations

import asyncio

import pytest
from provisioning_fakes import RUNTIMES

from contracts.ids import new_uid
from provisioning.resources import Resources, provision
from testkit.aws import aws

__all__ = ["aws"]


@pytest.fixture(scope="session")
def stack(aws: str) -> str:
    """The name of a stack of this session."""
    return f"stack-{new_uid().lower()}"


@pytest.fixture(scope="session")
def made(stack: str) -> Resources:
    """What was made under that name."""
    return asyncio.run(provision(stack, RUNTIMES))
