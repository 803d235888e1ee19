from __future__ import annotations

from collections.abc import AsyncIterator
from typing import TYPE_CHECKING

import pytest
from model_sync_fakes import FakeModelBucket, FakeUploadBucket, safetensors

from darkroom.modelsync.v1 import modelsync_pb2, modelsync_pb2_grpc
from model_sync.catalogue import Catalogue
from model_sync.rpc import ModelService
from model_sync.upload import PrepareUpload
from servicekit.errors import RejectedError, TransientError
from servicekit.health import Health
from servicekit.listen import HOST, free_port
from servicekit.rpc import channel, serving, translated

if TYPE_CHECKING:
    from darkroom.modelsync.v1.modelsync_pb2_grpc import ModelServiceAsyncStub

REFRESH = modelsync_pb2.ListModelsRequest(refresh=True)


@pytest.fixture
async def stub(catalogue: Catalogue) -> AsyncIterator[ModelServiceAsyncStub]:
    """A client of a model-sync that has a fake bucket."""
    service = ModelService(catalogue, PrepareUpload(bucket=FakeUploadBucket()))
    address = f"{HOST}:{free_port()}"
    async with (
        serving(
            address,
            Health(),
            (),
            lambda server: modelsync_pb2_grpc.add_ModelServiceServicer_to_server(
                service, server
            ),
        ),
        channel(address) as opened,
    ):
        yield modelsync_pb2_grpc.ModelServiceStub(opened)


async def test_models_are_listed_as_of_the_last_look_or_of_now(
    stub: ModelServiceAsyncStub, bucket: FakeModelBucket
) -> None:
    bucket.objects = {"Lora/a.safetensors": safetensors(), "VAE/b.pt": b""}
    before = await stub.ListModels(modelsync_pb2.ListModelsRequest(), timeout=60)
    after = await stub.ListModels(REFRESH, timeout=60)
    loras = await stub.ListModels(modelsync_pb2.ListModelsRequest(kind="Lora"), timeout=60)

    assert list(before.models) == []
    assert [model.name for model in after.models] == ["a.safetensors", "b.pt"]
    assert list(loras.models) == [
        modelsync_pb2.Model(
            name="a.safetensors",
            kind="Lora",
            size_bytes=len(safetensors()),
            format="safetensors",
            valid=True,
        )
    ]
    assert (after.models[1].valid, after.models[1].problem) == (False, "it is empty")


async def test_one_model_is_given_by_its_stem(
    stub: ModelServiceAsyncStub, bucket: FakeModelBucket
) -> None:
    bucket.objects = {"Lora/a.safetensors": safetensors()}
    asked = modelsync_pb2.GetModelRequest(kind="Lora", name="a")
    answer = await stub.GetModel(asked, timeout=60)
    assert answer.model.name == "a.safetensors"


async def test_a_model_that_does_not_exist_is_refused_with_what_there_is(
    stub: ModelServiceAsyncStub, bucket: FakeModelBucket
) -> None:
    bucket.objects = {"Lora/a.pt": b"x", "Lora/b.pt": b"x"}
    asked = modelsync_pb2.GetModelRequest(kind="Lora", name="c")
    with pytest.raises(RejectedError) as caught, translated("get"):
        await stub.GetModel(asked, timeout=60)
    assert str(caught.value) == "there is no Lora model 'c'; there are: a.pt, b.pt"
    assert caught.value.code == "model_not_found"


async def test_an_upload_is_prepared(stub: ModelServiceAsyncStub) -> None:
    asked = modelsync_pb2.CreateUploadRequest(name="Lora/a.pt", size_bytes=7)
    answer = await stub.CreateUpload(asked, timeout=60)

    assert answer.url == "https://bucket/Lora/a.pt?bytes=7"
    assert answer.expires_at.seconds > 0
    with pytest.raises(RejectedError) as caught, translated("upload"):
        await stub.CreateUpload(modelsync_pb2.CreateUploadRequest(name="x"), timeout=60)
    assert caught.value.errors[0].field == "bytes"


async def test_a_bucket_that_is_down_is_unavailable_and_asked_once(
    stub: ModelServiceAsyncStub, bucket: FakeModelBucket
) -> None:
    bucket.fails = 10
    with pytest.raises(TransientError), translated("list"):
        await stub.ListModels(REFRESH, timeout=60)
    assert bucket.looks == 1
