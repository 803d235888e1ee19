from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from ingest_fakes import UID, encode, golden, v1alpha1, v1alpha2
from pydantic_core import from_json

from contracts.ids import Uid
from contracts.kinds import TaskType
from contracts.scripts import ROUTING_KEYS
from ingest import translate_v1alpha1, translate_v1alpha2
from ingest.domain import Submission
from servicekit.errors import RejectedError

Translate = Callable[[bytes, Uid], Submission]

CHECKPOINT = "v1-5-pruned-emaonly.safetensors"
CAT = "https://huggingface.co/datasets/huggingface/documentation-images/resolve/main/diffusers/cat.png"

text = st.text(st.characters(codec="utf-8"))
json_values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | text,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(text, inner, max_size=3),
    max_leaves=8,
)


def new(request: dict[str, Any]) -> Submission:
    return translate_v1alpha2.translate(encode(request), UID)


def old(request: dict[str, Any]) -> Submission:
    return translate_v1alpha1.translate(encode(request), UID)


def refused(translate: Translate, body: bytes) -> RejectedError:
    with pytest.raises(RejectedError) as caught:
        translate(body, UID)
    assert caught.value.code == "invalid_request"
    assert str(caught.value).startswith("Incorrect payload structure")
    return caught.value


def messages(error: RejectedError) -> dict[str, str]:
    return {wrong.field: wrong.message for wrong in error.errors}


def test_golden_v1alpha1_text_to_image_becomes_a_submission() -> None:
    submission = translate_v1alpha1.translate(
        golden("v1alpha1-text-to-image.request.json"), UID
    )

    assert submission == Submission(
        uid=UID,
        id=submission.id,
        runtime="",
        tasktype=TaskType.TEXT_TO_IMAGE,
        prefix=submission.prefix,
        context_json="{}",
        content=b'{"alwayson_scripts":{},"prompt":"A dog","steps":16,"width":512,"height":512}',
        checkpoint=CHECKPOINT,
    )
    assert (submission.id, submission.prefix) == ("test-t2i", "outputs")


def test_golden_v1alpha1_image_link_becomes_the_input_image() -> None:
    submission = translate_v1alpha1.translate(
        golden("v1alpha1-image-to-image.request.json"), UID
    )

    content = from_json(submission.content)
    assert content["init_images"] == [CAT]
    assert content["alwayson_scripts"] == {}
    assert submission.prefix == "output"


@pytest.mark.parametrize("name", ["text-to-image", "image-to-image", "extra-single-image"])
def test_golden_v1alpha2_content_passes_unchanged(name: str) -> None:
    text = golden(f"v1alpha2-{name}.request.json")

    submission = translate_v1alpha2.translate(text, UID)

    request = from_json(text)["task"]
    assert submission.content == encode(request["content"])
    assert submission.tasktype == name
    assert submission.id == request["metadata"]["id"]
    assert (submission.runtime, submission.prefix) == ("sdruntime", "output")
    assert (submission.context_json, submission.checkpoint) == ('""', "")


def test_golden_v1alpha2_checkpoint_is_taken_out_of_the_scripts() -> None:
    submission = translate_v1alpha2.translate(
        golden("v1alpha2-dynamic-model.request.json"), UID
    )

    assert submission.checkpoint == CHECKPOINT
    assert from_json(submission.content)["alwayson_scripts"] == {}
    assert submission.context_json == '{"abc":123}'


def test_runtime_is_compared_in_lower_case() -> None:
    assert new(v1alpha2(runtime="SdRuntime")).runtime == "sdruntime"


def test_alias_of_the_batch_type_is_accepted() -> None:
    submission = new(v1alpha2(tasktype="extra-batch-image"))

    assert submission.tasktype is TaskType.EXTRA_BATCH_IMAGES


def test_absent_prefix_and_context_have_defaults() -> None:
    submission = new(v1alpha2())

    assert (submission.prefix, submission.context_json) == ("output", "{}")


def test_null_context_is_a_value_of_its_own() -> None:
    assert new(v1alpha2(context=None)).context_json == "null"


def test_outer_slashes_of_the_prefix_are_dropped() -> None:
    assert new(v1alpha2(prefix="/a/b/")).prefix == "a/b"


def test_context_may_have_exactly_the_largest_size() -> None:
    largest = "x" * (16 * 1024 - 2)

    assert len(new(v1alpha2(context=largest)).context_json) == 16 * 1024
    error = refused(translate_v1alpha2.translate, encode(v1alpha2(context=largest + "x")))
    assert "16384 bytes" in messages(error)["task.metadata.context"]


def test_pipeline_content_is_not_looked_at() -> None:
    content = {"alwayson_scripts": {"sd_model_checkpoint": 5, "task": "x"}, "1": {"inputs": {}}}

    submission = new(v1alpha2(content, tasktype="pipeline", runtime="comfy"))

    assert from_json(submission.content) == content
    assert submission.checkpoint == ""


