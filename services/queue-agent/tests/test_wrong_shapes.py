"""Answers of a wrong shape or size: a result or a failure with a name, never a dead agent."""

from __future__ import annotations

import asyncio
import copy
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from datetime import timedelta
from typing import Any

import pytest
from aiohttp.test_utils import TestServer
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydantic_core import to_json
from recorded_answers import COMFYUI, INVOKEAI, SDWEBUI, Recorded

from contracts.ids import TaskId, new_uid
from contracts.kinds import TaskType
from contracts.state import Progress
from queue_agent.domain import (
    Generated,
    Job,
    Leftovers,
    RunInterruptedError,
    RuntimeLostError,
    TaskFailedError,
)
from queue_agent.ports import ImageRuntime
from queue_agent.runtimes.comfyui.prompt_ids import prompt_id_of
from queue_agent.runtimes.comfyui.runtime import ComfyUiRuntime
from queue_agent.runtimes.http import RuntimeHttp, runtime_http
from queue_agent.runtimes.invokeai.models import ModelLibrary
from queue_agent.runtimes.invokeai.runtime import InvokeAiRuntime
from queue_agent.runtimes.sdwebui.runtime import SdWebuiRuntime
from queue_agent.task.out_document import ComfyUiOut, SdWebuiOut

POLL, SILENCE = timedelta(milliseconds=5), timedelta(seconds=2)
MOST = 2**31 - 1
HUGE = "A" * 2**17
FINISHED = (TaskFailedError, RuntimeLostError, RunInterruptedError)


def sdwebui(http: RuntimeHttp) -> ImageRuntime:
    return SdWebuiRuntime(http=http, dynamic=True, poll=POLL, silence=SILENCE)


def comfyui(http: RuntimeHttp) -> ImageRuntime:
    return ComfyUiRuntime(http=http, poll=POLL, silence=SILENCE)


def invokeai(http: RuntimeHttp) -> ImageRuntime:
    budget = timedelta(seconds=0.1)
    models = ModelLibrary(http=http, folder="/models", poll=POLL, budget=budget)
    return InvokeAiRuntime(http=http, poll=POLL, silence=SILENCE, models=models)


CONTENT: Mapping[str, dict[str, Any]] = {
    "sdwebui": {"prompt": "x", "sampler_name": "Euler"},
    "comfyui": {"6": {"class_type": "SaveImage", "inputs": {}}},
    "invokeai": {
        "id": "g",
        "nodes": {
            "model": {
                "type": "main_model_loader",
                "model": {"name": "one", "base": "sd-1", "type": "main"},
            }
        },
        "edges": [],
    },
}
ANSWERS = {"sdwebui": SDWEBUI, "comfyui": COMFYUI, "invokeai": INVOKEAI}
RUNTIMES: Mapping[str, Callable[[RuntimeHttp], ImageRuntime]] = {
    "sdwebui": sdwebui,
    "comfyui": comfyui,
    "invokeai": invokeai,
}


def job(kind: str) -> Job:
    return Job(
        uid=new_uid(),
        attempt=1,
        tasktype=TaskType.TEXT_TO_IMAGE if kind == "sdwebui" else TaskType.PIPELINE,
        content=CONTENT[kind],
        checkpoint="one" if kind == "sdwebui" else None,
    )


async def outcome(
    kind: str, answers: Mapping[str, Any], status: int = 200, broken: str = ""
) -> Generated | Exception:
    """Have a runtime that answers so probed, given an input, run, and cleaned up."""
    wanted = job(kind)
    named = f"{wanted.uid}-1" if kind == "invokeai" else prompt_id_of(wanted.uid, 1)
    recorded = Recorded(answers, named, status=status, broken=broken)
    server = TestServer(recorded.app())
    async with server, runtime_http(str(server.make_url("/")), 2**20) as http:
        runtime = RUNTIMES[kind](http)
        try:
            await runtime.probe()
        except RuntimeLostError:
            recorded.calls = 0
        try:
            if kind != "sdwebui":
                await runtime.upload("a.png", b"an image")
        except FINISHED:
            recorded.calls = 0
        ended = await _run(kind, runtime, wanted)
        with suppress(*FINISHED):
            await runtime.forget(Leftovers(uid=wanted.uid, attempt=1))
        return ended


