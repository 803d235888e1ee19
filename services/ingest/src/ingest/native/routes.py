"""The routes of other servers' APIs, all of which are ordinary tasks underneath."""

from __future__ import annotations

from typing import Final

from fastapi import FastAPI

from ingest.bodies import Bodies
from ingest.native.listings import Listings
from ingest.native.openai import images as openai_images
from ingest.native.openai.models import ModelNames, add_models
from ingest.native.sdwebui.images import Images, add_images
from ingest.native.sdwebui.listings import Offers, add_listings
from ingest.native.sdwebui.state import State, add_state
from ingest.native.tasks import Tasks
from ingest.ports import Models

# At the root, too, for clients that know only host and port.
_SDWEBUI: Final = ("/runtimes/{runtime}/sdapi/v1", "/sdapi/v1")


def add_native(app: FastAPI, tasks: Tasks, models: Models, bodies: Bodies) -> None:
    """Add all of them."""
    add_images(app, Images(tasks=tasks, bodies=bodies), _SDWEBUI)
    add_state(app, State(tasks=tasks), _SDWEBUI)
    offers = Offers(tasks=tasks, listings=Listings(router=tasks.router), models=models)
    add_listings(app, offers, _SDWEBUI)
    openai_images.add_images(app, openai_images.Images(tasks=tasks, bodies=bodies))
    add_models(app, ModelNames(router=tasks.router, models=models))
