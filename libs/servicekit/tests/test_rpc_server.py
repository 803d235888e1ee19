from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc
from servicekit_fakes import ASK, SERVICE, FakeModelService, called, served

from darkroom.modelsync.v1 import modelsync_pb2, modelsync_pb2_grpc
from servicekit.errors import FatalError
from servicekit.health import Health
from servicekit.listen import free_port
from servicekit.rpc import Renewal, channel

if TYPE_CHECKING:
    from darkroom.modelsync.v1.modelsync_pb2_grpc import ModelServiceAsyncStub

SERVING = health_pb2.HealthCheckResponse.SERVING
NOT_SERVING = health_pb2.HealthCheckResponse.NOT_SERVING

# Their stubs have no types for an asynchronous channel.
health_stub: Any = health_pb2_grpc.HealthStub
reflection_stub: Any = reflection_pb2_grpc.ServerReflectionStub


async def test_a_port_in_use_is_fatal_in_one_sentence(
    service: FakeModelService, port: int
) -> None:
    async with served(service, port):
        with pytest.raises(FatalError) as caught:
            async with served(FakeModelService(), port):
                pass
    assert str(caught.value) == f"cannot listen on 127.0.0.1:{port}: the address is in use"


async def test_health_over_grpc_follows_the_process(
    service: FakeModelService, port: int
) -> None:
    health = Health()
    request = health_pb2.HealthCheckRequest()
    async with served(service, port, health), called(port) as (_, opened):
        stub = health_stub(opened)
        seen = [(await stub.Check(request, timeout=60)).status]
        await health.ready()
        seen.append((await stub.Check(request, timeout=60)).status)
        await health.not_ready("stopping")
        seen.append((await stub.Check(request, timeout=60)).status)
    assert seen == [NOT_SERVING, SERVING, NOT_SERVING]


async def test_a_process_that_was_ready_before_it_served_stays_ready(
    service: FakeModelService, port: int
) -> None:
    health = Health()
    await health.ready()
    async with served(service, port, health), called(port) as (_, opened):
        stub = health_stub(opened)
        answer = await stub.Check(health_pb2.HealthCheckRequest(), timeout=60)
    assert answer.status == SERVING


async def test_a_watcher_of_health_hears_of_each_change(
    service: FakeModelService, port: int
) -> None:
    health = Health()
    async with served(service, port, health), called(port) as (_, opened):
        watch = health_stub(opened).Watch(health_pb2.HealthCheckRequest(), timeout=60)
        seen = []
        async for answer in watch:
            seen.append(answer.status)
            if len(seen) == 2:
                break
            await health.ready()
        watch.cancel()
    assert seen == [NOT_SERVING, SERVING]


async def test_reflection_lists_our_services_and_their_files(
    service: FakeModelService, port: int
) -> None:
    requests = (
        reflection_pb2.ServerReflectionRequest(list_services=""),
        reflection_pb2.ServerReflectionRequest(file_containing_symbol=SERVICE),
    )
    async with served(service, port), called(port) as (_, opened):
        stub = reflection_stub(opened)
        listed, described = [
            answer async for answer in stub.ServerReflectionInfo(iter(requests), timeout=60)
        ]
    names = {found.name for found in listed.list_services_response.service}
    assert names == {
        SERVICE,
        "grpc.health.v1.Health",
        "grpc.reflection.v1alpha.ServerReflection",
    }
    assert described.file_descriptor_response.file_descriptor_proto


async def test_a_call_in_flight_is_answered_when_the_server_stops(port: int) -> None:
    begun, go_on = asyncio.Event(), asyncio.Event()

    class Slow(FakeModelService):
        async def GetModel(  # noqa: N802  # gRPC names its methods
            self, request: modelsync_pb2.GetModelRequest, context: Any
        ) -> modelsync_pb2.GetModelResponse:
            begun.set()
            await go_on.wait()
            return await super().GetModel(request, context)

    async with called(port) as (stub, _):
        async with served(Slow(), port):
            call = asyncio.ensure_future(stub.GetModel(ASK, timeout=60))
            await begun.wait()
            asyncio.get_running_loop().call_soon(go_on.set)
        assert (await call).model.name == "x"


async def test_a_server_that_has_stopped_frees_its_port(service: FakeModelService) -> None:
    port = free_port()
    for _ in range(2):
        async with served(service, port), called(port) as (stub, _channel):
            await stub.GetModel(ASK, timeout=60)
    assert service.calls == 2


async def test_a_method_that_does_not_exist_is_unimplemented(
    service: FakeModelService, port: int
) -> None:
    async with served(service, port), called(port) as (_, opened):
        unknown: Any = opened.unary_unary(f"/{SERVICE}/Nothing")
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await unknown(b"", timeout=60)
    assert caught.value.code() == grpc.StatusCode.UNIMPLEMENTED


async def test_a_call_in_flight_outlives_the_renewal_of_its_connection(port: int) -> None:
    begun, go_on = asyncio.Event(), asyncio.Event()
    connections: list[str] = []

    class Slow(FakeModelService):
        async def GetModel(  # noqa: N802  # gRPC names its methods
            self, request: modelsync_pb2.GetModelRequest, context: Any
        ) -> modelsync_pb2.GetModelResponse:
            connections.append(context.peer())
            if request.name == "slow":
                begun.set()
                await go_on.wait()
            return await super().GetModel(request, context)

    renewal = Renewal(after=timedelta(seconds=0.2), grace=timedelta(seconds=30))
    async with served(Slow(), port, renewal=renewal), called(port) as (stub, _):
        slow = modelsync_pb2.GetModelRequest(kind="Lora", name="slow")
        call = asyncio.ensure_future(stub.GetModel(slow, timeout=60))
        await begun.wait()
        async with asyncio.timeout(60):
            # Each of these is answered, also those on the way while the connection ends.
            while len(set(connections)) < 4:
                await stub.GetModel(ASK, timeout=60)
        go_on.set()
        assert (await call).model.name == "slow"


async def test_calls_go_to_every_server_of_a_name() -> None:
    one, two = FakeModelService(), FakeModelService()
    ports = free_port(), free_port()
    both = ",".join(f"127.0.0.1:{port}" for port in ports)
    async with (
        served(one, ports[0]),
        served(two, ports[1]),
        channel(f"ipv4:{both}") as opened,
        asyncio.timeout(60),
    ):
        stub: ModelServiceAsyncStub = modelsync_pb2_grpc.ModelServiceStub(opened)
        while not (one.calls and two.calls):  # the second connection may be later
            await stub.GetModel(ASK, timeout=60)
        before = one.calls, two.calls
        for _ in range(20):
            await stub.GetModel(ASK, timeout=60)

    assert (one.calls - before[0], two.calls - before[1]) == (10, 10)
