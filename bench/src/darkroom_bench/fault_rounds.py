"""Rounds of one fault each, under a steady load, on a stack that is started for them."""

from __future__ import annotations

import asyncio
import os
import random
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from typing import Final

from awsio import clients
from awsio.errors import translated
from contracts.kinds import RuntimeType
from contracts.runtimes import Runtime
from darkroom_bench.fault_catalogue import (
    DISK_FULL,
    KILLER,
    OUT_OF_MEMORY,
    PARKED,
    Fault,
    Site,
    deck,
)
from darkroom_bench.fault_checks import Findings, check
from darkroom_bench.fault_hooks import SETTINGS as HOOK_SETTINGS
from darkroom_bench.fault_hooks import (
    TENANTS,
    Receiver,
    broken_promises,
    due_events,
    receiving,
    still_counted,
    write_keys,
)
from darkroom_bench.fault_load import Box, Client, Handed, client, task
from darkroom_bench.fault_proxy import fault_proxy
from darkroom_bench.fault_queues import Queues
from darkroom_cli.embedded import programs
from darkroom_cli.embedded.folder import Folder
from darkroom_cli.embedded.processes import Announce, Processes
from darkroom_cli.embedded.programs import HOST, STACK, Attached
from darkroom_cli.embedded.stack import Options, stack
from darkroom_cli.requests import SAMPLE_CHECKPOINT
from provisioning import emulator
from provisioning.resources import Resources, provision, subscribe_queue
from servicekit.listen import free_port

IMAGE_SECONDS: Final = 0.05
SPREAD_SECONDS: Final = 1.5  # over which the tasks of a round are handed in
ROUND_SECONDS: Final = 60  # for the callbacks of a round; those that come later count, too
LAST_SECONDS: Final = 120
COPIES: Final = 5  # deliveries that are made again in one round

_ARGUMENTS: Final = (
    "--checkpoint", SAMPLE_CHECKPOINT, "--seconds-per-image", str(IMAGE_SECONDS),
    "--fail-when", OUT_OF_MEMORY, "--die-when", KILLER,
)  # fmt: skip

SETTINGS: Final = {
    "QUEUE_AGENT_LEASE": "PT6S",
    "QUEUE_AGENT_RUNTIME_SILENCE": "PT3S",
    "QUEUE_AGENT_REFUSAL_PAUSE": "PT2S",
    "NOTIFIER_SWEEP_INTERVAL": "PT2S",
    "NOTIFIER_SWEEP_AGE": "PT4S",
    "NOTIFIER_PARKED_INTERVAL": "PT2S",
    "INGEST_RATE_PER_SECOND": "1000",
    "INGEST_BURST": "1000",
}
"""Short times, so that a round is over in seconds; the limits for poison are the usual ones."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What a run is about."""

    faults: list[Fault]
    rounds: int
    seed: int
    tasks: int = 10  # of each round


