from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from queue_agent.inputs.find import (
    GRAPH_TEXT_FIELDS,
    TEXT_FIELDS,
    find_in_body,
    find_in_graph,
    find_in_nodes,
    is_url,
    replaced,
    shown,
)

URL = "https://example.com/a.png?X-Amz-Signature=secret"
texts = st.text(max_size=8)
values = st.recursive(
    st.just(URL) | texts | st.integers() | st.none(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
    max_leaves=8,
)
bodies = st.dictionaries(st.sampled_from(sorted(TEXT_FIELDS)) | texts, values, max_size=5)


@settings(deadline=None)
@given(bodies)
def test_text_fields_are_never_fetched(body: dict[str, Any]) -> None:
    for found in find_in_body(body):
        assert not TEXT_FIELDS.intersection(found.path)


@settings(deadline=None)
@given(bodies)
def test_text_fields_of_nodes_are_never_fetched(inputs: dict[str, Any]) -> None:
    graph = {"1": {"class_type": "CLIPTextEncode", "inputs": {**inputs, "text": URL}}}

    for found in find_in_graph(graph):
        assert not GRAPH_TEXT_FIELDS.intersection(found.path)


@settings(deadline=None)
@given(bodies)
def test_only_what_was_found_is_replaced(body: dict[str, Any]) -> None:
    found = find_in_body(body)

    same = replaced(body, {one.path: one.url for one in found})
    changed = replaced(body, {one.path: "" for one in found})

    assert same == body
    assert find_in_body(changed) == []


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("http://a/b", True),
        ("HTTPS://a/b?c", True),
        ("s3://bucket/key", True),
        ("http://a/b and more", False),
        ("see http://a/b", False),
        ("http://a/b\nmore", False),
        ("http://a/b\n", False),
        ("ftp://a/b", False),
        ("file:///etc/passwd", False),
        ("https://", False),
    ],
)
def test_only_a_whole_url_is_an_input(text: str, expected: bool) -> None:
    assert is_url(text) is expected


def test_prompt_that_begins_like_a_url_stays_a_prompt() -> None:
    body = {"prompt": URL, "styles": [URL], "init_images": [URL], "mask": "iVBOR"}

    assert [one.field_name for one in find_in_body(body)] == ["init_images[0]"]


def test_batch_images_are_found_by_their_place() -> None:
    body = {"imageList": [{"data": "x", "name": URL}, {"data": URL, "name": "b"}]}

    assert [one.field_name for one in find_in_body(body)] == ["imageList[1].data"]


@pytest.mark.parametrize("kind", ["LoadImage", "LoadImageMask", "LoadImageOutput"])
@pytest.mark.parametrize("wrapped", [True, False])
def test_loaded_images_are_uploaded_and_other_urls_are_not(kind: str, wrapped: bool) -> None:
    graph = {
        "1": {"class_type": kind, "inputs": {"image": URL, "other": URL}},
        "2": {"class_type": "Custom", "inputs": {"image": URL, "link": ["1", 0]}},
        "3": {"class_type": "CLIPTextEncode", "inputs": {"text": URL}},
    }
    content: dict[str, Any] = (
        {"prompt": graph, "extra_data": {"image": URL}} if wrapped else graph
    )

    found = find_in_graph(content)

    prefix = ("prompt",) if wrapped else ()
    assert {one.path: one.upload for one in found} == {
        (*prefix, "1", "inputs", "image"): True,
        (*prefix, "1", "inputs", "other"): False,
        (*prefix, "2", "inputs", "image"): False,
    }


def test_image_names_that_are_urls_are_uploaded_to_invokeai() -> None:
    nodes = {
        "1": {"type": "img_blur", "image": {"image_name": URL}},
        "2": {"type": "string", "value": URL},
        "3": {"type": "img_watermark", "text": URL, "image": {"image_name": "kept.png"}},
    }
    content = {"batch": {"graph": {"nodes": nodes}, "workflow": {"image_name": URL}}}

    [found] = find_in_nodes(content)

    assert found.path == ("batch", "graph", "nodes", "1", "image", "image_name")
    assert found.upload
    assert [one.path for one in find_in_nodes({"nodes": nodes})] == [
        ("nodes", "1", "image", "image_name")
    ]


def test_shown_url_has_no_credentials_and_no_query() -> None:
    assert shown("https://user:pass@host:1/a/b.png?sig=1#x") == "https://host:1/a/b.png"
    assert shown("http://[broken") == "a URL that is not valid"
    assert shown("http:///user:pass@host/") == "a URL without a host"
    assert len(shown("https://host/" + "a" * 9999)) == 300
