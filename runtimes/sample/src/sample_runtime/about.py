"""What a sample runtime says about itself."""

from __future__ import annotations

from fastapi import APIRouter

DESCRIPTION = "Darkroom sample runtime, draws pictures, runs no model"


def about_router(shape: str) -> APIRouter:
    """The root page, which names the runtime and the API that it imitates."""
    router = APIRouter()

    @router.get("/")
    async def about() -> dict[str, str]:
        return {"name": DESCRIPTION, "type": shape}

    return router
