from __future__ import annotations

import asyncio

import pytest
from model_sync_fakes import safetensors

from awsio import clients
from darkroom.modelsync.v1 import modelsync_pb2, modelsync_pb2_grpc
from provisioning.emulator import CREDENTIALS
from servicekit.errors import RejectedError
from servicekit.listen import HOST, free_port
from servicekit.rpc import channel, translated
from testkit.processes import run_module, running, terminate

MODULE = "model_sync.main"


@pytest.fixture
def variables(aws: str, s3_bucket: str) -> dict[str, str]:
    """An environment that is complete."""
    return {
        **CREDENTIALS,
        "AWS_ENDPOINT_URL": aws,
        "MODEL_SYNC_MODEL_BUCKET": s3_bucket,
        "MODEL_SYNC_GRPC_PORT": str(free_port()),
        "MODEL_SYNC_OPS_PORT": str(free_port()),
    }


async def test_the_process_is_ready_when_it_knows_the_models_and_ends_with_0(
    variables: dict[str, str], s3_bucket: str
) -> None:
    async with clients.s3() as s3:
        await s3.put_object(Bucket=s3_bucket, Key="Lora/a.safetensors", Body=safetensors())
    address = f"{HOST}:{variables['MODEL_SYNC_GRPC_PORT']}"
    async with (
        running(MODULE, address, variables=variables) as process,
        channel(address) as opened,
    ):
        stub = modelsync_pb2_grpc.ModelServiceStub(opened)
        listed = await stub.ListModels(modelsync_pb2.ListModelsRequest(), timeout=60)
        with (
            pytest.raises(RejectedError, match=r"there are: a\.safetensors$"),
            translated(""),
        ):
            await stub.GetModel(modelsync_pb2.GetModelRequest(kind="Lora"), timeout=60)
        assert await asyncio.to_thread(terminate, process) == 0
    assert [(model.name, model.valid) for model in listed.models] == [("a.safetensors", True)]


def test_a_bucket_that_does_not_exist_ends_the_process_with_1_and_one_sentence(
    variables: dict[str, str],
) -> None:
    variables["MODEL_SYNC_MODEL_BUCKET"] += "-none"
    ended = run_module(MODULE, variables=variables)
    assert ended.returncode == 1
    sentence = ended.stderr.splitlines()[-1]
    assert sentence == "model-sync: AWS refused s3.list_objects: NoSuchBucket"


def test_check_names_the_variable_that_is_missing(variables: dict[str, str]) -> None:
    del variables["MODEL_SYNC_MODEL_BUCKET"]
    ended = run_module(MODULE, "--check", variables=variables)
    assert ended.returncode == 2
    assert ended.stderr.endswith("wrong settings: MODEL_SYNC_MODEL_BUCKET: is not set\n")
