from __future__ import annotations

import httpx
import pytest
from model_sync_fakes import NEW_YEAR, FakeUploadBucket, safetensors

from awsio import clients
from model_sync.adapters.s3 import S3UploadBucket
from model_sync.upload import LARGEST, LASTS, PrepareUpload, Upload
from servicekit.errors import RejectedError


async def prepared(name: str, size: int = 9) -> Upload:
    return await PrepareUpload(bucket=FakeUploadBucket(), now=lambda: NEW_YEAR)(name, size)


async def test_a_url_is_for_one_name_and_size_and_ends() -> None:
    upload = await prepared("Lora/a.safetensors", LARGEST)

    assert upload.url == f"https://bucket/Lora/a.safetensors?bytes={LARGEST}"
    assert upload.expires_at == NEW_YEAR + LASTS
    assert "https" not in repr(upload)


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("a.safetensors", "name"),
        ("/a.safetensors", "folder"),
        ("Lora/", "name"),
        ("Lora/b/a.safetensors", "name"),
        ("../a.safetensors", "folder"),
        ("Lora/.a.safetensors", "name"),
        ("Lora/a.exe", "format"),
        ("Lora/a\n.pt", "control"),
        ("Lora/" + "x" * 1024 + ".pt", "bytes"),
    ],
)
async def test_a_name_that_no_model_may_have_is_refused(name: str, said: str) -> None:
    with pytest.raises(RejectedError, match=said) as caught:
        await prepared(name)
    assert (caught.value.code, caught.value.errors[0].field) == ("invalid_request", "name")


@pytest.mark.parametrize("size", [0, -1, LARGEST + 1])
async def test_a_size_that_one_put_cannot_have_is_refused(size: int) -> None:
    with pytest.raises(RejectedError) as caught:
        await prepared("Lora/a.pt", size)
    assert caught.value.errors[0].field == "bytes"


async def test_what_is_put_there_is_in_the_bucket(s3_bucket: str) -> None:
    body = safetensors()
    async with clients.s3(signs_links=True) as s3, httpx.AsyncClient() as http:
        bucket = S3UploadBucket(client=s3, bucket=s3_bucket)
        url = await bucket.upload_url("Lora/a b.safetensors", len(body), LASTS)
        answer = await http.put(url, content=body)
        stored = await s3.get_object(Bucket=s3_bucket, Key="Lora/a b.safetensors")
        async with stored["Body"] as content:
            assert (answer.status_code, await content.read()) == (200, body)

    signed = httpx.URL(url).params["X-Amz-SignedHeaders"]
    assert signed == "content-length;host"
