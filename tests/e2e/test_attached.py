"""`darkroom up` with an AWS and runtimes that run already."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from commands import run
from harness import running_stack, text_to_image

from servicekit.listen import free_port
from testkit.aws import start, wait_for
from testkit.sample_runtimes import sample_runtime


@pytest.fixture
def own_aws(tmp_path: Path) -> Iterator[str]:
    port = free_port()
    process = start(port, tmp_path)
    wait_for(f"http://127.0.0.1:{port}", process)
    yield f"http://127.0.0.1:{port}"
    process.terminate()
    process.wait(timeout=120)


@pytest.fixture
def own_sdwebui() -> Iterator[str]:
    with sample_runtime("sdwebui") as (url, _):
        yield url


@pytest.fixture
def own_invokeai() -> Iterator[str]:
    with sample_runtime("invokeai") as (url, _):
        yield url


def graph(**node: Any) -> dict[str, Any]:
    """A task of one node for an InvokeAI runtime."""
    return {
        "metadata": {"id": "graph", "runtime": "invoke", "tasktype": "pipeline"},
        "content": {"graph": {"nodes": {"1": {"id": "1", **node}}, "edges": []}},
    }


async def test_tasks_run_on_the_users_own_runtimes_and_aws(
    own_aws: str, own_sdwebui: str, own_invokeai: str, tmp_path: Path
) -> None:
    arguments = (
        *("--runtime", f"Mine=sdwebui@{own_sdwebui},dynamic"),
        *("--runtime", f"invoke=invokeai@{own_invokeai}"),
        *("--aws-endpoint-url", own_aws),
    )

    with running_stack(tmp_path / "up", *arguments) as stack:
        assert stack.info["aws_endpoint_url"] == own_aws
        assert list(stack.info["queues"]) == ["mine", "invoke"]
        for wanted in (
            text_to_image("attached", runtime="MINE"),
            graph(type="blank_image", width=64, height=64),
        ):
            accepted = await stack.submit(**wanted)
            task = await stack.until(accepted["uid"], "completed")
            image, _ = await stack.object(task["image_url"][0])
            assert image.startswith(b"\x89PNG")

        verified = run("verify", "--json", "--size", "64", "--data-dir", str(stack.folder))
        assert len(json.loads(verified)["images"]) == 4

        here = {"image_name": "http://127.0.0.1:1/a.png?sig=secret"}
        accepted = await stack.submit(**graph(type="img_blur", image=here))
        task = await stack.until(accepted["uid"], "failed")

    assert task["error"]["code"] == "input_unavailable"
    assert "not public (loopback)" in task["error"]["message"]
    assert "secret" not in task["error"]["message"]
