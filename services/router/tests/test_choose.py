from __future__ import annotations

import pytest
from router_fakes import COMFY, DYNAMIC, FIXED, RUNTIMES, task

from contracts.kinds import RuntimeType, TaskType
from contracts.runtimes import Runtime
from router.domain import Choice, choose
from servicekit.errors import RejectedError


@pytest.mark.parametrize(
    ("asked", "chosen", "checkpoint"),
    [
        pytest.param({"runtime": "fixed"}, FIXED, "", id="named"),
        pytest.param(
            {"runtime": "fixed", "checkpoint": "v1-5"}, FIXED, "", id="named, its own"
        ),
        pytest.param({"runtime": "dynamic", "checkpoint": "x"}, DYNAMIC, "x", id="dynamic"),
        pytest.param({"runtime": "dynamic"}, DYNAMIC, "", id="dynamic, its own"),
        pytest.param(
            {"runtime": "comfy", "tasktype": TaskType.PIPELINE}, COMFY, "", id="pipeline"
        ),
        pytest.param(
            {"runtime": "", "checkpoint": "v1-5.safetensors"}, FIXED, "", id="file name"
        ),
        pytest.param(
            {"runtime": "", "checkpoint": "v1-5.safetensors [6ce0]"},
            FIXED,
            "v1-5.safetensors [6ce0]",
            id="title, whose hash the runtime compares",
        ),
        pytest.param({"runtime": "", "checkpoint": "v1-5"}, FIXED, "", id="stem"),
        pytest.param(
            {"runtime": "", "checkpoint": "other.ckpt"}, DYNAMIC, "other.ckpt", id="any other"
        ),
    ],
)
def test_a_task_goes_to_the_runtime_that_it_asks_for(
    asked: dict[str, object], chosen: Runtime, checkpoint: str
) -> None:
    assert choose(RUNTIMES, task(**asked)) == Choice(runtime=chosen, checkpoint=checkpoint)


@pytest.mark.parametrize(
    ("asked", "code", "listed"),
    [
        ({"runtime": "none"}, "runtime_not_found", "there are: fixed, dynamic, comfy"),
        (
            {"runtime": "", "checkpoint": "x", "tasktype": TaskType.PIPELINE},
            "model_not_found",
            "served are: v1-5.safetensors",
        ),
        (
            {"runtime": "fixed", "checkpoint": "x"},
            "model_not_found",
            r"serves 'v1-5\.safetensors' and not 'x'$",
        ),
        (
            {"runtime": "comfy", "tasktype": TaskType.TEXT_TO_IMAGE},
            "invalid_request",
            "it takes: pipeline",
        ),
        (
            {"runtime": "fixed", "tasktype": TaskType.PIPELINE},
            "invalid_request",
            "text-to-image, image-to-image, extra-single-image, extra-batch-images",
        ),
    ],
)
def test_a_refusal_lists_what_there_is(
    asked: dict[str, object], code: str, listed: str
) -> None:
    with pytest.raises(RejectedError, match=listed) as caught:
        choose(RUNTIMES, task(**asked))
    assert caught.value.code == code


def test_a_wrong_tasktype_names_its_field() -> None:
    with pytest.raises(RejectedError, match=r"^Incorrect payload structure") as caught:
        choose(RUNTIMES, task(runtime="comfy"))
    assert [error.field for error in caught.value.errors] == ["tasktype"]


def test_without_a_dynamic_runtime_an_unknown_checkpoint_is_refused() -> None:
    with pytest.raises(RejectedError, match=r"'x'; served are: v1-5\.safetensors$") as caught:
        choose((FIXED, COMFY), task(runtime="", checkpoint="x"))
    assert caught.value.code == "model_not_found"


def test_a_runtime_that_serves_the_checkpoint_goes_before_a_dynamic_one() -> None:
    assert choose((DYNAMIC, FIXED), task(runtime="", checkpoint="v1-5")).runtime is FIXED


def test_a_runtime_that_cannot_take_the_tasktype_does_not_serve_the_checkpoint() -> None:
    comfy = Runtime(name="c", type=RuntimeType.COMFYUI, model_filename="v1-5.safetensors")
    assert choose((comfy, FIXED), task(runtime="", checkpoint="v1-5")).runtime is FIXED


def serving(*filenames: str) -> tuple[Runtime, ...]:
    return tuple(
        Runtime(name=f"r{number}", type=RuntimeType.SDWEBUI, model_filename=filename)
        for number, filename in enumerate(filenames)
    )


@pytest.mark.parametrize("asked", ["foo.ckpt", "foo", "foo.ckpt [bbbbbbbbbb]"])
def test_a_runtime_that_serves_the_very_file_goes_before_one_with_it_in_a_folder(
    asked: str,
) -> None:
    runtimes = serving("bar/foo.ckpt", "foo.ckpt")
    assert choose(runtimes, task(runtime="", checkpoint=asked)).runtime is runtimes[1]


def test_a_checkpoint_that_two_runtimes_serve_alike_is_refused_with_both() -> None:
    runtimes = (*serving("a/foo.ckpt", "b/foo.ckpt"), DYNAMIC)
    with pytest.raises(RejectedError, match=r"any of a/foo\.ckpt, b/foo\.ckpt") as caught:
        choose(runtimes, task(runtime="", checkpoint="foo.ckpt"))
    assert caught.value.code == "model_ambiguous"


def test_of_two_runtimes_with_one_file_the_first_takes_it() -> None:
    runtimes = serving("a/foo.ckpt", "a/foo.ckpt")
    assert choose(runtimes, task(runtime="", checkpoint="foo.ckpt")).runtime is runtimes[0]