async def _run(kind: str, runtime: ImageRuntime, wanted: Job) -> Generated | Exception:
    out = SdWebuiOut() if kind == "sdwebui" else ComfyUiOut()

    def report(progress: Progress) -> None:
        assert 0 <= progress.step <= progress.total <= MOST

    try:
        async with asyncio.timeout(120):
            made = await runtime.run(await runtime.encode(wanted), report)
    except FINISHED as error:
        if isinstance(error, TaskFailedError):
            to_json(out.failed(TaskId("t"), error))
        return error
    to_json(out.completed(TaskId("t"), wanted, made))
    return made


@pytest.mark.parametrize("kind", ANSWERS)
async def test_recorded_answers_are_a_result(kind: str) -> None:
    made = await outcome(kind, ANSWERS[kind])

    assert isinstance(made, Generated), made
    assert made.files


@pytest.mark.parametrize(
    "images",
    [[None], [1], [{}], [["x"]], {"0": "x"}, "x", 5, ["\u00e9"], [True], [SDWEBUI, None]],
)
async def test_images_that_are_none_are_a_failure_of_the_runtime(images: object) -> None:
    path = "/sdapi/v1/txt2img"
    answers = SDWEBUI | {path: {**SDWEBUI[path], "images": images}}

    failed = await outcome("sdwebui", answers)

    assert isinstance(failed, TaskFailedError)
    assert failed.code == "runtime_error"
    assert "images are" in str(failed)


def places(value: object, path: tuple[str | int, ...] = ()) -> Iterator[tuple[str | int, ...]]:
    if path:
        yield path
    if isinstance(value, dict):
        for key, inner in value.items():
            yield from places(inner, (*path, key))
    elif isinstance(value, list):
        for index, inner in enumerate(value):
            yield from places(inner, (*path, index))


def changed(answers: Mapping[str, Any], path: tuple[str | int, ...], how: object) -> Any:
    result: Any = copy.deepcopy(dict(answers))
    target = result
    for step in path[:-1]:
        target = target[step]
    if how is DELETED:
        del target[path[-1]]
    else:
        target[path[-1]] = how
    return result


DELETED = object()
JUNK: st.SearchStrategy[object] = st.one_of(
    st.sampled_from(
        [DELETED, None, True, False, 0, -1, 1, MOST + 1, 10**400, -(10**30), 0.5, 1e300]
    ),
    st.sampled_from([float("nan"), float("inf"), "", "x", "PROMPT", HUGE, HUGE * 10, "\ud800"]),
    st.sampled_from([[], {}, [None], [[]], [{}], {"": None}, {"x": [1]}, [1, "a", None]]),
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
        lambda inner: (
            st.lists(inner, max_size=3)
            | st.dictionaries(st.text(max_size=5), inner, max_size=3)
        ),
        max_leaves=8,
    ),
)


@pytest.mark.parametrize("kind", ANSWERS)
@settings(
    max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(chance=st.data())
def test_any_change_of_an_answer_is_a_result_or_a_failure_with_a_name(
    kind: str, chance: st.DataObject
) -> None:
    answers = ANSWERS[kind]
    for _ in range(chance.draw(st.integers(1, 3))):
        path = chance.draw(st.sampled_from(list(places(answers))))
        answers = changed(answers, path, chance.draw(JUNK))
    status = chance.draw(st.sampled_from([200, 200, 200, 404, 422, 500]))
    broken = chance.draw(st.sampled_from(list(ANSWERS[kind])))

    ended = asyncio.run(outcome(kind, answers, status, broken))

    assert isinstance(
        ended, Generated | TaskFailedError | RuntimeLostError | RunInterruptedError
    )
