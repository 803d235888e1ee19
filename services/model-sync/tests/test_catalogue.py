from __future__ import annotations

import asyncio
import struct
from datetime import timedelta

import pytest
from model_sync_fakes import FakeModelBucket, safetensors

from model_sync.catalogue import Catalogue
from servicekit.errors import RejectedError, TransientError

SD = "Stable-diffusion"
LATER = "model_sync.catalogue.LOOK_AGAIN"


async def test_the_catalogue_is_sorted_and_tells_what_is_wrong_with_each_file(
    bucket: FakeModelBucket, catalogue: Catalogue
) -> None:
    whole = safetensors()
    bucket.objects = {
        f"{SD}/good.safetensors": whole,
        f"{SD}/cut.safetensors": whole[:-1],
        f"{SD}/empty.ckpt": b"",
        "Lora/old.ckpt": b"pickle",
        "Lora/readme.md": b"# no model",
    }
    await catalogue.refresh()
    assert [(m.kind, m.name, m.problem is None) for m in catalogue.models] == [
        ("Lora", "old.ckpt", True),
        (SD, "cut.safetensors", False),
        (SD, "empty.ckpt", False),
        (SD, "good.safetensors", True),
    ]
    assert catalogue.models[1].problem is not None
    assert catalogue.models[1].problem.startswith(f"it has {len(whole) - 1} bytes")
    assert catalogue.models[2].problem == "it is empty"
    assert catalogue.models[3].size_bytes == len(whole)


async def test_gguf_files_are_models_whose_head_is_looked_at(
    bucket: FakeModelBucket, catalogue: Catalogue
) -> None:
    head = b"GGUF" + struct.pack("<IQQ", 3, 2, 5)
    bucket.objects = {
        f"{SD}/cut.gguf": head[:9],
        f"{SD}/flux.gguf": head + bytes(100),
        f"{SD}/page.gguf": b"<html>" + bytes(30),
    }

    await catalogue.refresh()

    assert [(m.name, m.format, m.problem) for m in catalogue.models] == [
        ("cut.gguf", "gguf", "it is cut off within its header"),
        ("flux.gguf", "gguf", None),
        ("page.gguf", "gguf", "it is not a GGUF file"),
    ]
    assert (await catalogue.find(SD, "flux")).name == "flux.gguf"


async def test_only_changed_files_are_read_again(
    bucket: FakeModelBucket, catalogue: Catalogue
) -> None:
    bucket.objects = {f"{SD}/{n}.safetensors": safetensors() for n in "ab"}
    await catalogue.refresh()
    bucket.reads.clear()

    await catalogue.refresh()
    assert bucket.reads == []

    bucket.objects[f"{SD}/b.safetensors"] = safetensors(tensor_bytes=9)
    await catalogue.refresh()
    assert set(bucket.reads) == {f"{SD}/b.safetensors"}


async def test_a_removed_model_is_forgotten(
    bucket: FakeModelBucket, catalogue: Catalogue
) -> None:
    bucket.objects = {f"{SD}/a.ckpt": b"x"}
    await catalogue.refresh()
    bucket.objects = {}
    await catalogue.refresh()
    assert catalogue.models == ()


async def test_a_catalogue_that_is_full_takes_no_more(bucket: FakeModelBucket) -> None:
    bucket.objects = {f"{SD}/{n}.ckpt": b"x" for n in "abc"}
    catalogue = Catalogue(bucket, max_models=2)
    await catalogue.refresh()
    assert [model.name for model in catalogue.models] == ["a.ckpt", "b.ckpt"]


async def test_a_failed_look_is_transient_and_keeps_the_old_catalogue(
    bucket: FakeModelBucket, catalogue: Catalogue
) -> None:
    bucket.objects = {f"{SD}/a.ckpt": b"x"}
    await catalogue.refresh()
    before, bucket.fails = catalogue.models, 1
    with pytest.raises(TransientError):
        await catalogue.refresh()
    assert catalogue.models == before