def test_checkpoint_of_the_override_settings_stays_in_place() -> None:
    content = {"override_settings": {"sd_model_checkpoint": "m.ckpt"}}

    submission = new(v1alpha2(content))

    assert submission.checkpoint == "m.ckpt"
    assert from_json(submission.content) == content


def test_checkpoint_of_the_scripts_comes_before_that_of_the_override_settings() -> None:
    content = {
        "alwayson_scripts": {"sd_model_checkpoint": "a"},
        "override_settings": {"sd_model_checkpoint": "b"},
    }

    assert new(v1alpha2(content)).checkpoint == "a"


@pytest.mark.parametrize("asked", [5, None, ["x"]])
def test_override_checkpoint_that_is_no_string_chooses_nothing(asked: object) -> None:
    content = {"override_settings": {"sd_model_checkpoint": asked}}

    assert new(v1alpha2(content)).checkpoint == ""


def test_override_settings_move_to_the_body_where_the_inner_ones_win() -> None:
    request = v1alpha1(
        {"override_settings": {"a": 1, "b": 1}},
        override_settings={"b": 2},
        sd_vae="v.pt",
        ControlNet={"args": []},
        uid=7,
    )

    content = from_json(old(request).content)

    assert content["override_settings"] == {"a": 1, "b": 2, "sd_vae": "v.pt"}
    assert content["alwayson_scripts"] == {"ControlNet": {"args": []}}


def test_image_link_of_another_task_type_is_dropped() -> None:
    content = from_json(old(v1alpha1(image_link="https://x/y.png")).content)

    assert "init_images" not in content
    assert content["alwayson_scripts"] == {}


def test_every_wrong_field_of_v1alpha2_is_named() -> None:
    request = {
        "task": {
            "metadata": {"id": ".x", "runtime": "", "tasktype": "dance", "prefix": "a/../b"},
            "content": {"alwayson_scripts": {"sd_model_checkpoint": 5}},
        }
    }

    assert messages(refused(translate_v1alpha2.translate, encode(request))) == {
        "task.metadata.id": "task.metadata.id must be 1 to 128 of A-Z a-z 0-9 . _ - "
        "and not start with '.'",
        "task.metadata.runtime": "task.metadata.runtime must not be empty",
        "task.metadata.tasktype": "task.metadata.tasktype must be one of text-to-image, "
        "image-to-image, extra-single-image, extra-batch-images, pipeline",
        "task.metadata.prefix": "task.metadata.prefix must not have empty, '.' or '..' "
        "segments",
        "task.content.alwayson_scripts.sd_model_checkpoint": "task.content.alwayson_scripts."
        "sd_model_checkpoint must be a string",
    }


def test_every_missing_field_of_v1alpha2_is_named() -> None:
    error = refused(translate_v1alpha2.translate, b'{"task": {"metadata": {}}}')

    missing = [f"task.{name}" for name in ("metadata.id", "metadata.runtime")]
    missing += ["task.metadata.tasktype", "task.content"]
    assert messages(error) == {field: f"{field} is missing" for field in missing}
    assert str(error) == "Incorrect payload structure, " + "; ".join(
        f"{field} is missing" for field in missing
    )


def test_every_missing_field_of_v1alpha1_is_named() -> None:
    error = refused(translate_v1alpha1.translate, b'{"alwayson_scripts": {"save_dir": 5}}')

    assert messages(error) == {
        "alwayson_scripts.sd_model_checkpoint": "alwayson_scripts.sd_model_checkpoint "
        "is missing",
        "alwayson_scripts.task": "alwayson_scripts.task is missing",
        "alwayson_scripts.id_task": "alwayson_scripts.id_task is missing",
        "alwayson_scripts.save_dir": "alwayson_scripts.save_dir must be a string",
    }


@pytest.mark.parametrize(
    ("request_", "field"),
    [
        (v1alpha1(sd_model_checkpoint=""), "alwayson_scripts.sd_model_checkpoint"),
        (v1alpha1(override_settings=[]), "alwayson_scripts.override_settings"),
        (v1alpha1({"override_settings": []}), "override_settings"),
        (v1alpha1(sd_model_checkpoint="a\nb"), "alwayson_scripts.sd_model_checkpoint"),
        ({"prompt": "x"}, "alwayson_scripts"),
        ({"alwayson_scripts": []}, "alwayson_scripts"),
    ],
)
def test_wrong_field_of_v1alpha1_is_named(request_: dict[str, Any], field: str) -> None:
    assert list(messages(refused(translate_v1alpha1.translate, encode(request_)))) == [field]


