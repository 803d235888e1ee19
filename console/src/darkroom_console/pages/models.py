"""The page of models: what is in the bucket, what is wrong with it, and bringing one in."""

from __future__ import annotations

from pathlib import PurePath
from typing import Annotated, BinaryIO, Final

from fastapi import APIRouter, Path
from starlette.datastructures import UploadFile
from starlette.requests import Request
from starlette.responses import Response

from darkroom_client import DarkroomError, InvalidRequest
from darkroom_console.render import render
from darkroom_console.stack import stack_of
from darkroom_console.uploads import Progress, Uploads

router = APIRouter()

GONE: Final = 404
MODEL_BYTES: Final = 5 * 2**30  # what S3 takes by one request
FORM_BYTES: Final = 4096  # around it
UPLOAD_SECONDS: Final = 4 * 3600.0


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


@router.post("/models")
async def upload(request: Request) -> Response:
    """Begin to send a file to the bucket, and show how far it is."""
    stack, uploads = stack_of(request), _uploads(request)
    if int(request.headers.get("content-length", "0")) > MODEL_BYTES + FORM_BYTES:
        raise InvalidRequest(
            "file: has more than 5 GiB; `darkroom models add` takes larger ones"
        )
    try:
        sent = await request.form(max_files=1, max_fields=2)
    except OSError as error:  # it lies in the folder of temporary files until it is sent
        raise DarkroomError(f"the file cannot be kept here: {error.strerror}") from error
    file, kind = sent.get("file"), sent.get("kind")
    if not (isinstance(file, UploadFile) and file.filename and isinstance(kind, str) and kind):
        await sent.close()
        raise InvalidRequest("file: none was chosen")
    name = f"{kind.strip('/')}/{PurePath(file.filename).name}"

    async def send(opened: BinaryIO, progress: Progress) -> None:
        call = stack.client.upload_model(opened, name, progress=progress)
        await stack.ask(call, seconds=UPLOAD_SECONDS)

    key = uploads.start(name, file.size or 0, file.file, send)
    return _shown(request, key)


@router.get("/models/uploads/{key}")
async def progress(request: Request, key: Annotated[str, Path(max_length=64)]) -> Response:
    """How far an upload is."""
    return _shown(request, key)


def _shown(request: Request, key: str) -> Response:
    upload = _uploads(request).get(key)
    if upload is None:
        raise DarkroomError("this upload is not known any more", status=GONE)
    return render(request, "upload.html", page="", key=key, upload=upload)


def _uploads(request: Request) -> Uploads:
    uploads: Uploads = request.app.state.uploads
    return uploads
