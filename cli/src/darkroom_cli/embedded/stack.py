"""The whole of Darkroom on one machine: an AWS, the five services and their runtimes."""

from __future__ import annotations

import asyncio
import errno
import os
import socket
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from decimal import Decimal
from typing import Final

from contracts.kinds import RuntimeType
from contracts.runtimes import Runtime
from darkroom_cli.embedded import programs
from darkroom_cli.embedded.folder import Folder, Running
from darkroom_cli.embedded.models import remove_sample, seed_models
from darkroom_cli.embedded.processes import Announce, Processes, Program
from darkroom_cli.embedded.programs import HOST, STACK, Addresses, Attached
from darkroom_cli.errors import CommandError
from darkroom_cli.interruption import unless
from darkroom_cli.requests import SAMPLE_CHECKPOINT
from darkroom_cli.runtimes.installed import held
from darkroom_cli.runtimes.server import Device
from provisioning import emulator
from provisioning.resources import Resources, provision
from servicekit.errors import AppError
from servicekit.listen import address, free_port

PROVISION_SECONDS: Final = 60
REGION: Final = "us-east-1"


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """How a stack is to run."""

    folder: Folder
    host: str = HOST
    port: int = 0  # 0: any free one
    grpc_port: int = 0  # the same
    attached: tuple[Attached, ...] = ()  # empty: the sample runtimes
    aws_endpoint_url: str | None = None  # None: an emulator of our own
    seconds_per_image: float = 1.0  # of the sample runtimes
    allow_loopback_inputs: bool = False  # inputs and webhooks may be on servers of this machine
    gpu_price: Decimal | None = None  # of this machine, an hour in USD; None: unknown
    console_port: int | None = None  # 0: any free one, as when it is taken; None: no pages


@asynccontextmanager
async def stack(
    options: Options, announce: Announce, stop: asyncio.Event | None = None
) -> AsyncIterator[Running]:
    """Run a stack for the length of the block; `announce` hears of every step and restart.

    Raises `CommandError` when something cannot start, or when `stop` is set meanwhile; then
    everything is stopped again.
    """
    async with AsyncExitStack() as exits:
        lock = exits.enter_context(options.folder.locked())
        for each in options.attached:
            if each.served:
                exits.enter_context(held(each.served.place, shared=True))
        check_address(options.host, options.port)
        check_address(options.host, options.grpc_port, "--grpc-port")
        processes = Processes(announce, lock, options.folder.write_processes)
        exits.push_async_callback(processes.stop)
        start = _start(options, processes, announce)
        started, running = await (unless(stop, start) if stop else start)
        options.folder.write_running(running)
        async with asyncio.TaskGroup() as group:
            watch = group.create_task(processes.watch(*started), name="watch")
            try:
                yield running
            finally:
                watch.cancel()
                announce("stopping")


async def _start(
    options: Options, processes: Processes, announce: Announce
) -> tuple[list[Program], Running]:
    """Start everything, and give what was started and how to use it."""
    started: list[Program] = []
    aws = await _open_aws(options, processes, started, announce)
    attached = options.attached or sample_runtimes()
    resources = await _provision(attached, aws, announce)
    folder, api_key = options.folder, options.folder.api_key()
    folder.write_runtimes(tuple(each.runtime for each in attached))

    addresses = Addresses(
        host=options.host,
        rest=options.port or free_port(),
        grpc=options.grpc_port or free_port(),
        router=free_port(),
        notifier=free_port(),
        model_sync=free_port(),
        agents={each.runtime.name: free_port() for each in attached},
    )
    parts = programs.services(
        addresses,
        attached,
        resources,
        folder,
        aws,
        private_hosts=programs.LOOPBACK if options.allow_loopback_inputs else (),
        gpu_price=options.gpu_price,
    )
    if not options.attached:
        given = _sample_arguments(options, resources)
        parts = [programs.sample_runtime(one, folder, given) for one in attached] + parts
    parts = [*_servers(attached, folder, resources, announce), *parts]
    running = _running(addresses, resources, api_key, aws)
    if options.console_port is not None:
        port = port_of_console(options.console_port)
        parts.append(programs.console(port, running.endpoint, folder))
        running.console = f"http://{address(HOST, port)}"
    announce(f"starting {', '.join(part.name for part in parts)}")
    await processes.start(*parts)
    return [*started, *parts], running


def _servers(
    attached: tuple[Attached, ...], folder: Folder, resources: Resources, announce: Announce
) -> list[Program]:
    models, servers = folder.objects(resources.model_bucket), []
    for each in attached:
        if each.served:
            servers.append(programs.served_runtime(each, each.served, folder, models))
            if each.served.device is Device.CPU:
                announce(f"{each.runtime.name} computes on the CPU: an image takes minutes")
    return servers


