"""Builds model-sync from its parts and runs it. The only module that knows them all."""

from __future__ import annotations

import asyncio
import dataclasses
import logging
from contextlib import AsyncExitStack
from pathlib import Path

from awsio import clients
from darkroom.modelsync.v1 import modelsync_pb2, modelsync_pb2_grpc
from model_sync.adapters.downloads import S3ModelDownloads
from model_sync.adapters.s3 import S3ModelBucket, S3UploadBucket
from model_sync.catalogue import Catalogue
from model_sync.copying import copy_models
from model_sync.refresh import keep_fresh
from model_sync.rpc import ModelService
from model_sync.settings import Settings
from model_sync.upload import PrepareUpload
from servicekit.errors import FatalError, TransientError
from servicekit.health import Health
from servicekit.lifecycle import stop_on_signals
from servicekit.rpc import Renewal, serving
from servicekit.service import run_service
from servicekit.web import http_serving, ops_app

log = logging.getLogger(__name__)


async def run(settings: Settings) -> None:
    """Serve, or copy the bucket if the settings say where to."""
    if settings.copy_to is None:
        await serve(settings)
    else:
        await copy(settings, settings.copy_to)


async def copy(settings: Settings, folder: Path) -> None:
    """Copy the bucket; raises `FatalError`, and goes on where it was when it is run again."""
    async with clients.s3() as s3:
        try:
            copied = await copy_models(
                S3ModelBucket(client=s3, bucket=settings.model_bucket),
                S3ModelDownloads(settings.model_bucket, parallel=settings.copy_parallel),
                folder,
                keys=settings.copy_keys,
                max_files=settings.max_models,
            )
        except TransientError as error:
            raise FatalError(str(error), **error.details) from error
    log.info("models are copied", extra=dataclasses.asdict(copied))


async def serve(settings: Settings) -> None:
    """Run until told to stop. What is opened last is closed first."""
    async with AsyncExitStack() as stack:
        stop = stack.enter_context(stop_on_signals())
        s3 = await stack.enter_async_context(clients.s3())
        catalogue = Catalogue(
            S3ModelBucket(client=s3, bucket=settings.model_bucket),
            max_models=settings.max_models,
        )
        signing = await stack.enter_async_context(clients.s3(signs_links=True))
        uploads = S3UploadBucket(client=signing, bucket=settings.model_bucket)
        service = ModelService(catalogue, PrepareUpload(bucket=uploads))
        health = Health()
        await stack.enter_async_context(
            http_serving(ops_app(health), settings.host, settings.ops_port)
        )
        await stack.enter_async_context(
            serving(
                f"{settings.host}:{settings.grpc_port}",
                health,
                (modelsync_pb2.DESCRIPTOR.services_by_name["ModelService"].full_name,),
                lambda server: modelsync_pb2_grpc.add_ModelServiceServicer_to_server(
                    service, server
                ),
                renewal=Renewal(settings.grpc_connection_age, settings.grpc_connection_grace),
            )
        )
        async with asyncio.TaskGroup() as group:
            looking = keep_fresh(catalogue, health, settings.refresh_interval)
            look = group.create_task(looking, name="catalogue")
            await stop.wait()
            look.cancel()
        await health.not_ready("stopping")


def main() -> None:
    """Run model-sync as a process."""
    run_service("model-sync", Settings, run, "Keeps the catalogue of the model bucket.")


if __name__ == "__main__":
    main()
