"""`darkroom models add` with a server of models and an emulator of S3."""

from __future__ import annotations

import asyncio
import json
import os
import struct
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any
from urllib.parse import urlsplit

import pytest
from typer.testing import CliRunner, Result

from awsio import clients
from contracts.ids import new_uid
from darkroom_cli.errors import CommandError
from darkroom_cli.main import app
from darkroom_cli.models.files import headers_of, listed_models, model
from darkroom_cli.models.progress import lines
from darkroom_cli.models.upload import Brought, Upload

TOKEN = "a-token-that-nobody-sees"  # noqa: S105  # of the test's own server
MIB = 2**20


def weights(size: int = MIB) -> bytes:
    """A whole safetensors file with one tensor."""
    entry = {"dtype": "F32", "shape": [size // 4], "data_offsets": [0, size]}
    header = json.dumps({"__metadata__": {"format": "pt"}, "weight": entry}).encode()
    return struct.pack("<Q", len(header)) + header + bytes(size)


FILES = {
    "/whole.safetensors": weights(),
    "/cut.safetensors": weights()[:-1],
    "/page.safetensors": b"<html>please log in</html>",
    "/page.gguf": b"<html>please log in</html>",
    "/empty.pth": b"",
    "/upscaler.pth": b"anything",
    "/v2.yaml": b"model: {}",
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


class Bucket:
    """A bucket, and the command that brings models into it."""

    def __init__(self) -> None:
        self.name = f"models-{new_uid().lower()}"

    def add(self, *arguments: object, stdin: str | None = None) -> Result:
        given = [str(each) for each in ("models", "add", *arguments, "--bucket", self.name)]
        return CliRunner().invoke(app, given, input=stdin)

    def brought(self, *arguments: object, stdin: str | None = None) -> list[dict[str, Any]]:
        done = self.add(*arguments, "--json", stdin=stdin)
        assert done.exit_code == 0, done.stderr
        brought: list[dict[str, Any]] = json.loads(done.stdout)
        return brought

    def sizes(self) -> dict[str, int]:
        found = asyncio.run(self._call("list_objects_v2"))
        return {each["Key"]: each["Size"] for each in found.get("Contents", [])}

    def head(self, key: str) -> dict[str, Any]:
        return asyncio.run(self._call("head_object", Key=key))

    def content(self, key: str) -> bytes:
        async def read() -> bytes:
            async with clients.s3() as s3:
                answer = await s3.get_object(Bucket=self.name, Key=key)
                return await answer["Body"].read()

        return asyncio.run(read())

    def uploads(self) -> list[Any]:
        """The uploads that were begun and neither completed nor aborted."""
        return list(asyncio.run(self._call("list_multipart_uploads")).get("Uploads", []))

    async def make(self) -> None:
        await self._call("create_bucket")

    async def _call(self, name: str, **arguments: Any) -> dict[str, Any]:
        async with clients.s3() as s3:
            answer: dict[str, Any] = await getattr(s3, name)(Bucket=self.name, **arguments)
            return answer


@pytest.fixture
def bucket(aws: str) -> Bucket:
    made = Bucket()
    asyncio.run(made.make())
    return made


def test_model_of_a_url_is_stored_once_and_without_what_is_secret(
    bucket: Bucket, server: str
) -> None:
    source = f"{server}/whole.safetensors?token={TOKEN}"

    (made,) = bucket.brought(source)
    again = bucket.add(source)

    url = f"s3://{bucket.name}/Stable-diffusion/whole.safetensors"
    size = len(FILES["/whole.safetensors"])
    assert made == {"url": url, "changed": True, "size_bytes": size}
    assert again.stdout == f"{url}\n"
    assert "it is there already" in again.stderr
    assert bucket.sizes() == {"Stable-diffusion/whole.safetensors": size}
    found = bucket.head("Stable-diffusion/whole.safetensors")
    assert found["Metadata"] == {"darkroom-source": f"{server}/whole.safetensors"}
    assert TOKEN not in again.output


def test_force_stores_it_again_and_a_dry_run_nothing(bucket: Bucket, server: str) -> None:
    source = f"{server}/whole.safetensors"

    (dry,) = bucket.brought(source, "--dry-run")
    assert (dry["changed"], bucket.sizes()) == (True, {})
    assert [bucket.brought(source)[0]["changed"] for _ in range(2)] == [True, False]
    assert bucket.brought(source, "--dry-run")[0]["changed"] is False
    assert bucket.brought(source, "--force")[0]["changed"] is True


def test_model_of_a_file_goes_up_in_parts_and_its_way_is_told(
    bucket: Bucket, tmp_path: Path
) -> None:
    file = tmp_path / "mine.safetensors"
    content = weights(12 * MIB)[: -12 * MIB] + os.urandom(12 * MIB)
    file.write_bytes(content)
    told: list[str] = []

    async def bring() -> Brought:
        async with clients.s3() as s3:
            upload = Upload(
                s3=s3, bucket=bucket.name, shown=lines(told.append), part_bytes=5 * MIB
            )
            return await upload.bring(model(str(file), folder="Lora"))

    assert asyncio.run(bring()).url == f"s3://{bucket.name}/Lora/mine.safetensors"
    assert bucket.head("Lora/mine.safetensors")["ETag"].strip('"').endswith("-3")
    assert bucket.content("Lora/mine.safetensors") == content
    told_of = f"Lora/mine.safetensors to {bucket.name}: "
    assert len(told) == 3
    assert [line.startswith(told_of) for line in told] == [True] * 3
    assert told[-1].startswith(f"{told_of}12 of 12 MiB")


@pytest.mark.parametrize(
    ("path", "reason"),
    [
        ("/cut.safetensors", f"it has {len(weights()) - 1} bytes, its header promises"),
        ("/page.safetensors", "it is not a safetensors file"),
        ("/page.gguf", "it is not a GGUF file"),
        ("/empty.pth", "it is empty"),
        ("/upscaler.pth?broken-off", "16 bytes were promised and 8 came"),
        ("/missing.safetensors", "the server answered 403 Forbidden"),
    ],
)
def test_broken_model_is_not_stored(
    bucket: Bucket, server: str, path: str, reason: str
) -> None:
    failed = bucket.add(server + path)

    assert failed.exit_code == 1
    origin = server + path.partition("?")[0]
    assert failed.stderr.splitlines()[-1].startswith(f"darkroom: {origin}: {reason}")
    assert (bucket.sizes(), bucket.uploads()) == ({}, [])


def test_file_that_no_runtime_reads_is_stored_only_by_force(
    bucket: Bucket, server: str
) -> None:
    refused = bucket.add(f"{server}/v2.yaml")

    assert (refused.exit_code, bucket.sizes()) == (1, {})
    assert "v2.yaml: runtimes read no such file" in refused.stderr
    assert bucket.brought(f"{server}/v2.yaml", "--force")[0]["changed"] is True


def test_length_that_nobody_tells_is_found_out(bucket: Bucket, server: str) -> None:
    source = f"{server}/whole.safetensors?unknown-length"

    made, again = (bucket.brought(source, "--name", "x.safetensors")[0] for _ in range(2))

    assert made["size_bytes"] == len(FILES["/whole.safetensors"])
    assert again == {**made, "changed": False}


def test_list_has_several_models_and_their_headers(bucket: Bucket, server: str) -> None:
    guarded = {
        "source": f"{server}/guarded.safetensors",
        "folder": "Lora",
        "headers": {"Authorization": f"Bearer {TOKEN}"},
    }
    models = [guarded, {"source": f"{server}/upscaler.pth", "filename": "4x.pth"}]

    bucket.brought("--list", "-", stdin=json.dumps({"models": models}))

    assert set(bucket.sizes()) == {"Lora/guarded.safetensors", "Stable-diffusion/4x.pth"}


def test_headers_may_be_in_a_file(bucket: Bucket, server: str, tmp_path: Path) -> None:
    file = tmp_path / "headers"
    file.write_text(f"Authorization: Bearer {TOKEN}\n")

    bucket.brought(f"{server}/guarded.safetensors", "--headers-file", file)

    assert bucket.sizes()


@pytest.mark.parametrize("value", [f"{TOKEN}\nX: y", f"{TOKEN}ü"])
def test_header_that_cannot_be_sent_is_not_shown(
    bucket: Bucket, server: str, value: str
) -> None:
    entry = {"source": f"{server}/whole.safetensors", "headers": {"Authorization": value}}

    failed = bucket.add("--list", "-", stdin=json.dumps([entry]))

    assert failed.exit_code == 1
    assert isinstance(failed.exception, SystemExit)
    assert TOKEN not in failed.output


def test_bucket_that_is_not_there_is_one_sentence(aws: str, server: str) -> None:
    failed = Bucket().add(f"{server}/upscaler.pth")

    assert failed.exit_code == 1
    assert "NoSuchBucket" in failed.stderr
    assert failed.stderr.count("\n") == 1


@pytest.mark.parametrize("name", ["../up.safetensors", ".hidden", "a/b.safetensors"])
def test_name_that_is_a_path_is_refused(name: str) -> None:
    with pytest.raises(CommandError, match="must be one name"):
        model("https://models.example/whole.safetensors", filename=name)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("{", "neither YAML nor JSON"),
        ("models: x", "there is no list of models"),
        ("[{folder: Lora}]", "model 1 of the list has no source"),
        (f"[{{source: a.pth, token: {TOKEN}}}]", "model 1 has token; allowed: filename, "),
        (f"[{{source: a.pth, headers: {TOKEN}}}]", "headers of model 1 must look like"),
        (f"models: [{{source: {TOKEN}/}}]", "the name '' must be one name"),
    ],
)
def test_list_that_is_wrong_is_one_sentence_without_its_values(text: str, reason: str) -> None:
    with pytest.raises(CommandError, match=reason) as caught:
        listed_models(text)

    assert TOKEN not in str(caught.value)


def test_line_that_is_no_header_is_refused_without_being_shown() -> None:
    assert headers_of("A: b:c\n\n") == {"A": "b:c"}
    with pytest.raises(CommandError, match="must look like") as caught:
        headers_of(TOKEN)

    assert TOKEN not in str(caught.value)


@pytest.mark.parametrize("arguments", [(), ("x.pth", "--list", "-")], ids=["nothing", "both"])
def test_either_a_model_or_a_list_is_named(arguments: tuple[str, ...]) -> None:
    done = CliRunner().invoke(app, ["models", "add", *arguments])

    assert (done.exit_code, "name either a model or --list" in done.stderr) == (1, True)
