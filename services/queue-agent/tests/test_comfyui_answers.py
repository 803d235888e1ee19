from __future__ import annotations

from typing import Any

import pytest

from queue_agent.domain import File, TaskFailedError
from queue_agent.files.types import file_type
from queue_agent.runtimes.comfyui.answers import (
    FileRef,
    check_ending,
    cycle_in,
    has_text,
    refusal,
    results,
    why_nothing,
)
from queue_agent.runtimes.http import Answer


@pytest.mark.parametrize("keep", [False, True])
def test_every_kind_of_output_counts_once_and_previews_if_they_are_kept(keep: bool) -> None:
    item = {"filename": "a", "subfolder": "s", "type": "output"}
    outputs: dict[str, Any] = {
        "1": {"images": [item, {**item, "type": "temp"}], "animated": [True]},
        "2": {"gifs": [{**item, "filename": "b"}], "videos": [item], "audio": [item]},
        "3": {"3d": [{**item, "filename": "c"}], "files": [{"filename": "d"}]},
        "4": {"images": [{**item, "type": "input"}]},
    }

    assert results(outputs, keep_previews=keep) == [
        FileRef("a", "s", "output"),
        *([FileRef("a", "s", "temp")] if keep else []),
        FileRef("b", "s", "output"),
        FileRef("c", "s", "output"),
        FileRef("d", "", "output"),
    ]
    assert not has_text(outputs)


@pytest.mark.parametrize(
    "shown",
    [
        {"text": ["a dog"]},
        {"text": [42]},
        {"text": "x"},
        {"score": [0.87]},
        {"nsfw": [False]},
        {"bboxes": [{"x": 1, "y": 2}]},
        {"tags": [["1girl", "solo"]]},
        {"count": 0},
    ],
)
def test_values_of_any_kind_are_results(shown: dict[str, Any]) -> None:
    assert has_text({"9": shown})


@pytest.mark.parametrize("shown", [{}, {"text": []}, {"text": None}, {"animated": [True]}])
def test_nothing_is_no_result(shown: dict[str, Any]) -> None:
    assert not has_text({"9": shown})


@pytest.mark.parametrize(
    ("outputs", "kind", "said"),
    [
        (
            {"1": {"images": [{"filename": "a", "type": "temp"}]}},
            "PreviewImage",
            "only previews",
        ),
        ({"1": {"images": [{"filename": "a", "type": "input"}]}}, "LoadImage", "its inputs"),
        ({}, "SaveImageWebsocket", "SaveImageWebsocket sends its images to an editor"),
    ],
)
def test_graph_without_results_says_what_to_do(
    outputs: dict[str, Any], kind: str, said: str
) -> None:
    reason = why_nothing(outputs, {"1": {"class_type": kind, "inputs": {}}})

    assert said in reason
    assert "SaveImage node" in reason
    assert ('metadata.previews to "keep"' in reason) == (kind != "LoadImage")


def test_node_that_sent_no_image_is_named() -> None:
    graph = {"1": {"class_type": "SaveImageWebsocket"}}

    assert why_nothing({}, graph, keep_previews=True).startswith("SaveImageWebsocket sent no")


def test_graph_without_anything_has_no_advice() -> None:
    assert why_nothing({}, {"1": {"class_type": "Note"}}) == ""


@pytest.mark.parametrize(
    ("links", "cycle"),
    [
        ({"1": [], "2": ["1"], "3": ["1", "2"]}, []),
        ({"1": ["1"]}, ["1", "1"]),
        ({"9": ["3"], "1": ["3"], "2": ["1"], "3": ["2"], "4": []}, ["3", "2", "1", "3"]),
        ({"1": ["gone"]}, []),
    ],
)
def test_cycle_of_a_graph_is_named(links: dict[str, list[str]], cycle: list[str]) -> None:
    graph = {
        node: {"class_type": "X", "inputs": {f"in{at}": [one, 0] for at, one in enumerate(of)}}
        for node, of in links.items()
    }
    answer = Answer(status=400, body={"error": {"message": "Prompt outputs failed validation"}})

    failed = refusal(answer, graph)

    assert cycle_in(graph) == cycle
    assert failed.code == "runtime_rejected"
    assert (" -> ".join(cycle) in str(failed)) if cycle else "failed validation" in str(failed)


def test_ending_without_a_reason_is_a_failure() -> None:
    with pytest.raises(TaskFailedError):
        check_ending({"status": {"status_str": "error", "completed": False, "messages": []}})


@pytest.mark.parametrize(
    ("file", "extension"),
    [
        (File(body=b"\xff\xd8\xff\xe0\0\x10JFIF\0"), "jpg"),
        (File(body=b"GIF89a" + b"\0" * 20, name="wrong.png"), "gif"),
        (File(body=b"\0\0\0\x20ftypisom\0\0\2\0isomiso2avc1mp41"), "mp4"),
        (File(body=b"v 1 2 3", name="model.obj"), "obj"),
        (File(body=b"what is this", name="../../x/y"), "png"),
        (File(body=b""), "png"),
    ],
)
def test_type_comes_from_the_bytes_before_the_name(file: File, extension: str) -> None:
    assert file_type(file.body, file.name).extension == extension
