from __future__ import annotations

import json
import struct
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any
from urllib.parse import urlsplit

import pytest

from ansible_runs import Ansible
from modules import Modules

BUCKET = "models-of-a-stack"
TOKEN = "a-token-that-nobody-sees"  # noqa: S105  # of the test's own server
MIB = 2**20


def weights(size: int = 12 * MIB) -> bytes:
    """A whole safetensors file with one tensor."""
    entry = {"dtype": "F32", "shape": [size // 4], "data_offsets": [0, size]}
    header = json.dumps({"__metadata__": {"format": "pt"}, "weight": entry}).encode()
    return struct.pack("<Q", len(header)) + header + bytes(size)


FILES = {
    "/whole.safetensors": weights(),
    "/cut.safetensors": weights()[: 8 * MIB],
    "/page.safetensors": b"<html>please log in</html>",
    "/upscaler.pth": b"anything",
}


class Models(BaseHTTPRequestHandler):
    def do_GET(self) -> None:  # the base class names it
        parts = urlsplit(self.path)
        if parts.path == "/guarded.safetensors":
            known = self.headers["Authorization"] == f"Bearer {TOKEN}"
            content = FILES["/whole.safetensors"] if known else None
        else:
            content = FILES.get(parts.path)
        if content is None:
            self.send_error(403)
            return
        self.send_response(200)
        if parts.query != "unknown-length":
            promised = 2 if parts.query == "broken-off" else 1
            self.send_header("Content-Length", str(promised * len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    running = ThreadingHTTPServer(("127.0.0.1", 0), Models)
    thread = Thread(target=running.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{running.server_port}"
    running.shutdown()
    running.server_close()
    thread.join()


@pytest.fixture(scope="module")
def bucket(ansible: Ansible, server: str) -> Ansible:
    """An account whose model bucket the playbook made, with one model."""
    given = {
        "model_bucket": BUCKET,
        "create_bucket": "true",  # a text, as `-e create_bucket=true` gives it
        "model_source": f"{server}/whole.safetensors?token={TOKEN}",
    }
    ansible.play("models.yml", "-e", json.dumps(given), "--check")
    assert not ansible.client("s3").list_buckets()["Buckets"]
    run = ansible.play("models.yml", "-e", json.dumps(given))
    assert run.changed == 2
    assert TOKEN not in run.output
    assert ansible.play("models.yml", "-e", json.dumps(given)).changed == 0
    return ansible


def objects(ansible: Ansible) -> dict[str, int]:
    found = ansible.client("s3").list_objects_v2(Bucket=BUCKET).get("Contents", [])
    return {each["Key"]: each["Size"] for each in found}


def uploads(ansible: Ansible) -> list[Any]:
    """The uploads that were begun and neither completed nor aborted."""
    return list(ansible.client("s3").list_multipart_uploads(Bucket=BUCKET).get("Uploads", []))


@pytest.fixture(scope="module")
def here(bucket: Ansible, modules: Modules) -> Modules:
    return modules.at(bucket.endpoint)


def bring(here: Modules, source: str, **more: Any) -> dict[str, Any]:
    return here.run("s3_model", bucket=BUCKET, folder="Stable-diffusion", source=source, **more)


def test_model_of_a_url_is_in_its_folder_as_it_was(bucket: Ansible) -> None:
    answer = bucket.client("s3").get_object(
        Bucket=BUCKET, Key="Stable-diffusion/whole.safetensors"
    )

    assert answer["Body"].read() == FILES["/whole.safetensors"]
    assert TOKEN not in str(answer["Metadata"])


def test_bucket_is_private_encrypted_and_takes_tls_only(bucket: Ansible) -> None:
    s3 = bucket.client("s3")

    blocked = s3.get_public_access_block(Bucket=BUCKET)["PublicAccessBlockConfiguration"]
    policy = json.loads(s3.get_bucket_policy(Bucket=BUCKET)["Policy"])
    assert set(blocked.values()) == {True}
    assert s3.get_bucket_encryption(Bucket=BUCKET)["ServerSideEncryptionConfiguration"]
    assert policy["Statement"][0]["Condition"] == {"Bool": {"aws:SecureTransport": "false"}}


def test_model_of_a_file_goes_up_in_parts(
    bucket: Ansible, here: Modules, tmp_path: Path
) -> None:
    file = tmp_path / "mine.safetensors"
    file.write_bytes(weights())

    made = bring(here, str(file), part_bytes=5 * MIB, progress_file=str(tmp_path / "now"))

    assert made["changed"] is True
    assert made["url"] == f"s3://{BUCKET}/Stable-diffusion/mine.safetensors"
    head = bucket.client("s3").head_object(
        Bucket=BUCKET, Key="Stable-diffusion/mine.safetensors"
    )
    assert head["ETag"].strip('"').endswith("-3")
    assert json.loads((tmp_path / "now").read_text())["bytes"] == file.stat().st_size
    assert bring(here, str(file))["changed"] is False


@pytest.mark.parametrize(
    ("path", "reason"),
    [
        ("/cut.safetensors", "its header promises"),
        ("/page.safetensors", "it is not a safetensors file"),
        ("/upscaler.pth?broken-off", "were promised and"),
        ("/missing.safetensors", "the server answered 403"),
    ],
)
def test_broken_model_is_not_stored(
    bucket: Ansible, here: Modules, server: str, path: str, reason: str
) -> None:
    before = objects(bucket)

    name = f"broken{Path(urlsplit(path).path).suffix}"
    failed = bring(here, server + path, filename=name, fails=True)

    assert reason in failed["msg"]
    assert objects(bucket) == before
    assert not uploads(bucket)


def test_file_that_is_no_model_of_that_kind_is_stored_as_it_is(
    bucket: Ansible, here: Modules, server: str
) -> None:
    bring(here, f"{server}/upscaler.pth", filename="4x.pth")

    assert objects(bucket)["Stable-diffusion/4x.pth"] == len(FILES["/upscaler.pth"])


def test_length_that_nobody_tells_is_found_out(here: Modules, server: str) -> None:
    source = f"{server}/whole.safetensors?unknown-length"

    made = bring(here, source, filename="unknown.safetensors")

    assert made["size_bytes"] == len(FILES["/whole.safetensors"])
    assert bring(here, source, filename="unknown.safetensors")["changed"] is False


def test_header_with_a_token_is_sent_and_not_shown(bucket: Ansible, server: str) -> None:
    model = {
        "source": f"{server}/guarded.safetensors",
        "folder": "Lora",
        "headers": {"Authorization": f"Bearer {TOKEN}"},
    }
    given = json.dumps({"model_bucket": BUCKET, "models": [model]})

    run = bucket.play("models.yml", "-e", given, "-v")

    assert objects(bucket)["Lora/guarded.safetensors"] > 0
    assert TOKEN not in run.output


@pytest.mark.parametrize("name", ["../up.safetensors", ".hidden", "a/b.safetensors"])
def test_name_that_is_a_path_is_refused(here: Modules, server: str, name: str) -> None:
    failed = bring(here, f"{server}/whole.safetensors", filename=name, fails=True)

    assert "must be one name" in failed["msg"]