@pytest.mark.parametrize("name", ["v1.ckpt", "v1", "v1.ckpt [6ce0161689]", "sd/v1"])
async def test_a_model_is_found_by_any_of_its_names_without_another_look(
    bucket: FakeModelBucket, catalogue: Catalogue, name: str
) -> None:
    bucket.objects = {f"{SD}/sd/v1.ckpt": b"x"}
    await catalogue.refresh()
    assert (await catalogue.find(SD, name)).name == "sd/v1.ckpt"
    assert bucket.looks == 1


@pytest.mark.parametrize("name", ["foo.safetensors", "foo", "foo.safetensors [bbbbbbbbbb]"])
async def test_the_exact_name_counts_before_one_in_a_folder(
    bucket: FakeModelBucket, catalogue: Catalogue, name: str
) -> None:
    """B1: `bar/foo` is listed first, and has the same base name."""
    bucket.objects = {
        f"{SD}/bar/foo.safetensors": safetensors()[:-1],
        f"{SD}/foo.safetensors": safetensors(),
    }
    found = await catalogue.find(SD, name)
    assert (found.name, found.problem) == ("foo.safetensors", None)


async def test_a_name_that_means_two_alike_is_refused_with_both(
    bucket: FakeModelBucket, catalogue: Catalogue, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(LATER, timedelta())
    bucket.objects = {f"{SD}/a/foo.ckpt": b"x", f"{SD}/b/foo.ckpt": b"x"}
    with pytest.raises(RejectedError, match=r"any of a/foo\.ckpt, b/foo\.ckpt") as caught:
        await catalogue.find(SD, "foo.ckpt")
    assert caught.value.code == "model_ambiguous"
    assert (await catalogue.find(SD, "b/foo")).name == "b/foo.ckpt"
    del bucket.objects[f"{SD}/a/foo.ckpt"]
    assert (await catalogue.find(SD, "foo.ckpt")).name == "b/foo.ckpt"


async def test_of_two_alike_a_hash_lets_the_runtime_choose(
    bucket: FakeModelBucket, catalogue: Catalogue
) -> None:
    bucket.objects = {f"{SD}/a/foo.ckpt": b"", f"{SD}/b/foo.ckpt": b"x"}
    assert (await catalogue.find(SD, "foo.ckpt [6ce0161689]")).problem is None


async def test_a_model_of_another_kind_is_not_meant(
    bucket: FakeModelBucket, catalogue: Catalogue
) -> None:
    bucket.objects = {"Lora/v1.ckpt": b"x"}
    with pytest.raises(RejectedError):
        await catalogue.find(SD, "v1.ckpt")


async def test_a_model_is_found_once_it_is_uploaded(
    bucket: FakeModelBucket, catalogue: Catalogue, monkeypatch: pytest.MonkeyPatch
) -> None:
    await catalogue.refresh()
    bucket.objects = {f"{SD}/new.ckpt": b"x"}
    monkeypatch.setattr(LATER, timedelta())
    assert (await catalogue.find(SD, "new")).name == "new.ckpt"


async def test_a_client_that_asks_for_nonsense_costs_one_look_in_a_while(
    bucket: FakeModelBucket, catalogue: Catalogue, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(LATER, timedelta(hours=1))
    bucket.objects = {f"{SD}/a.ckpt": b"x", f"{SD}/b.ckpt": b"x", "Lora/c.pt": b"x"}

    async def refused() -> str:
        with pytest.raises(RejectedError) as caught:
            await catalogue.find(SD, "nonsense")
        assert caught.value.code == "model_not_found"
        return str(caught.value)

    async with asyncio.TaskGroup() as group:
        calls = [group.create_task(refused(), name=f"find-{n}") for n in range(20)]

    assert {call.result() for call in calls} == {
        f"there is no {SD} model 'nonsense'; there are: a.ckpt, b.ckpt"
    }
    assert bucket.looks == 1


async def test_a_bucket_that_is_down_is_transient_for_who_asks_for_an_unknown_model(
    bucket: FakeModelBucket, catalogue: Catalogue
) -> None:
    bucket.fails = 1
    with pytest.raises(TransientError):
        await catalogue.find(SD, "x")
