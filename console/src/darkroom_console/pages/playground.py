"""The playground: a request by a form, its image, and the same request for programs."""

from __future__ import annotations

from typing import Annotated, Any, Final

from fastapi import APIRouter, Query
from starlette.datastructures import FormData, UploadFile
from starlette.requests import Request
from starlette.responses import Response

from darkroom_client import InvalidRequest, Model, Runtime
from darkroom_console.render import render
from darkroom_console.requests import (
    FORM_TYPES,
    JSON_CHARACTERS,
    SAMPLERS,
    SDWEBUI,
    example_workflow,
    form_of,
    read_form,
    request_of,
)
from darkroom_console.snippets import snippets
from darkroom_console.stack import Stack, stack_of

router = APIRouter()

SUBMIT_SECONDS: Final = 30.0
IMAGE_BYTES: Final = 7 * 2**20  # a request may have 10 MiB, in base64
FIELDS: Final = 40


@router.get("/playground")
async def playground(
    request: Request,
    runtime: Annotated[str, Query(max_length=128)] = "",
    like: Annotated[str, Query(alias="from", max_length=128)] = "",
) -> Response:
    """The form for one runtime, filled with what another task asked for if one is named."""
    stack = stack_of(request)
    runtimes = await stack.ask(stack.client.runtimes())
    earlier: dict[str, Any] = {}
    if like:
        task = await stack.ask(stack.client.task(like))
        earlier = await stack.ask(stack.client.task_request(task.uid))
    form = form_of(earlier)
    by_name = {each.name: each for each in runtimes}
    chosen = by_name.get(runtime or form.runtime) or (runtimes[0] if runtimes else None)
    body = form.body
    if chosen and not body:
        body = example_workflow(chosen)
    return render(
        request,
        "playground.html",
        page="/playground",
        runtimes=runtimes,
        chosen=chosen,
        form=form,
        body=body,
        plain=chosen is not None and chosen.type == SDWEBUI,
        types=FORM_TYPES,
        samplers=SAMPLERS,
        models=await _models(stack, chosen),
    )


async def _models(stack: Stack, runtime: Runtime | None) -> list[Model]:
    """What a request may choose from, where it may choose."""
    if runtime is None or not runtime.dynamic_model:
        return []
    models = await stack.ask(stack.client.models())
    return [each for each in models if each.kind == "Stable-diffusion" and each.valid]


@router.post("/playground")
async def submit(request: Request) -> Response:
    """Hand the request in and show its task, live; or only tell the request to programs."""
    stack = stack_of(request)
    async with request.form(
        max_files=1, max_fields=FIELDS, max_part_size=JSON_CHARACTERS
    ) as sent:
        form, image = read_form(sent), await _image(sent)
    runtimes = await stack.ask(stack.client.runtimes())
    runtime = next((each for each in runtimes if each.name == form.runtime), None)
    if runtime is None:
        raise InvalidRequest(f"there is no runtime '{form.runtime}'")
    wanted = request_of(form, runtime, image)
    uid = None
    if form.act == "submit":
        uid = (await stack.ask(stack.client.submit(wanted), seconds=SUBMIT_SECONDS)).uid
    return render(
        request,
        "submitted.html",
        page="",
        uid=uid,
        snippets=snippets(stack.endpoint, wanted),
    )


async def _image(sent: FormData) -> bytes:
    """What was uploaded; empty if nothing was. Raises `InvalidRequest` if it is too large."""
    upload = sent.get("image")
    if not isinstance(upload, UploadFile):
        return b""
    content = await upload.read(IMAGE_BYTES + 1)
    if len(content) > IMAGE_BYTES:
        raise InvalidRequest(f"image: has more than {IMAGE_BYTES // 2**20} MB")
    return content
