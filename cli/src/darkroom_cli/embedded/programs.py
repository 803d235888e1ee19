"""What runs in the embedded mode, and how each process is told where the others are."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from decimal import Decimal
from pathlib import Path

import httpx

from contracts.kinds import RuntimeType
from contracts.runtimes import Runtime
from darkroom_cli.embedded.folder import Folder
from darkroom_cli.embedded.processes import Program, Unready
from darkroom_cli.runtimes.environment import own_variables
from darkroom_cli.runtimes.served import Served
from provisioning import emulator
from provisioning.resources import Resources
from servicekit.listen import address, free_port

STACK = "darkroom"  # begins the names of what is made at AWS
HOST = "127.0.0.1"
MACHINE = "local"  # the type of node of a task that was done here
SILENT = "does not answer"
LOOPBACK = ("127.0.0.0/8", "::1/128")
SERVER_RESTARTS = 5
SERVER_SETTLED_SECONDS = 300  # one that can't start may load for minutes before it says so

HEALTH_ROUTES = {
    RuntimeType.SDWEBUI: "/sdapi/v1/memory",
    RuntimeType.COMFYUI: "/system_stats",
    RuntimeType.INVOKEAI: "/api/v1/app/version",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Attached:
    """A runtime of the stack and where it listens."""

    runtime: Runtime
    url: str
    served: Served | None = None  # started by the stack, with the models of its bucket


def emulated_aws(port: int, folder: Folder) -> Program:
    """The emulator."""
    url = f"http://{HOST}:{port}"

    async def unready() -> str | None:
        return None if await asyncio.to_thread(emulator.answers, url) else SILENT

    return Program(
        name="aws",
        module="ministack",
        environment=emulator.environment(port, folder.aws),
        log=folder.log("aws"),
        unready=unready,
    )


def sample_runtime(attached: Attached, folder: Folder, given: tuple[str, ...]) -> Program:
    """A stand-in runtime; `given` are its arguments besides its type and address."""
    port = attached.url.rsplit(":", 1)[1]
    return Program(
        name=attached.runtime.name,
        module="sample_runtime.main",
        arguments=("--type", attached.runtime.type, "--port", port, *given),
        log=folder.log(attached.runtime.name),
        unready=answering(attached.url + HEALTH_ROUTES[attached.runtime.type]),
    )


def served_runtime(attached: Attached, served: Served, folder: Folder, models: Path) -> Program:
    """An installed server, whose folders and files are made now.

    It counts as ready at once: it loads for long, and its agent says while it does.
    """
    name, port = attached.runtime.name, int(attached.url.rsplit(":", 1)[1])
    launch = served.launched(port=port, models=models, files=folder.written_by(name))

    async def ready() -> None:
        return None

    return Program(
        name=name,
        command=launch.command,
        directory=launch.folder,
        environment={**own_variables(), **launch.environment},
        log=folder.log(name),
        unready=ready,
        restarts=SERVER_RESTARTS,
        settled_seconds=SERVER_SETTLED_SECONDS,
        swept=launch.swept,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Addresses:
    """The ports of the services that others call."""

    host: str  # of the REST API and the public gRPC
    rest: int
    grpc: int
    router: int
    notifier: int
    model_sync: int
    agents: Mapping[str, int]  # runtime -> port; for its readiness


def services(
    addresses: Addresses,
    attached: tuple[Attached, ...],
    resources: Resources,
    folder: Folder,
    aws: Mapping[str, str],
    *,
    private_hosts: tuple[str, ...] = (),
    gpu_price: Decimal | None = None,
) -> list[Program]:
    """The five services, with a queue agent for each runtime; the edge comes last.

    `private_hosts` are networks where inputs and webhooks may be though they are not public,
    and `gpu_price` is what an hour of this machine costs in USD.
    """

    def service(
        name: str, module: str, ops_port: int, /, ops_host: str = HOST, **settings: object
    ) -> Program:
        prefix = module.split(".", 1)[0].upper()
        own = {f"{prefix}_{key.upper()}": str(value) for key, value in settings.items()}
        return Program(
            name=name,
            module=module,
            environment={**aws, f"{prefix}_OPS_PORT": str(ops_port), **own},
            log=folder.log(name),
            unready=answering(f"http://{address(ops_host, ops_port)}/readyz"),
        )

    free = free_port
    model_sync = service(
        "model-sync",
        "model_sync.main",
        free(),
        grpc_port=addresses.model_sync,
        model_bucket=resources.model_bucket,
        refresh_interval="PT5S",
    )
    notifier = service(
        "notifier",
        "notifier.main",
        free(),
        grpc_port=addresses.notifier,
        result_topic_arn=resources.result_topic_arn,
        table=resources.table,
        dead_letter_queues=json.dumps(list(resources.dead_letter_queues.values())),
        queue_prefix=STACK,
        output_bucket=resources.output_bucket,
        webhook_queue_url=resources.webhook_queue,
        webhook_dead_letter_url=resources.webhook_dead_letter_queue,
        webhook_private_hosts=json.dumps(private_hosts),
        webhook_receive_wait="PT1S",  # a stop waits out the poll
    )
    router = service(
        "router",
        "router.main",
        free(),
        grpc_port=addresses.router,
        runtimes_file=folder.runtimes_file,
        task_topic_arn=resources.task_topic_arn,
        table=resources.table,
        output_bucket=resources.output_bucket,
        claim_bucket=resources.claim_bucket,
        queue_prefix=STACK,
        model_sync_target=f"{HOST}:{addresses.model_sync}",
        notifier_target=f"{HOST}:{addresses.notifier}",
    )

    def agent(each: Attached) -> Program:
        program = service(
            f"queue-agent-{each.runtime.name}",
            "queue_agent.main",
            addresses.agents[each.runtime.name],
            queue_url=resources.queues[each.runtime.name],
            output_bucket=resources.output_bucket,
            claim_bucket=resources.claim_bucket,
            input_buckets=json.dumps([resources.output_bucket]),
            input_private_hosts=json.dumps(private_hosts),
            runtime_name=each.runtime.name,
            runtime_type=each.runtime.type,
            runtime_url=each.url,
            model_filename=each.runtime.model_filename or "",
            dynamic_model=each.runtime.dynamic_model,
            invokeai_models_folder=models if each.served else "",
            notifier_target=f"{HOST}:{addresses.notifier}",
            node_type=MACHINE,
            node_prices=json.dumps(prices),
            receive_wait="PT1S",  # a stop waits out the poll
            drain="PT5S",
        )
        ready = program.unready
        waits = f"runtime {each.runtime.name} at {each.url}"
        return replace(program, unready=_started(ready), waits_for=waits, waits=ready)

    models = folder.objects(resources.model_bucket)
    prices = {} if gpu_price is None else {MACHINE: {"on-demand": str(gpu_price)}}
    agents = [agent(each) for each in attached]
    ingest = service(
        "ingest",
        "ingest.main",
        addresses.rest,
        ops_host=addresses.host,
        host=addresses.host,
        http_port=addresses.rest,
        grpc_port=addresses.grpc,
        api_keys_file=folder.api_keys_file,
        router_target=f"{HOST}:{addresses.router}",
        model_sync_target=f"{HOST}:{addresses.model_sync}",
        notifier_target=f"{HOST}:{addresses.notifier}",
    )
    return [model_sync, notifier, router, *agents, ingest]


def console(port: int, endpoint: str, folder: Folder) -> Program:
    """The pages that show the stack."""
    return Program(
        name="console",
        module="darkroom_console.main",
        environment={
            "CONSOLE_ENDPOINT": endpoint,
            "CONSOLE_API_KEY_FILE": str(folder.api_key_file),
            "CONSOLE_PORT": str(port),
        },
        log=folder.log("console"),
        unready=answering(f"http://{HOST}:{port}/healthz"),
    )


def answering(url: str) -> Unready:
    """A check that says why `url` does not answer with success; None if it does."""

    async def unready() -> str | None:
        try:
            async with httpx.AsyncClient(trust_env=False, timeout=2) as client:
                answer = await client.get(url)
        except httpx.HTTPError:
            return SILENT
        return None if answer.is_success else _reason(answer)

    return unready


def _started(unready: Unready) -> Unready:
    """A check that an agent is up, even if it has to wait for its runtime."""

    async def starting() -> str | None:
        reason = await unready()
        return reason if reason in (SILENT, "starting") else None

    return starting


def _reason(answer: httpx.Response) -> str:
    """What a service says in its `/readyz`, or the status of anything else."""
    try:
        return str(answer.json()["reason"])
    except (ValueError, KeyError, TypeError):
        return f"answers {answer.status_code}"
