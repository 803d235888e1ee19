"""The routes of other servers' APIs, all of which are ordinary tasks underneath."""

from __future__ import annotations

from typing import Final

from fastapi import FastAPI

from ingest.bodies import Bodies
from ingest.native.sdwebui.images import Images, add_images
from ingest.native.sdwebui.state import State, add_state
from ingest.native.tasks import Tasks

# At the root, too, for clients that know only host and port.
_SDWEBUI: Final = ("/runtimes/{runtime}/sdapi/v1", "/sdapi/v1")


def add_native(app: FastAPI, tasks: Tasks, bodies: Bodies) -> None:
    """Add all of them."""
    add_images(app, Images(tasks=tasks, bodies=bodies), _SDWEBUI)
    add_state(app, State(tasks=tasks), _SDWEBUI)
