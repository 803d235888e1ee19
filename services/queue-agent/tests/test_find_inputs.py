from __future__ import annotations

import base64
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from contracts.fields import texts
from queue_agent.domain import TaskFailedError
from queue_agent.inputs.find import (
    TEXT_FIELDS,
    find_in_body,
    find_in_graph,
    find_in_nodes,
    replaced,
    shown,
    url_in,
)
from queue_agent.inputs.kinds import Kind
from queue_agent.inputs.nodes import read_definitions

URL = "https://example.com/a.png?X-Amz-Signature=secret"
words = st.text(max_size=8)
values = st.recursive(
    st.just(URL) | words | st.integers() | st.none(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(words, inner, max_size=3),
    max_leaves=8,
)


def node(kind: str, **inputs: Any) -> dict[str, Any]:
    return {"1": {"class_type": kind, "inputs": inputs}}


bodies = st.dictionaries(st.sampled_from(sorted(TEXT_FIELDS)) | words, values, max_size=5)


@settings(deadline=None)
@given(bodies)
def test_text_fields_are_never_fetched(body: dict[str, Any]) -> None:
    for found in find_in_body(body):
        assert [step for step in found.path if isinstance(step, str)][-1] not in TEXT_FIELDS


@settings(deadline=None)
@given(bodies)
def test_whatever_is_no_text_is_found(body: dict[str, Any]) -> None:
    changed = replaced(body, {one.path: "" for one in find_in_body(body)})

    assert find_in_body(changed) == []
    for path, text in texts(changed):
        if url_in(text):
            assert [step for step in path if isinstance(step, str)][-1] in TEXT_FIELDS


@settings(deadline=None)
@given(bodies)
def test_only_what_was_found_is_replaced(body: dict[str, Any]) -> None:
    assert replaced(body, {one.path: one.url for one in find_in_body(body)}) == body


HEIC = base64.b64encode(b"\0\0\0\x18ftypheic\0\0\0\0mif1heic" + bytes(600)).decode()
INLINE = [
    HEIC,
    f"data:image/heic;base64,{HEIC}",
    f" DATA:image/jpeg;base64,{HEIC[:20]}\n{HEIC[20:]}",
    HEIC[:40],
]


@pytest.mark.parametrize("value", INLINE)
def test_inline_heic_is_refused_by_its_name_where_an_image_is_expected(value: str) -> None:
    said = "its bytes are HEIC, which runtimes do not read: send JPEG or PNG"
    with pytest.raises(TaskFailedError) as body:
        find_in_body({"prompt": value, "init_images": ["iVBOR", value]})
    graph = {"4": {"class_type": "ETN_LoadImageBase64", "inputs": {"image": value}}}
    with pytest.raises(TaskFailedError) as nodes:
        find_in_graph({"prompt": graph})

    assert str(body.value) == f"init_images[1]: {said}"
    assert str(nodes.value) == f"prompt.4.inputs.image: {said}"
    assert body.value.failure.code == nodes.value.failure.code == "input_unavailable"


@pytest.mark.parametrize("value", INLINE)
def test_inline_heic_is_a_text_where_a_text_is_expected(value: str) -> None:
    graph = {"4": {"class_type": "CLIPTextEncode", "inputs": {"text": value}}}

    assert find_in_body({"prompt": value}) == find_in_graph(graph) == []


@pytest.mark.parametrize(
    ("text", "url"),
    [
        ("http://a/b", "http://a/b"),
        ("HTTPS://a/b?c", "HTTPS://a/b?c"),
        ("s3://bucket/my photo.png", "s3://bucket/my photo.png"),
        ("s3://bucket/ends with a blank ", "s3://bucket/ends with a blank "),
        ("http://a/b and more", "http://a/b and more"),
        (" \t\n\u00a0\u200b\ufeffhttp://a/b\u200b \n", "http://a/b"),
        ("ht\ttp://a/b", "ht\ttp://a/b"),
        ("http:\u200b//a/b", "http:\u200b//a/b"),
        ("\uff48ttp://a/b", "\uff48ttp://a/b"),
        ("http:/a/b", "http:/a/b"),
        ("http:a/b", "http:a/b"),
        ("http:\\\\a/b", "http:\\\\a/b"),
        ("<URL:http://a/b>", "<URL:http://a/b>"),
        ("file:///etc/passwd", "file:///etc/passwd"),
        ("gopher://127.0.0.1:6379/_INFO", "gopher://127.0.0.1:6379/_INFO"),
        ("https://", "https://"),
        ("see http://a/b", None),
        ("data:image/png;base64,iVBOR", None),
        ("iVBORw0KGgo/+8=", None),
        ("C:\\models\\a.png", None),
        ("C:/models/a.png", None),
        ("a photo: a dog", None),
        ("", None),
        (" \u200b", None),
    ],
)
def test_what_some_program_takes_for_a_url_is_one(text: str, url: str | None) -> None:
    assert url_in(text) == url


def test_prompt_that_begins_like_a_url_stays_a_prompt() -> None:
    body = {"prompt": URL, "styles": [URL], "init_images": [URL], "mask": "iVBOR"}

    assert [one.field_name for one in find_in_body(body)] == ["init_images[0]"]


@pytest.mark.parametrize(
    "body",
    [
        {"mask": URL},
        {"image": URL},
        {"prompt": {"image": URL}},
        {"alwayson_scripts": {"ControlNet": {"args": [{"image": {"image": URL}}]}}},
        {"alwayson_scripts": {"prompt": {"args": [URL]}}},
        {"alwayson_scripts": {"styles": [URL]}},
        {"script_args": [URL]},
        {"nobody_knows_it": URL},
    ],
)
def test_field_that_is_not_known_to_be_text_is_a_file(body: dict[str, Any]) -> None:
    [found] = find_in_body(body)

    assert not found.slot.upload
    with pytest.raises(TaskFailedError, match="SD WebUI would fetch it"):
        find_in_body(body, set())
    assert find_in_body(body, {found.path}) == [found]


def test_settings_and_prompts_of_scripts_are_text() -> None:
    detailer = {"args": [{"ad_prompt": URL, "ad_negative_prompt": URL}]}
    body = {"override_settings": {"sd_vae": URL}, "alwayson_scripts": {"ADetailer": detailer}}

    assert find_in_body(body) == find_in_body(body, set()) == []


def test_prompt_that_a_client_names_is_a_file() -> None:
    [found] = find_in_body({"prompt": URL, "init_images": []}, {("prompt",)})

    assert found.path == ("prompt",)


def test_chosen_value_that_is_no_url_is_told() -> None:
    for find in (find_in_body, find_in_graph, find_in_nodes):
        with pytest.raises(TaskFailedError, match="mask: it names no URL"):
            find({"mask": "iVBOR"}, {("mask",)})


def test_batch_images_are_found_by_their_place() -> None:
    body = {"imageList": [{"data": "x", "name": URL}, {"data": URL, "name": "b"}]}

    assert [one.field_name for one in find_in_body(body)] == ["imageList[1].data"]


FILES = {
    ("LoadImage", "image"): Kind.IMAGE,
    ("LoadImageMask", "image"): Kind.IMAGE,
    ("LoadImageOutput", "image"): Kind.IMAGE,
    ("LoadAudio", "audio"): Kind.AUDIO,
    ("LoadVideo", "file"): Kind.VIDEO,
    ("VHS_LoadVideo", "video"): Kind.VIDEO,
    ("Load3D", "model_file"): Kind.MODEL,
}


@pytest.mark.parametrize("wrapped", [True, False])
@pytest.mark.parametrize("place", FILES, ids=str)
def test_inputs_of_loaders_are_uploaded(place: tuple[str, str], wrapped: bool) -> None:
    graph = node(place[0], **{place[1]: URL, "other": URL})
    content: dict[str, Any] = (
        {"prompt": graph, "extra_data": {"image": URL}} if wrapped else graph
    )

    [found] = find_in_graph(content)

    assert found.path == (*(("prompt",) if wrapped else ()), "1", "inputs", place[1])
    assert found.slot.kind is FILES[place]
    assert found.slot.upload


@pytest.mark.parametrize(
    ("kind", "name"),
    [
        ("OllamaConnectivityV2", "url"),
        ("OllamaVision", "url"),
        ("AdvancedPromptEnhancer", "llm_apiurl"),
        ("SendWebhook", "webhook_url"),
        ("comfy-qr-by-module-size", "text"),
        ("PrimitiveString", "value"),
        ("LoadImageFromUrl", "url"),
        ("Image Load", "image_path"),
        ("VHS_LoadVideoPath", "video"),
        ("Nobody knows it", "image"),
    ],
)
def test_url_that_is_no_file_is_left_alone(kind: str, name: str) -> None:
    assert find_in_graph(node(kind, **{name: URL})) == []


def test_loader_of_base64_is_given_base64() -> None:
    [found] = find_in_graph(node("LoadImageBase64", image=URL))

    assert not found.slot.upload


def test_what_a_server_says_of_its_nodes_counts_more_than_the_table() -> None:
    known = read_definitions(
        {
            "LoadImage": {"input": {"required": {"url": ["STRING", {}]}}},  # another's
            "Custom": {
                "input": {
                    "required": {
                        "picture": [["a.png"], {"image_upload": True}],
                        "sound": ["COMBO", {"options": [], "audio_upload": True}],
                        "either": ["STRING", {"image_upload": True, "video_upload": True}],
                        "clip": [["", "a.MP4", "b.webm"]],
                        "url": ["STRING", {"multiline": False}],
                        "model": [["a.safetensors", "b.png"]],
                        "broken": [],
                        "worse": None,
                    },
                    "optional": {"shape": ["COMBO", {"options": ["3d/a.glb"]}]},
                    "hidden": None,
                }
            },
            "VHS_LoadVideo": {"input": {"required": {"video": [[], {}]}}},
            "Broken": None,
        }
    )
    names = [*known["Custom"], "url", "model"]

    found = find_in_graph(node("Custom", **dict.fromkeys(names, URL)), known=known)

    assert {one.path[-1]: one.slot.kind for one in found} == {
        "picture": Kind.IMAGE,
        "sound": Kind.AUDIO,
        "either": Kind.ANY,
        "clip": Kind.VIDEO,
        "shape": Kind.MODEL,
    }
    assert find_in_graph(node("LoadImage", image=URL, url=URL), known=known) == []
    assert len(find_in_graph(node("VHS_LoadVideo", video=URL), known=known)) == 1
    assert len(find_in_graph(node("LoadAudio", audio=URL), known=known)) == 1


def test_client_may_say_which_inputs_of_nodes_are_files() -> None:
    graph = node("LoadImage", image=URL, other=URL)

    assert find_in_graph(graph, set()) == []
    [found] = find_in_graph(graph, {("1", "inputs", "other")})
    assert found.slot.upload
    assert found.slot.kind is Kind.ANY


def test_image_names_that_are_urls_are_uploaded_to_invokeai() -> None:
    nodes = {
        "1": {"type": "img_blur", "image": {"image_name": f" {URL}"}},
        "2": {"type": "string", "value": URL},
        "3": {"type": "img_watermark", "text": URL, "image": {"image_name": "kept.png"}},
        "4": {"type": "custom", "image_name": URL},
    }
    content = {
        "batch": {"graph": {"nodes": nodes}, "workflow": {"nodes": {"5": nodes}}},
        "image_name": URL,
    }

    [found] = find_in_nodes(content)

    assert found.path == ("batch", "graph", "nodes", "1", "image", "image_name")
    assert found.url == URL
    assert found.slot.upload
    assert [one.path for one in find_in_nodes({"nodes": nodes})] == [
        ("nodes", "1", "image", "image_name")
    ]
    assert find_in_nodes(content, set()) == []


def test_shown_url_has_no_credentials_and_no_query() -> None:
    assert shown("https://user:pass@host:1/a/b.png?sig=1#x") == "https://host:1/a/b.png"
    assert shown("http://[broken") == "a URL that is not valid"
    assert shown("http:///user:pass@host/") == "a URL without a host"
    assert len(shown("https://host/" + "a" * 9999)) == 300