def _running(
    addresses: Addresses, resources: Resources, api_key: str, aws: Mapping[str, str]
) -> Running:
    return Running(
        endpoint=f"http://{address(addresses.host, addresses.rest)}",
        grpc=address(addresses.host, addresses.grpc),
        api_key=api_key,
        result_topic_arn=resources.result_topic_arn,
        bucket=resources.output_bucket,
        model_bucket=resources.model_bucket,
        claim_bucket=resources.claim_bucket,
        queues=resources.queues,
        readiness={
            name: f"http://{HOST}:{port}/readyz" for name, port in addresses.agents.items()
        },
        aws_endpoint_url=aws.get("AWS_ENDPOINT_URL"),
    )


def sample_runtimes() -> tuple[Attached, ...]:
    """The runtimes of a stack for which none was named."""
    listed = (
        Runtime(name="sdruntime", type=RuntimeType.SDWEBUI, model_filename=SAMPLE_CHECKPOINT),
        Runtime(name="sddynamic", type=RuntimeType.SDWEBUI, dynamic_model=True),
        Runtime(name="comfyruntime", type=RuntimeType.COMFYUI),
    )
    return tuple(
        Attached(runtime=runtime, url=f"http://{HOST}:{free_port()}") for runtime in listed
    )


async def _open_aws(
    options: Options, processes: Processes, started: list[Program], announce: Announce
) -> dict[str, str]:
    """The variables by which every process finds the AWS of this stack."""
    if options.aws_endpoint_url:
        # Somebody else's: their credentials count, the emulator's fill what is not set.
        own = {
            name: os.environ.get(name, value) for name, value in emulator.CREDENTIALS.items()
        }
        aws = {**own, "AWS_ENDPOINT_URL": options.aws_endpoint_url}
    else:
        port = _aws_port(options.folder)
        program = programs.emulated_aws(port, options.folder)
        announce("starting the AWS emulator")
        await processes.start(program)
        started.append(program)
        aws = {**emulator.CREDENTIALS, "AWS_ENDPOINT_URL": f"http://{HOST}:{port}"}
    os.environ.update(aws)  # this process makes the resources and reads the results
    return aws


def _aws_port(folder: Folder) -> int:
    """The emulator's port: the last one, because it knows its queues by their address."""
    port = folder.aws_port() or free_port()
    try:
        check_address(HOST, port)
    except CommandError:
        port = free_port()
    folder.write_aws_port(port)
    return port


def port_of_console(wanted: int) -> int:
    """The port that is wanted, or a free one: nobody must know it beforehand."""
    try:
        check_address(HOST, wanted)
    except CommandError:
        return free_port()
    return wanted or free_port()


async def _provision(
    attached: tuple[Attached, ...], aws: dict[str, str], announce: Announce
) -> Resources:
    announce("making topics, queues, buckets and the ledger")
    try:
        async with asyncio.timeout(PROVISION_SECONDS):
            resources = await provision(
                STACK, (each.runtime for each in attached), region=aws["AWS_REGION"]
            )
            real = any(each.served for each in attached)
            await (remove_sample if real else seed_models)(resources.model_bucket)
    except AppError as error:
        raise CommandError(f"AWS at {aws['AWS_ENDPOINT_URL']}: {error}") from error
    except TimeoutError:
        raise CommandError(
            f"AWS at {aws['AWS_ENDPOINT_URL']} took more than {PROVISION_SECONDS} s"
        ) from None
    return resources


def _sample_arguments(options: Options, resources: Resources) -> tuple[str, ...]:
    arguments: tuple[str, ...] = ("--checkpoint", SAMPLE_CHECKPOINT)
    if not options.aws_endpoint_url:
        # The emulator keeps objects as files: the bucket is the folder, as on a GPU node.
        models = options.folder.objects(resources.model_bucket)
        arguments = ("--models-dir", str(models / "Stable-diffusion"))
    return (*arguments, "--seconds-per-image", str(options.seconds_per_image))


def check_address(host: str, port: int, option: str = "--port") -> None:
    """Raise `CommandError` if nothing can listen there; port 0 stands for any free one."""
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    except OSError as error:
        raise CommandError(f"--host {host}: {error.strerror}") from error
    family, kind, _, _, where = found[0]
    with socket.socket(family, kind) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(where)
        except OSError as error:
            if error.errno == errno.EADDRINUSE:
                raise CommandError(
                    f"port {port} of {host} is in use; choose another with {option}"
                ) from error
            raise CommandError(
                f"cannot listen on {address(host, port)}: {error.strerror}"
            ) from error
