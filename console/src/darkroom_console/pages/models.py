"""The page of models: what is in the bucket, what is wrong with it, and bringing one in."""

from __future__ import annotations

from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import Response

from darkroom_console.render import render
from darkroom_console.stack import stack_of

router = APIRouter()


@router.get("/models")
async def models(request: Request) -> Response:
    """The catalogue."""
    stack = stack_of(request)
    found = await stack.ask(stack.client.models())
    kinds = sorted({"Stable-diffusion", "Lora", "VAE", *(each.kind for each in found)})
    return render(
        request,
        "models.html",
        page="/models",
        models=sorted(found, key=lambda model: (model.valid, model.kind, model.name)),
        kinds=kinds,
    )
