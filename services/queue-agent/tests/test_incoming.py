"""The original solution's message, published past the router."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from contracts.kinds import TaskType
from queue_agent.domain import Delivery, UnworkableError
from queue_agent.task.incoming import MessageReader

GOLDEN = Path("tests/contract/golden")
SENT = datetime(2026, 1, 2, 3, 4, 5, 678000, tzinfo=UTC)
READER = MessageReader(runtime_name="sdruntime", bucket="bucket")


def golden(name: str) -> dict[str, Any]:
    read: dict[str, Any] = json.loads((GOLDEN / f"{name}.request.json").read_text())
    return read


def legacy(payload: dict[str, Any], tasktype: str) -> dict[str, Any]:
    """As the original's parser wrapped a request of its older form."""
    scripts = payload["alwayson_scripts"]
    return {
        "metadata": {
            "id": scripts["id_task"],
            "runtime": "legacy",
            "tasktype": tasktype,
            "prefix": scripts["save_dir"],
            "context": {},
        },
        "content": {**payload, "s3_output_path": "s3://bucket/output"},
    }


def delivery(body: dict[str, Any], message_id: str = "message-1") -> Delivery:
    return Delivery(
        body=json.dumps(body).encode(),
        receipt="receipt",
        receives=1,
        message_id=message_id,
        sent_at=SENT,
    )


def test_the_present_form_is_a_task_to_be_recorded() -> None:
    body = golden("v1alpha2-text-to-image")["task"]
    body["metadata"]["context"] = {"order": 7}

    incoming = READER.read(delivery(body))

    message = incoming.message
    assert incoming.context_json == '{"order":7}'
    assert (message.id, message.runtime) == (body["metadata"]["id"], "sdruntime")
    assert (message.tasktype, message.bucket) == (TaskType.TEXT_TO_IMAGE, "bucket")
    assert message.accepted_at == SENT
    assert message.content is not None
    assert message.content["prompt"] == body["content"]["prompt"]


def test_the_older_form_loses_its_routing_keys_as_in_ingest() -> None:
    payload = golden("v1alpha1-text-to-image")

    message = READER.read(delivery(legacy(payload, "text-to-image"))).message

    assert message.id == payload["alwayson_scripts"]["id_task"]
    assert message.content is not None
    assert "s3_output_path" not in message.content
    assert not {"task", "id_task", "save_dir", "sd_model_checkpoint"} & set(
        message.content["alwayson_scripts"]
    )


def test_the_input_image_of_the_older_form_is_found() -> None:
    payload = golden("v1alpha1-image-to-image")
    payload["alwayson_scripts"].setdefault("save_dir", "output")

    message = READER.read(delivery(legacy(payload, "image-to-image"))).message

    assert message.content is not None
    assert message.content["init_images"] == [payload["alwayson_scripts"]["image_link"]]


@pytest.mark.parametrize(("dynamic", "expected"), [(True, "other.safetensors"), (False, None)])
def test_a_runtime_that_switches_models_is_told_which(
    dynamic: bool, expected: str | None
) -> None:
    body = golden("v1alpha2-text-to-image")["task"]
    body["content"]["alwayson_scripts"] = {"sd_model_checkpoint": "other.safetensors"}
    reader = MessageReader(runtime_name="sdruntime", bucket="bucket", dynamic_model=dynamic)

    assert reader.read(delivery(body)).message.checkpoint == expected


def test_a_graph_is_left_as_it_is() -> None:
    body = golden("v1alpha2-pipeline")["task"]
    body["metadata"]["runtime"] = "SdRuntime"

    assert READER.read(delivery(body)).message.content == body["content"]


def test_each_delivery_of_a_message_is_the_same_task_and_each_message_another() -> None:
    body = golden("v1alpha2-text-to-image")["task"]

    uids = [READER.read(delivery(body, id)).message.uid for id in ("a", "a", "b")]

    assert uids[0] == uids[1] != uids[2]
    assert uids[0][:10] == uids[2][:10], "it sorts by time"


@pytest.mark.parametrize(
    "changes",
    [
        {"id": "../x"},
        {"id": None},
        {"runtime": "other"},
        {"tasktype": "dance"},
        {"prefix": "../../other"},
        {"context": "x" * 20_000},
    ],
)
def test_what_is_no_task_for_this_agent_goes_back(changes: dict[str, Any]) -> None:
    body = golden("v1alpha2-text-to-image")["task"]
    body["metadata"] |= changes

    with pytest.raises(UnworkableError) as caught:
        READER.read(delivery(body))

    assert "dance" not in str(caught.value)
