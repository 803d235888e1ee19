"""Giving and taking picture files over HTTP."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Annotated, Any

from fastapi import APIRouter, File, Form, HTTPException, Query, UploadFile
from fastapi.responses import FileResponse

from sample_runtime.comfyui.files import Folders, free_name, inside


def picture_routes(folders: Folders) -> APIRouter:
    """`/view` and `/upload/image` for the folders."""
    router = APIRouter()

    @router.get("/view")
    async def view(
        filename: str = "",
        subfolder: str = "",
        kind: Annotated[str, Query(alias="type")] = "output",
    ) -> FileResponse:
        return FileResponse(_find(folders, kind, subfolder, filename))

    @router.post("/upload/image")
    async def upload_image(
        image: Annotated[UploadFile | None, File()] = None,
        overwrite: Annotated[str, Form()] = "",
        kind: Annotated[str, Form(alias="type")] = "input",
        subfolder: Annotated[str, Form()] = "",
    ) -> dict[str, Any]:
        name = Path(image.filename or "").name if image else ""
        if image is None or not name:
            raise HTTPException(400)
        folder = _folder(folders, kind, subfolder)
        folder.mkdir(parents=True, exist_ok=True)
        if overwrite not in ("true", "1"):
            name = free_name(folder, name)
        await asyncio.to_thread((folder / name).write_bytes, await image.read())
        return {"name": name, "subfolder": subfolder, "type": kind}

    return router


def _find(folders: Folders, kind: str, subfolder: str, name: str) -> Path:
    if not name or name.startswith("/") or ".." in name:
        raise HTTPException(400)
    path = _folder(folders, kind, subfolder) / Path(name).name
    if not path.is_file():
        raise HTTPException(404)
    return path


def _folder(folders: Folders, kind: str, subfolder: str) -> Path:
    root = folders.of_type(kind)
    if root is None:
        raise HTTPException(400)
    try:
        return inside(root, subfolder)
    except PermissionError as error:
        raise HTTPException(403) from error
