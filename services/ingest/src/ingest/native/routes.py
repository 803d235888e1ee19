"""The routes of other servers' APIs, all of which are ordinary tasks underneath."""

from __future__ import annotations

from typing import Final

from fastapi import FastAPI

from ingest.bodies import Bodies
from ingest.keys import Gate
from ingest.native.comfyui import listings as comfyui
from ingest.native.comfyui.history import History, add_history
from ingest.native.comfyui.prompts import Prompts, add_prompts
from ingest.native.comfyui.socket import Socket, add_socket
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
_COMFYUI: Final = ("/runtimes/{runtime}/comfy", "/runtimes/{runtime}/comfy/api", "", "/api")


def add_native(app: FastAPI, tasks: Tasks, models: Models, bodies: Bodies, gate: Gate) -> None:
    """Add all of them."""
    add_images(app, Images(tasks=tasks, bodies=bodies), _SDWEBUI)
    add_state(app, State(tasks=tasks), _SDWEBUI)
    listings = Listings(router=tasks.router)
    offers = Offers(tasks=tasks, listings=listings, models=models)
    add_listings(app, offers, _SDWEBUI)
    prompts = Prompts(tasks=tasks, listings=listings, bodies=bodies)
    add_prompts(app, prompts, _COMFYUI)
    add_history(app, History(tasks=tasks), _COMFYUI)
    comfyui.add_listings(app, comfyui.Offers(tasks=tasks, listings=listings), _COMFYUI)
    add_socket(app, Socket(prompts=prompts, gate=gate), _COMFYUI)
    openai_images.add_images(app, openai_images.Images(tasks=tasks, bodies=bodies))
    add_models(app, ModelNames(router=tasks.router, models=models))
