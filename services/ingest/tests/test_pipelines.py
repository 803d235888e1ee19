"""The forms in which people hand graphs in."""

from __future__ import annotations

import json
from typing import Any

import pytest
from ingest_fakes import UID, encode, v1alpha2
from pydantic_core import from_json

from ingest import translate_v1alpha2
from servicekit.errors import RejectedError

GRAPH = {"3": {"class_type": "KSampler", "inputs": {"seed": 7}}}
EDITOR: dict[str, Any] = {"last_node_id": 9, "nodes": [{"id": 1}], "links": [], "version": 0.4}
INVOKEAI = {"nodes": [{"id": "a"}], "edges": [], "name": "mine"}


def accepted(content: dict[str, Any]) -> Any:
    sent = v1alpha2(content, runtime="comfyruntime", tasktype="pipeline")
    return from_json(translate_v1alpha2.translate(encode(sent), UID).content)


def refused(content: dict[str, Any]) -> str:
    with pytest.raises(RejectedError) as caught:
        accepted(content)
    assert caught.value.code == "invalid_request"
    [error] = caught.value.errors
    return error.message


@pytest.mark.parametrize(
    "content",
    [
        GRAPH,
        {"prompt": GRAPH},
        {"prompt": GRAPH, "extra_data": {"extra_pnginfo": {"workflow": EDITOR}}},
        {"graph": {"nodes": {"1": {"type": "noise"}}, "edges": []}},
        {"nodes": {"1": {"type": "noise"}}, "edges": []},
        {"batch": {"graph": {"nodes": {}}, "workflow": INVOKEAI}},
        {"input": {"class_type": "LoadImage", "inputs": {}}},  # a node of that name
    ],
)
def test_what_runtimes_take_stays_as_it_is(content: dict[str, Any]) -> None:
    assert accepted(content) == content


@pytest.mark.parametrize(
    "content",
    [
        {"input": {"workflow": GRAPH}},
        {"input": {"workflow": GRAPH, "images": []}, "webhook": "https://a"},
        {"input": {"workflow": json.dumps(GRAPH)}},
        {"workflow": GRAPH},
        {"workflow": EDITOR, "output": GRAPH},
    ],
)
def test_graph_is_taken_out_of_what_others_wrap_around_it(content: dict[str, Any]) -> None:
    assert accepted(content) == GRAPH


@pytest.mark.parametrize(
    "content", [{"prompt": json.dumps(GRAPH)}, {"input": {"prompt": json.dumps(GRAPH)}}]
)
def test_graph_as_text_is_read(content: dict[str, Any]) -> None:
    assert accepted(content) == {"prompt": GRAPH}


@pytest.mark.parametrize(
    ("content", "field"),
    [
        (EDITOR, "task.content"),
        ({"prompt": EDITOR}, "task.content.prompt"),
        ({"prompt": json.dumps(EDITOR)}, "task.content.prompt"),
        ({"input": {"workflow": EDITOR}}, "task.content.input.workflow"),
        ({"workflow": EDITOR}, "task.content.workflow"),
        ({**EDITOR, "links": [{"id": 1}], "definitions": {"subgraphs": []}}, "task.content"),
    ],
)
def test_format_of_the_editor_is_refused_with_the_remedy(
    content: dict[str, Any], field: str
) -> None:
    told = refused(content)

    assert told == f"{field} is in the editor's format: use Workflow > Export (API)"


@pytest.mark.parametrize(
    "content", [INVOKEAI, {"graph": INVOKEAI}, {"batch": {"graph": INVOKEAI}}]
)
def test_workflow_of_invokeai_is_refused(content: dict[str, Any]) -> None:
    assert "is a workflow of InvokeAI's editor" in refused(content)


def test_images_beside_a_graph_and_prompts_in_words_are_refused() -> None:
    images = {"input": {"workflow": GRAPH, "images": [{"name": "a.png", "image": "iVBOR"}]}}

    assert "input.images is not taken: name images by URL" in refused(images)
    assert "task.content.prompt is not JSON" in refused({"prompt": "a dog"})


@pytest.mark.parametrize(
    "body", [GRAPH, {"prompt": GRAPH}, EDITOR, {"input": {"workflow": GRAPH}}]
)
def test_graph_without_a_task_is_told_what_it_is(body: dict[str, Any]) -> None:
    with pytest.raises(RejectedError, match="task is missing: this is a graph: send it as"):
        translate_v1alpha2.translate(encode(body), UID)
