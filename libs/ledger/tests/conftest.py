from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio
from hypothesis import HealthCheck, settings

from awsio import clients
from contracts.ids import new_uid
from ledger.dynamodb import DynamoDbLedger
from ledger.memory import MemoryLedger
from ledger.port import Ledger
from provisioning.resources import provision
from testkit.aws import aws

__all__ = ["aws"]

settings.register_profile(
    "ledger",
    deadline=None,  # a busy machine is not a defect
    max_examples=20,
    # Each example takes a runtime of its own, so it may share the table.
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
settings.load_profile("ledger")


@pytest.fixture(scope="session")
def table(aws: str) -> str:
    """A table of this session."""
    return asyncio.run(provision(f"ledger-{new_uid().lower()}", [])).table


@pytest_asyncio.fixture
async def dynamodb(table: str) -> AsyncIterator[DynamoDbLedger]:
    async with clients.dynamodb() as client:
        yield DynamoDbLedger(client=client, table=table)


@pytest.fixture(params=["memory", "dynamodb"])
def ledger(request: pytest.FixtureRequest) -> Ledger:
    """Each ledger that must keep the contract."""
    if request.param == "memory":
        return MemoryLedger()
    found: DynamoDbLedger = request.getfixturevalue("dynamodb")
    return found
