from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from awsio import clients
from provisioning import emulator
from provisioning.resources import model_bucket_of, provision
from servicekit.listen import HOST, free_port
from testkit.aws import start, wait_for


def test_file_that_is_moved_in_is_an_object_at_the_next_start(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file, bucket = tmp_path / "fetched", model_bucket_of("darkroom")
    file.write_bytes(b"weights")
    emulator.move_in(file, tmp_path, bucket, "Lora/detail.safetensors", {"from": "there"})
    port = free_port()
    url = f"http://{HOST}:{port}"
    for name, value in {**emulator.CREDENTIALS, "AWS_ENDPOINT_URL": url}.items():
        monkeypatch.setenv(name, value)
    process = start(port, tmp_path)

    async def found() -> tuple[int, dict[str, str], bytes]:
        await provision("darkroom", ())
        async with clients.s3() as s3:
            got = await s3.get_object(Bucket=bucket, Key="Lora/detail.safetensors")
            return got["ContentLength"], got["Metadata"], await got["Body"].read()

    try:
        wait_for(url, process)
        assert asyncio.run(found()) == (7, {"from": "there"}, b"weights")
    finally:
        process.terminate()
        process.wait(timeout=120)

    assert not file.exists()
