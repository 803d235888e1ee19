from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import pytest
from stub_server import BREAK, Reply, StubServer

from darkroom_client import InvalidRequest

BODY = bytes(range(256)) * 10_000  # more than one piece


@pytest.fixture
def target(server: StubServer) -> str:
    """What is asked where the file goes."""
    url = f"{server.url}/bucket/Lora/a.pt?X-Amz-Signature=s"
    told = {"upload_url": url, "expires_at": "2026-01-02T03:04:05Z"}
    server.on("POST /v1/models", Reply(told))
    return "PUT /bucket/Lora/a.pt?X-Amz-Signature=s"


def test_a_file_is_sent_in_pieces_without_the_key(
    darkroom: Any, server: StubServer, target: str, tmp_path: Path
) -> None:
    file, told = tmp_path / "a.pt", []
    file.write_bytes(BODY)
    server.on(target, Reply(None))

    darkroom.upload_model(file, "Lora/a.pt", progress=lambda *sent: told.append(sent))

    asked, sent = server.asked
    assert asked.body == b'{"name": "Lora/a.pt", "bytes": 2560000}'
    assert sent.body == BODY
    assert sent.headers["content-length"] == str(len(BODY))
    assert "x-api-key" not in sent.headers
    assert "transfer-encoding" not in sent.headers
    assert told == [(2**20, len(BODY)), (2 * 2**20, len(BODY)), (len(BODY), len(BODY))]


def test_a_file_whose_connection_breaks_is_sent_again_from_its_beginning(
    darkroom: Any, server: StubServer, target: str
) -> None:
    server.on(target, BREAK, Reply(None))
    file = io.BytesIO(b"before" + BODY)
    file.seek(6)

    darkroom.upload_model(file, "Lora/a.pt")

    assert [asked.body for asked in server.asked[1:]] == [BODY, BODY]


def test_a_file_that_is_not_there_is_one_sentence(
    darkroom: Any, server: StubServer, tmp_path: Path
) -> None:
    with pytest.raises(InvalidRequest, match="No such file"):
        darkroom.upload_model(tmp_path / "none.pt", "Lora/none.pt")
    assert server.asked == []
