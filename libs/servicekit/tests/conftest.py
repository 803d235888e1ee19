from __future__ import annotations

import pytest
from servicekit_fakes import FakeModelService

from servicekit.listen import free_port


@pytest.fixture
def service() -> FakeModelService:
    return FakeModelService()


@pytest.fixture
def port() -> int:
    return free_port()
