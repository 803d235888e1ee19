"""The bucket on a disk: everything is there and whole, or the copy says why not."""

from __future__ import annotations

import os
import shutil
from collections.abc import AsyncIterator, Callable, Sequence
from pathlib import Path

import pytest
from model_sync_fakes import NEW_YEAR, FakeModelBucket

from awsio import clients
from model_sync.adapters.downloads import PART_BYTES, S3ModelDownloads
from model_sync.adapters.s3 import S3ModelBucket
from model_sync.copying import Copied, copy_models
from provisioning.emulator import CREDENTIALS
from servicekit.errors import FatalError, TransientError
from testkit.processes import run_module

SEVERAL_PARTS = os.urandom(PART_BYTES * 2 + 4711)


class Broken:
    """A download that ends in the middle."""

    def fetch(self, key: str, path: Path, arrived: Callable[[int], None]) -> None:
        path.write_bytes(b"half")
        arrived(4)
        raise TransientError("the connection is gone")


@pytest.fixture
def store(s3_bucket: str, aws: str, monkeypatch: pytest.MonkeyPatch) -> str:
    """The name of a bucket that the SDK of the copy finds."""
    for name, value in {**CREDENTIALS, "AWS_ENDPOINT_URL": aws}.items():
        monkeypatch.setenv(name, value)
    return s3_bucket


@pytest.fixture
async def filled(store: str) -> AsyncIterator[S3ModelBucket]:
    async with clients.s3() as s3:
        for key, body in {
            "Stable-diffusion/big.safetensors": SEVERAL_PARTS,
            "Lora/in/ä folder.pt": b"four",
            "embeddings/empty.pt": b"",
            "readme.txt": b"text",
            "Lora/": b"",
        }.items():
            await s3.put_object(Bucket=store, Key=key, Body=body)
        yield S3ModelBucket(client=s3, bucket=store)


def files(folder: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file()
    }


async def copied(
    bucket: S3ModelBucket | FakeModelBucket,
    folder: Path,
    *,
    max_files: int = 100,
    keys: Sequence[str] = (),
) -> Copied:
    name = bucket.bucket if isinstance(bucket, S3ModelBucket) else "none"
    downloads = S3ModelDownloads(name, parallel=4)
    return await copy_models(bucket, downloads, folder, keys=keys, max_files=max_files)


async def test_every_object_is_a_file_with_the_same_bytes(
    filled: S3ModelBucket, tmp_path: Path
) -> None:
    result = await copied(filled, tmp_path / "models")

    assert files(tmp_path / "models") == {
        "Stable-diffusion/big.safetensors": SEVERAL_PARTS,
        "Lora/in/ä folder.pt": b"four",
        "embeddings/empty.pt": b"",
        "readme.txt": b"text",
    }
    assert result == Copied(files=4, bytes=len(SEVERAL_PARTS) + 8)


async def test_a_second_copy_fetches_only_what_is_not_there_as_it_is_in_the_bucket(
    filled: S3ModelBucket, tmp_path: Path
) -> None:
    await copied(filled, tmp_path)
    (tmp_path / "readme.txt").write_text("cut")
    other = tmp_path / "Lora/in/ä folder.pt"
    other.write_text("late")  # as long, but of another time
    os.utime(other, (NEW_YEAR.timestamp(),) * 2)
    (tmp_path / "embeddings/empty.pt").unlink()

    result = await copied(filled, tmp_path)

    assert (result.files, result.present) == (3, 1)
    assert files(tmp_path)["readme.txt"] == b"text"
    assert other.read_bytes() == b"four"


async def test_only_objects_whose_keys_match_are_copied(
    filled: S3ModelBucket, tmp_path: Path
) -> None:
    await copied(filled, tmp_path, keys=["Lora/*", "*.txt"])

    assert set(files(tmp_path)) == {"Lora/in/ä folder.pt", "readme.txt"}


async def test_a_pattern_that_no_object_matches_is_refused(
    filled: S3ModelBucket, tmp_path: Path
) -> None:
    with pytest.raises(FatalError, match=r"has a key such as VAE/\*$"):
        await copied(filled, tmp_path, keys=["Lora/*", "VAE/*"])

    assert files(tmp_path) == {}


@pytest.mark.parametrize("key", ["../up.pt", "/root.pt", "Lora/../../up.pt", "a\0b.pt"])
async def test_an_object_that_would_leave_the_folder_is_skipped_and_told(
    key: str, tmp_path: Path
) -> None:
    result = await copied(FakeModelBucket({key: b"x"}), tmp_path / "models")

    assert result == Copied(skipped=[key])
    assert files(tmp_path) == {}


async def test_what_breaks_off_leaves_no_half_file_under_its_name(tmp_path: Path) -> None:
    bucket = FakeModelBucket({"Lora/a.pt": b"a whole one"})

    with pytest.raises(TransientError):
        await copy_models(bucket, Broken(), tmp_path, max_files=9)

    assert not (tmp_path / "Lora/a.pt").exists()


async def test_what_is_left_of_a_broken_copy_goes_with_the_next(tmp_path: Path) -> None:
    bucket = FakeModelBucket({"Lora/a.pt": b"a whole one"})
    with pytest.raises(TransientError):
        await copy_models(bucket, Broken(), tmp_path, max_files=9)
    (tmp_path / "Lora/a.pt").write_bytes(b"a whole one")
    os.utime(tmp_path / "Lora/a.pt", (NEW_YEAR.timestamp(),) * 2)

    await copy_models(bucket, Broken(), tmp_path, max_files=9)

    assert files(tmp_path) == {"Lora/a.pt": b"a whole one"}


async def test_too_little_room_is_told_before_anything_is_fetched(tmp_path: Path) -> None:
    class Large(FakeModelBucket):
        async def files(self) -> AsyncIterator[object]:  # type: ignore[override]
            async for file in super().files():
                object.__setattr__(file, "size_bytes", shutil.disk_usage(tmp_path).total)
                yield file

    with pytest.raises(FatalError, match=r"MB of room, and the models need \d+ MB more$"):
        await copied(Large({"a.pt": b"x"}), tmp_path)

    assert files(tmp_path) == {}


async def test_a_bucket_with_too_many_objects_is_refused(tmp_path: Path) -> None:
    bucket = FakeModelBucket({f"{number}.pt": b"" for number in range(4)})

    with pytest.raises(FatalError, match="more than 3 objects"):
        await copied(bucket, tmp_path, max_files=3)


async def test_a_folder_that_cannot_be_made_is_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "file").touch()

    with pytest.raises(FatalError, match="file/models cannot be used: Not a directory"):
        await copied(FakeModelBucket(), tmp_path / "file" / "models")


async def test_the_process_copies_and_ends_with_0(
    filled: S3ModelBucket, aws: str, tmp_path: Path
) -> None:
    variables = {
        **CREDENTIALS,
        "AWS_ENDPOINT_URL": aws,
        "MODEL_SYNC_MODEL_BUCKET": filled.bucket,
        "MODEL_SYNC_COPY_TO": str(tmp_path / "models"),
        "MODEL_SYNC_COPY_KEYS": '["*.txt", "Lora/*"]',
    }

    ended = run_module("model_sync.main", variables=variables)

    assert ended.returncode == 0, ended.stderr
    assert set(files(tmp_path / "models")) == {"Lora/in/ä folder.pt", "readme.txt"}
    assert '"files": 2' in ended.stderr
