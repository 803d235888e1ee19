"""A router with fakes behind it, and what it is asked."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import TYPE_CHECKING, Any

import pytest
from router_fakes import RUNTIMES, FakeFiles, World

from contracts.ids import new_uid
from darkroom.router.v1 import router_pb2, router_pb2_grpc
from router.rpc import RouterService
from servicekit.health import Health
from servicekit.listen import HOST, free_port
from servicekit.rpc import channel, serving

if TYPE_CHECKING:
    from darkroom.router.v1.router_pb2_grpc import RouterServiceAsyncStub


@pytest.fixture
async def stub(world: World) -> AsyncIterator[RouterServiceAsyncStub]:
    """A client of a router that has fakes behind it."""
    service = RouterService(
        submit=world.once,
        look_up=world.look_up,
        read_request=world.read_request,
        cancel=world.cancel,
        link_files=world.link_files,
        read_file=world.read_file,
        files=FakeFiles(),
        usage=world.ledger,
        runtimes=RUNTIMES,
    )
    address = f"{HOST}:{free_port()}"
    async with (
        serving(
            address,
            Health(),
            (),
            lambda server: router_pb2_grpc.add_RouterServiceServicer_to_server(service, server),
        ),
        channel(address) as opened,
    ):
        yield router_pb2_grpc.RouterServiceStub(opened)


def request(**changes: Any) -> router_pb2.SubmitTaskRequest:
    """A submission as ingest hands it on."""
    wanted = router_pb2.SubmitTaskRequest(
        uid=new_uid(),
        id="test-t2i",
        runtime="fixed",
        tasktype="text-to-image",
        prefix="output",
        context_json='{"abc": 123}',
        content_json=b'{"prompt": "a dog"}',
        tenant="studio",
        key="bot",
    )
    wanted.MergeFrom(router_pb2.SubmitTaskRequest(**changes))
    return wanted
