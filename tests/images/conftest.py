from __future__ import annotations

from pathlib import Path

import pytest

from containers import SERVICES, base_image, build

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="session")
def images() -> dict[str, str]:
    """The image of each service, made of the PEX files of this run."""
    base = base_image()
    return {service: build(service, base, ROOT) for service in SERVICES}
