from __future__ import annotations

import json
import struct
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from urllib.parse import urlsplit

import pytest

from ansible_runs import Ansible
from own_command import provide_command

BUCKET = "models-of-a-stack"
TOKEN = "a-token-that-nobody-sees"  # noqa: S105  # of the test's own server


def weights(size: int = 2**20) -> bytes:
    """A whole safetensors file with one tensor."""
    entry = {"dtype": "F32", "shape": [size // 4], "data_offsets": [0, size]}
    header = json.dumps({"weight": entry}).encode()
    return struct.pack("<Q", len(header)) + header + bytes(size)


WEIGHTS = weights()


class Models(BaseHTTPRequestHandler):
    def do_GET(self) -> None:  # the base class names it
        path = urlsplit(self.path).path
        known = self.headers["Authorization"] == f"Bearer {TOKEN}"
        if path != "/whole.safetensors" and not (path == "/guarded.safetensors" and known):
            self.send_error(403)
            return
        self.send_response(200)
        self.send_header("Content-Length", str(len(WEIGHTS)))
        self.end_headers()
        self.wfile.write(WEIGHTS)

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
    provide_command(ansible.folder)
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


def test_model_of_a_url_is_in_its_folder_as_it_was(bucket: Ansible) -> None:
    answer = bucket.client("s3").get_object(
        Bucket=BUCKET, Key="Stable-diffusion/whole.safetensors"
    )

    assert answer["Body"].read() == WEIGHTS
    assert TOKEN not in str(answer["Metadata"])


def test_bucket_is_private_encrypted_and_takes_tls_only(bucket: Ansible) -> None:
    s3 = bucket.client("s3")

    blocked = s3.get_public_access_block(Bucket=BUCKET)["PublicAccessBlockConfiguration"]
    policy = json.loads(s3.get_bucket_policy(Bucket=BUCKET)["Policy"])
    assert set(blocked.values()) == {True}
    assert s3.get_bucket_encryption(Bucket=BUCKET)["ServerSideEncryptionConfiguration"]
    assert policy["Statement"][0]["Condition"] == {"Bool": {"aws:SecureTransport": "false"}}


def test_several_models_and_a_header_with_a_token_that_is_not_shown(
    bucket: Ansible, server: str
) -> None:
    file = bucket.folder / "mine.safetensors"
    file.write_bytes(WEIGHTS)
    guarded = {
        "source": f"{server}/guarded.safetensors",
        "folder": "Lora",
        "headers": {"Authorization": f"Bearer {TOKEN}"},
    }
    models = [guarded, {"source": file.name, "filename": "own.safetensors"}]
    given = json.dumps({"model_bucket": BUCKET, "models": models})

    checked = bucket.play("models.yml", "-e", given, "--check")
    assert (checked.changed, "Lora/guarded.safetensors" in objects(bucket)) == (1, False)
    run = bucket.play("models.yml", "-e", given, "-v")

    assert {"Lora/guarded.safetensors", "Stable-diffusion/own.safetensors"} < objects(
        bucket
    ).keys()
    assert f"Lora/guarded.safetensors to {BUCKET}: 1 of 1 MiB" in run.output
    assert TOKEN not in checked.output + run.output


def test_broken_model_is_one_sentence_without_its_token(bucket: Ansible, server: str) -> None:
    given = {"model_bucket": BUCKET, "model_source": f"{server}/none.pth?token={TOKEN}"}

    run = bucket.play("models.yml", "-e", json.dumps(given), fails=True)

    assert f"{server}/none.pth: the server answered 403" in run.output
    assert TOKEN not in run.output


def test_command_that_is_not_there_is_one_sentence(bucket: Ansible) -> None:
    given = {"model_bucket": BUCKET, "model_source": "x.pth", "darkroom_command": "none"}

    run = bucket.play("models.yml", "-e", json.dumps(given), fails=True)

    assert "there is no command none: install the wheel of Darkroom" in run.output