@pytest.mark.parametrize(
    ("request_", "field"),
    [
        ({}, "task"),
        ({"task": []}, "task"),
        ({"task": {"metadata": 1, "content": {}}}, "task.metadata"),
        (v1alpha2([]), "task.content"),
        (v1alpha2(id=5), "task.metadata.id"),
        (v1alpha2(id="x" * 129), "task.metadata.id"),
        (v1alpha2(id="a/b"), "task.metadata.id"),
        (v1alpha2(id="a\n"), "task.metadata.id"),
        (v1alpha2(runtime="x" * 257), "task.metadata.runtime"),
        (v1alpha2(runtime="a\0"), "task.metadata.runtime"),
        (v1alpha2(tasktype=[]), "task.metadata.tasktype"),
        (v1alpha2(prefix=None), "task.metadata.prefix"),
        (v1alpha2(prefix="a\0b"), "task.metadata.prefix"),
        (v1alpha2({"override_settings": 1}), "task.content.override_settings"),
        (v1alpha2({"alwayson_scripts": 1}), "task.content.alwayson_scripts"),
        (
            v1alpha2({"override_settings": {"sd_model_checkpoint": "a\nb"}}),
            "task.content.override_settings.sd_model_checkpoint",
        ),
    ],
)
def test_wrong_field_of_v1alpha2_is_named(request_: dict[str, Any], field: str) -> None:
    assert list(messages(refused(translate_v1alpha2.translate, encode(request_)))) == [field]


@pytest.mark.parametrize(
    "translate", [translate_v1alpha1.translate, translate_v1alpha2.translate]
)
@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"[]",
        b"null",
        b"\xff\xfe",
        b'{"a": NaN}',
        b'"\\ud800"',
        b"[" * 100_000,
        b'{"task":' * 5_000 + b"1" + b"}" * 5_000,
        b"9" * 10_000,
    ],
)
def test_hostile_text_is_refused(translate: Translate, body: bytes) -> None:
    assert list(messages(refused(translate, body))) == ["body"]


def test_number_that_json_cannot_carry_on_is_refused() -> None:
    """1e999 is read as an infinite float, which has no JSON of its own."""
    body = encode(v1alpha2({"steps": 0})).replace(b'"steps":0', b'"steps":1e999')
    assert "task.content" in messages(refused(translate_v1alpha2.translate, body))

    body = encode(v1alpha2(context=0)).replace(b'"context":0', b'"context":-1e999')
    assert "task.metadata.context" in messages(refused(translate_v1alpha2.translate, body))


def test_word_infinity_in_a_prompt_is_harmless() -> None:
    submission = new(v1alpha2({"prompt": "Infinity and NaN"}, context="Infinity"))

    assert from_json(submission.content) == {"prompt": "Infinity and NaN"}


def test_content_that_grows_beyond_the_limit_is_too_large() -> None:
    numbers = b"[" + b"1E15," * 2_000_000 + b"1]"
    body = encode(v1alpha2({"steps": 0})).replace(b'"steps":0', b'"steps":' + numbers)

    with pytest.raises(RejectedError) as caught:
        translate_v1alpha2.translate(body, UID)

    assert caught.value.code == "payload_too_large"


@given(content=st.dictionaries(text, json_values, max_size=4), context=json_values)
def test_pipeline_content_and_context_come_through_as_they_are(
    content: dict[str, Any], context: object
) -> None:
    submission = new(v1alpha2(content, tasktype="pipeline", context=context))

    assert from_json(submission.content) == content
    assert from_json(submission.context_json) == context


@given(
    scripts=st.dictionaries(text, json_values, max_size=3),
    body=st.dictionaries(text, json_values, max_size=3),
)
def test_no_routing_key_reaches_the_runtime(
    scripts: dict[str, Any], body: dict[str, Any]
) -> None:
    free = {k: v for k, v in scripts.items() if k not in ROUTING_KEYS}
    free_body = {k: v for k, v in body.items() if k not in {"alwayson_scripts", "prompt"}}
    request = v1alpha1(**free)
    request = {**free_body, **request}
    request.pop("override_settings", None)

    content = from_json(old(request).content)

    assert content["alwayson_scripts"] == free
    assert {k: content[k] for k in free_body if k in content}.items() <= free_body.items()


@given(value=json_values)
def test_any_json_becomes_a_submission_or_a_named_refusal(value: object) -> None:
    wrapped: list[object] = [value, {"task": value}, {"alwayson_scripts": value}]
    wrapped += [{"task": {"metadata": value, "content": value}}, v1alpha2(value)]
    for translate in (translate_v1alpha1.translate, translate_v1alpha2.translate):
        for request in wrapped:
            try:
                translate(encode(request), UID)
            except RejectedError as error:
                assert error.errors  # noqa: PT017  # either outcome is right
