from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from datetime import timedelta

import grpc
import pytest
from google.rpc import error_details_pb2
from grpc_status import rpc_status
from servicekit_fakes import ASK, FakeModelService, called, served

from servicekit.errors import FatalError, FieldError, RejectedError, TransientError
from servicekit.health import Health
from servicekit.listen import HOST
from servicekit.rpc import channel, serving, to_status, translated
from servicekit.status import REFUSALS

SECRET = "postgres://user:password@host"  # noqa: S105  # what an exception may tell


async def test_a_refusal_arrives_with_its_code_its_text_and_its_fields(
    service: FakeModelService, port: int
) -> None:
    fields = (FieldError("task.id", "is missing"), FieldError("task.prefix", "is unsafe"))
    service.error = RejectedError("there is none", code="model_not_found", errors=fields)

    async with served(service, port), called(port) as (stub, _):
        with pytest.raises(RejectedError, match="there is none") as caught, translated("get"):
            await stub.GetModel(ASK, timeout=60)

    assert caught.value.code == "model_not_found"
    assert caught.value.errors == fields
    assert service.calls == 1


async def test_a_transient_failure_arrives_as_one_and_is_not_tried_again_below(
    service: FakeModelService, port: int
) -> None:
    service.error = TransientError(SECRET, retry_after=timedelta(seconds=7))

    async with served(service, port), called(port) as (stub, _):
        with pytest.raises(TransientError) as caught, translated("get"):
            await stub.GetModel(ASK, timeout=60)

    assert caught.value.details == {"action": "get", "status": "UNAVAILABLE"}
    assert isinstance(caught.value.__cause__, grpc.aio.AioRpcError)
    assert SECRET not in str(caught.value.__cause__)
    assert service.calls == 1


async def test_a_failure_among_tasks_of_a_handler_is_told_as_its_own_kind(
    service: FakeModelService, port: int
) -> None:
    inner = ExceptionGroup("beside one another", [TransientError(SECRET)])
    service.error = ExceptionGroup("outer", [inner])

    async with served(service, port), called(port) as (stub, _):
        with pytest.raises(TransientError) as caught, translated("get"):
            await stub.GetModel(ASK, timeout=60)

    assert caught.value.details == {"action": "get", "status": "UNAVAILABLE"}


@pytest.mark.parametrize("error", [KeyError(SECRET), FatalError(SECRET)])
async def test_an_unexpected_failure_is_internal_and_keeps_its_text_to_itself(
    service: FakeModelService, port: int, error: Exception, caplog: pytest.LogCaptureFixture
) -> None:
    service.error = error

    async with served(service, port), called(port) as (stub, _):
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await stub.GetModel(ASK, timeout=60)

    assert caught.value.code() == grpc.StatusCode.INTERNAL
    assert SECRET not in str(caught.value)
    logged = [r for r in caplog.records if r.name == "servicekit.rpc"]
    assert [(r.levelno, r.exc_info and r.exc_info[1]) for r in logged] == [
        (logging.ERROR, error)
    ]


async def test_an_internal_error_of_a_callee_is_transient_for_its_caller(
    service: FakeModelService, port: int
) -> None:
    service.error = KeyError(SECRET)
    async with served(service, port), called(port) as (stub, _):
        with pytest.raises(TransientError), translated("get"):
            await stub.GetModel(ASK, timeout=60)


async def test_an_error_in_the_middle_of_a_stream_arrives_after_what_was_sent(
    port: int,
) -> None:
    async def watch(request: bytes, context: object) -> AsyncIterator[bytes]:
        yield b"first"
        raise RejectedError("no more", code="not_found")

    def register(server: grpc.aio.Server) -> None:
        handler: grpc.RpcMethodHandler[bytes, bytes] = grpc.unary_stream_rpc_method_handler(
            watch
        )
        service = grpc.method_handlers_generic_handler("tests.Changes", {"Watch": handler})
        server.add_generic_rpc_handlers((service,))

    async with (
        serving(f"{HOST}:{port}", Health(), (), register),
        channel(f"{HOST}:{port}") as opened,
    ):
        watching: grpc.aio.UnaryStreamMultiCallable[bytes, bytes]
        watching = opened.unary_stream("/tests.Changes/Watch")
        answers = aiter(watching(b"", timeout=60))
        first = await anext(answers)
        with pytest.raises(RejectedError, match="no more"), translated("watch"):
            await anext(answers)

    assert first == b"first"


async def test_a_server_that_is_down_for_a_moment_is_tried_again(
    service: FakeModelService, port: int
) -> None:
    async with called(port) as (stub, opened):
        call = stub.GetModel(ASK, timeout=60)
        state = opened.get_state()
        async with asyncio.timeout(60):
            while state != grpc.ChannelConnectivity.TRANSIENT_FAILURE:
                await opened.wait_for_state_change(state)
                state = opened.get_state()
        async with served(service, port):
            answer = await call

    assert answer.model.name == "x"
    assert service.calls == 1


async def test_a_server_that_stays_down_is_transient(port: int) -> None:
    async with called(port) as (stub, _):
        with pytest.raises(TransientError, match="call failed"), translated("get"):
            await stub.GetModel(ASK, timeout=60)


async def test_a_caller_learns_when_to_come_back(service: FakeModelService, port: int) -> None:
    service.error = TransientError("down", retry_after=timedelta(seconds=7))
    async with served(service, port), called(port) as (stub, _):
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await stub.GetModel(ASK, timeout=60)
    status = rpc_status.from_call(caught.value)  # type: ignore[arg-type]  # it has what a Call must have
    assert status is not None
    info = error_details_pb2.RetryInfo()
    assert any(detail.Unpack(info) for detail in status.details)
    assert info.retry_delay.seconds == 7


@pytest.mark.parametrize("code", sorted(set(REFUSALS) - {"unavailable", "internal"}))
def test_every_code_of_api_md_has_its_status(code: str) -> None:
    status = to_status(RejectedError("refused", code=code))
    assert status.code == REFUSALS[code].grpc.value[0]
    assert status.message == "refused"