@dataclass(slots=True, kw_only=True)
class Round:
    """One fault and the tasks around it."""

    fault: str
    struck: float | None
    tasks: list[Handed]
    recovered: float | None = None  # seconds to the last result of what was in flight


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What a run found."""

    rounds: list[Round]
    findings: Findings
    seconds: float

    @property
    def tasks(self) -> list[Handed]:
        """The tasks of all rounds."""
        return [task for each in self.rounds for task in each.tasks]


@dataclass(frozen=True, slots=True, kw_only=True)
class Field:
    """A running stack with all that a round needs."""

    resources: Resources
    site: Site
    clients: Mapping[str, Client]  # by tenant
    callbacks: Box
    receiver: Receiver
    parked: Box  # events that were given up
    announce: Announce


async def run_rounds(plan: Plan, folder: Path, announce: Announce) -> Outcome:
    """Run the rounds and check every accepted task; logs and state are in `folder`.

    Raises `CommandError` when anything does not start or come back, an `AppError` when the
    emulator itself fails. Both may come in an exception group.
    """
    rng, loop = random.Random(plan.seed), asyncio.get_running_loop()  # noqa: S311  # chooses faults
    started, rounds = loop.time(), []
    async with _field(folder, plan, announce) as field:
        for number, fault in enumerate(islice(deck(plan.faults, rng), plan.rounds), 1):
            announce(f"round {number} of {plan.rounds}: {fault.name}")
            rounds.append(await _play(field, fault, number, plan, rng))
        accepted = [one.uid for each in rounds for one in each.tasks if one.uid]
        announce(f"{len(accepted)} tasks accepted; waiting for the last callbacks")
        await field.callbacks.hold(accepted, LAST_SECONDS)
        for each in rounds:
            each.recovered = recovery(each, field.callbacks)
        sound = {one.uid for each in rounds for one in each.tasks if one.uid and one.is_sound}
        findings = await check(accepted, field.callbacks.kept, field.resources.table, sound)
        findings = await _with_tenants(findings, rounds, field)
    return Outcome(rounds=rounds, findings=findings, seconds=loop.time() - started)


async def _with_tenants(findings: Findings, rounds: list[Round], field: Field) -> Findings:
    """The findings with those on webhooks and on what counts as open."""
    tenants = {one.uid: one.tenant for each in rounds for one in each.tasks if one.uid}
    callbacks = {uid: told[0].content for uid, told in field.callbacks.kept.items()}
    due, heard = due_events(tenants, callbacks), field.receiver.kept
    parked = field.parked.kept
    field.announce(f"{len(due)} events of webhooks are due; waiting for the last")
    with suppress(TimeoutError):
        async with asyncio.timeout(LAST_SECONDS):
            while due.keys() - heard.keys() - parked.keys():  # noqa: ASYNC110  # two sources
                await asyncio.sleep(0.5)
    broken = broken_promises(tenants, callbacks, heard, parked)
    counted = await still_counted(field.resources.table, LAST_SECONDS)
    return replace(
        findings,
        violations=[*findings.violations, *field.receiver.forged, *broken, *counted],
        webhooks=f"{len(due)} events of webhooks due: {len(due.keys() & heard.keys())}"
        f" delivered, {len(due.keys() & parked.keys())} in the DLQ;"
        f" {field.receiver.refused} of {field.receiver.requests} requests failed on purpose."
        f" {len(counted)} tasks counted as open at the end.",
    )


def recovery(played: Round, callbacks: Box) -> float | None:
    """The seconds from the fault to the last first callback of what it met in flight."""
    if played.struck is None:
        return None
    ends = [
        callbacks.kept[one.uid][0].moment
        for one in played.tasks
        if one.uid in callbacks.kept and one.posted <= played.struck
    ]
    late = [end - played.struck for end in ends if end > played.struck]
    return max(late, default=None)


async def _play(
    field: Field, fault: Fault, number: int, plan: Plan, rng: random.Random
) -> Round:
    site, loop = field.site, asyncio.get_running_loop()
    site.moment = None
    wrong = _wrong_prompts(fault, plan.tasks)
    large = fault.family == DISK_FULL
    handed: list[Handed] = []
    # The fault's own, so that it does not race with the tasks for numbers.
    own = random.Random(rng.random())  # noqa: S311  # chooses faults

    async def strike(delay: float) -> None:
        await asyncio.sleep(delay)
        await fault.inject(site, own)

    async def hand_in(order: int) -> None:
        prompt = wrong.get(order, "a lighthouse at dusk")
        graph = fault.family == KILLER  # others wait behind it in the queue of the runtime
        body = task(f"fault-{number}-{order}", rng, prompt, large=large, graph=graph)
        await asyncio.sleep(order * SPREAD_SECONDS / plan.tasks)
        tenant = list(TENANTS)[order % len(TENANTS)]
        one = Handed(
            task_id=body["metadata"]["id"],
            tenant=tenant,
            posted=loop.time(),
            is_sound=order not in wrong and fault.family != PARKED,
        )
        handed.append(one)
        await field.clients[tenant].hand_in(body, one)

    async with asyncio.TaskGroup() as group:
        group.create_task(strike(rng.uniform(0.1, SPREAD_SECONDS)), name="strike")
        for order in range(plan.tasks):
            group.create_task(hand_in(order), name=f"task-{order}")
    site.proxy.clear()
    uids = [one.uid for one in handed if one.uid]
    if not await field.callbacks.hold(uids, ROUND_SECONDS):
        field.announce(f"not all callbacks came within {ROUND_SECONDS} s; going on")
    return Round(fault=fault.name, struck=site.moment, tasks=handed)


def _wrong_prompts(fault: Fault, tasks: int) -> dict[int, str]:
    """The prompts of a round that are not to be completed, by the order of their tasks."""
    if fault.family == KILLER:
        return {tasks // 2: KILLER}
    odd = range(1, tasks, 2) if fault.family == OUT_OF_MEMORY else ()
    return dict.fromkeys(odd, OUT_OF_MEMORY)


@asynccontextmanager
async def _field(folder: Path, plan: Plan, announce: Announce) -> AsyncIterator[Field]:
    runtimes = (
        Runtime(name="sdruntime", type=RuntimeType.SDWEBUI, model_filename=SAMPLE_CHECKPOINT),
        Runtime(name="comfyruntime", type=RuntimeType.COMFYUI),
    )
    ports = {runtime.name: free_port() for runtime in runtimes}
    attached = tuple(
        Attached(runtime=one, url=f"http://{HOST}:{ports[one.name]}") for one in runtimes
    )
    base = Folder(folder / "base")
    aws_port, proxy_port = free_port(), free_port()
    url = f"http://{HOST}:{aws_port}"
    async with AsyncExitStack() as exits:
        own = {**SETTINGS, **HOOK_SETTINGS, **emulator.CREDENTIALS, "AWS_ENDPOINT_URL": url}
        exits.enter_context(_environment(own))
        proxy = await exits.enter_async_context(fault_proxy(url, proxy_port))
        processes = Processes(announce, exits.enter_context(base.locked()))
        exits.push_async_callback(processes.stop)
        await processes.start(programs.emulated_aws(aws_port, base))
        break_files = {one.name: folder / f"break-{one.name}" for one in runtimes}
        devices = [
            programs.sample_runtime(
                one, base, (*_ARGUMENTS, "--break-file", str(break_files[one.runtime.name]))
            )
            for one in attached
        ]
        await processes.start(*devices)
        options = Options(
            folder=Folder(folder / "stack"),
            attached=attached,
            aws_endpoint_url=f"http://{HOST}:{proxy_port}",
            allow_loopback_inputs=True,  # the webhooks are there
        )
        keys = write_keys(options.folder)
        running = await exits.enter_async_context(stack(options, announce))
        os.environ["AWS_ENDPOINT_URL"] = url  # what this process asks passes no fault
        resources = await provision(STACK, runtimes)
        sqs = await exits.enter_async_context(clients.sqs())
        told = await subscribe_queue(resources.result_topic_arn, "fault-callbacks")
        taken = await subscribe_queue(resources.task_topic_arn, "fault-tasks")
        callbacks, messages = Box(sqs, told), Box(sqs, taken)
        parked = Box(sqs, resources.webhook_dead_letter_queue)

        async def redeliver(rng: random.Random) -> None:
            kept = list(messages.kept.values())[-3 * COPIES :]
            for copies in rng.sample(kept, min(COPIES, len(kept))):
                queue_url = resources.queues[copies[0].content["runtime"]]
                with translated("sqs.send"):
                    await sqs.send_message(QueueUrl=queue_url, MessageBody=copies[0].text)

        site = Site(
            proxy=proxy,
            runtime_ports=ports,
            break_files=break_files,
            redeliver=redeliver,
            queues=Queues(sqs=sqs, resources=resources),
        )
        proxy.on_hit = site.struck
        receiver = Receiver(rng=random.Random(plan.seed))  # noqa: S311  # chooses failures
        await exits.enter_async_context(receiving(receiver, running.endpoint, running.api_key))
        tenants = {
            tenant: await exits.enter_async_context(client(running.endpoint, key))
            for tenant, key in keys.items()
        }
        async with asyncio.TaskGroup() as group:
            beside = [
                group.create_task(processes.watch(*devices), name="watch-runtimes"),
                group.create_task(callbacks.receive(), name="callbacks"),
                group.create_task(messages.receive(), name="messages"),
                group.create_task(parked.receive(), name="parked"),
            ]
            try:
                yield Field(
                    resources=resources,
                    site=site,
                    clients=tenants,
                    callbacks=callbacks,
                    receiver=receiver,
                    parked=parked,
                    announce=announce,
                )
            finally:
                for each in beside:
                    each.cancel()


@contextmanager
def _environment(values: dict[str, str]) -> Iterator[None]:
    """Set variables for the processes that are started in the block."""
    before = {name: os.environ.get(name) for name in values}
    os.environ.update(values)
    try:
        yield
    finally:
        for name, value in before.items():
            os.environ.pop(name, None)
            if value is not None:
                os.environ[name] = value
