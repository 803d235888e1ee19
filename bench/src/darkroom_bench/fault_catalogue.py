"""The faults that can be injected into a running stack, each as one small action."""

from __future__ import annotations

import asyncio
import random
import signal
import sys
from collections.abc import Awaitable, Callable, Coroutine, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import httpx
import psutil

from darkroom_bench.fault_proxy import HOST, FaultProxy, Rule, Step, Wrong
from darkroom_bench.fault_queues import SECONDS, Queues
from darkroom_cli.errors import CommandError

RUNTIMES: Final = ("sdruntime", "comfyruntime")
OUT_OF_MEMORY: Final = "out of memory"  # a prompt with it fails in the runtime
BACK_SECONDS: Final = 45  # for a process that is being restarted
STEP_SECONDS: Final = 5  # after which a trap that did not spring is sprung
RULE_SECONDS: Final = 5  # in which calls go wrong
DISK_FULL: Final = "disk full"
FULL_SECONDS: Final = 3  # in which the agents cannot write files
FULL_BYTES: Final = 2**16  # of each file, that is less than any answer of a round has
KILLER: Final = "killer prompt"  # a prompt with it kills its runtime
BROKEN: Final = "broken device"
PARKED: Final = "parked"  # messages go to the dead letters though their tasks are open
READ_SECONDS: Final = 31  # more than the services wait for an answer of AWS
AWS: Final = ("s3", "sns", "sqs", "dynamodb")

VICTIMS: Final = (
    "ingest", "router", "notifier", "model-sync", *(f"agent of {name}" for name in RUNTIMES),
    *(f"runtime {name}" for name in RUNTIMES),
)  # fmt: skip

_PUT = ("dynamodb", "PutItem", "")
_TAKEN = ("sns", "Publish", "darkroom-tasks")
_BEGUN = ("dynamodb", "UpdateItem", "")
_STORED = ("s3", "PUT", "")
_TOLD = ("sns", "Publish", "darkroom-results")
_WEBHOOKS = "darkroom_webhooks"  # their queue, and its dead letters

STEPS: Final = {
    "ingest": (_PUT, _TAKEN),
    "router": (_PUT, _TAKEN),
    "notifier": (
        _BEGUN,
        _TOLD,
        ("sqs", "SendMessage", _WEBHOOKS),
        ("sqs", "ReceiveMessage", _WEBHOOKS),
        ("sqs", "DeleteMessage", _WEBHOOKS),
    ),
    "model-sync": (_PUT, ("s3", "GET", "")),
    "agent": (
        _BEGUN,
        _STORED,
        _TOLD,
        ("sqs", "ReceiveMessage", "-{}"),
        ("sqs", "DeleteMessage", "-{}"),
    ),
    "runtime": (_BEGUN, _STORED),
}


@dataclass(slots=True)
class Site:
    """What a fault works on; `moment` is when it struck, by the event loop's clock."""

    proxy: FaultProxy
    runtime_ports: dict[str, int]
    break_files: dict[str, Path]  # by runtime: its device breaks when the file is there
    redeliver: Callable[[random.Random], Awaitable[None]]
    queues: Queues
    moment: float | None = None

    def struck(self) -> None:
        """Note the first moment of this round's fault."""
        if self.moment is None:
            self.moment = asyncio.get_running_loop().time()

    async def find(self, victim: str) -> psutil.Process:
        """A process once it is there; raises `CommandError` if it stays away."""
        for _ in range(BACK_SECONDS * 5):
            for child in await asyncio.to_thread(psutil.Process().children, recursive=True):
                if self._is(child, victim):
                    return child
            await asyncio.sleep(0.2)
        raise CommandError(f"{victim} was not restarted in {BACK_SECONDS} s")

    def _is(self, process: psutil.Process, victim: str) -> bool:
        try:
            line = process.cmdline()
            if victim.startswith("agent of "):
                runtime = process.environ().get("QUEUE_AGENT_RUNTIME_NAME")
                return "queue_agent.main" in line and f"agent of {runtime}" == victim
        except psutil.Error:
            return False
        if victim.startswith("runtime "):
            port = self.runtime_ports[victim.removeprefix("runtime ")]
            return "sample_runtime.main" in line and str(port) in line
        return f"{victim.replace('-', '_')}.main" in line


Inject = Callable[[Site, random.Random], Coroutine[Any, Any, None]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """One kind of fault; `inject` returns when it is over."""

    name: str
    family: str
    inject: Inject
    is_slow: bool = False  # its round takes more than half a minute


def catalogue() -> list[Fault]:
    """Every fault that the injector knows."""
    return [*_signals(), *_of_aws(), *_others()]


def deck(faults: list[Fault], rng: random.Random) -> Iterator[Fault]:
    """Faults without end, in random order, each once before any comes again."""
    while True:
        yield from rng.sample(faults, len(faults))


def _signals() -> Iterator[Fault]:
    for victim in VICTIMS:
        for number in (signal.SIGKILL, signal.SIGTERM):
            for at in ("at random", "at a step"):
                yield Fault(
                    name=f"{number.name} of {victim} {at}",
                    family=number.name,
                    inject=_end(victim, number, at_step=at == "at a step"),
                )


def _of_aws() -> Iterator[Fault]:
    for service in AWS:
        for wrong in Wrong:
            yield Fault(
                name=f"{service}: {wrong}",
                family=f"AWS: {wrong}",
                inject=_misbehave(service, wrong),
                is_slow=wrong is Wrong.SILENT,
            )


def _others() -> Iterator[Fault]:
    for victim in ("router", "notifier", *(f"agent of {name}" for name in RUNTIMES)):
        yield Fault(name=f"{victim} stands still", family="standstill", inject=_stop(victim, 3))
    for name in RUNTIMES:
        yield Fault(
            name=f"runtime {name} hangs", family="hang", inject=_stop(f"runtime {name}", 8)
        )
    for victim in ("router", "notifier"):
        yield Fault(name=f"{victim} down", family="down", inject=_keep_down(victim, 3))
    yield Fault(name="agents have a full disk", family=DISK_FULL, inject=_fill_disks)
    yield Fault(name="redelivery", family="redelivery", inject=_redeliver)
    yield Fault(name="messages moved to the DLQ by hand", family=PARKED, inject=_park)
    yield Fault(
        name="notifier down until all receives are used up", family=PARKED, inject=_wear_out
    )
    for name in RUNTIMES:
        yield Fault(name=f"device of {name} is broken", family=BROKEN, inject=_break(name))
    yield Fault(name="a prompt kills its runtime", family=KILLER, inject=_nothing)
    yield Fault(name="runtime out of memory", family="out of memory", inject=_nothing)


def _end(victim: str, number: signal.Signals, *, at_step: bool) -> Inject:
    async def inject(site: Site, rng: random.Random) -> None:
        process = await site.find(victim)
        sprung = asyncio.Event()

        def spring() -> None:
            site.struck()
            _send(process, number)
            sprung.set()

        if at_step:
            kind = victim.split(maxsplit=1)[0]
            service, operation, word = rng.choice(STEPS[kind])
            receives = operation == "ReceiveMessage"
            step = Step(
                service=service,
                operation=operation,
                word=word.format(victim.rsplit(maxsplit=1)[-1]),
                # Before as often as after, but a receive that found nothing is no step.
                after=receives or rng.choice((True, False)),
                answer_word='"Messages"' if receives else "",
            )
            site.proxy.trap(step, spring)
            with suppress(TimeoutError):
                async with asyncio.timeout(STEP_SECONDS):
                    await sprung.wait()
            site.proxy.clear()
        if not sprung.is_set():
            spring()

    return inject


def _misbehave(service: str, wrong: Wrong) -> Inject:
    async def inject(site: Site, rng: random.Random) -> None:
        if wrong is Wrong.SILENT:
            rule = Rule(service=service, wrong=wrong, count=1, seconds=READ_SECONDS)
        elif wrong is Wrong.DENIED:
            rule = Rule(service=service, wrong=wrong, count=sys.maxsize)
        else:
            # From one that the SDK's own tries get over to more than they can.
            seconds = rng.uniform(1, 6)
            rule = Rule(service=service, wrong=wrong, count=rng.randint(1, 25), seconds=seconds)
        site.proxy.rules.append(rule)
        await asyncio.sleep(RULE_SECONDS)
        site.proxy.clear()

    return inject


def _stop(victim: str, seconds: float) -> Inject:
    async def inject(site: Site, _: random.Random) -> None:
        process = await site.find(victim)
        site.struck()
        _send(process, signal.SIGSTOP)
        try:
            await asyncio.sleep(seconds)
        finally:
            _send(process, signal.SIGCONT)

    return inject


def _keep_down(victim: str, seconds: float) -> Inject:
    async def inject(site: Site, _: random.Random) -> None:
        loop = asyncio.get_running_loop()
        end = loop.time() + seconds
        while loop.time() < end:
            process = await site.find(victim)
            site.struck()
            _send(process, signal.SIGKILL)
            await asyncio.sleep(0.2)

    return inject


async def _fill_disks(site: Site, _: random.Random) -> None:
    agents = [await site.find(f"agent of {name}") for name in RUNTIMES]
    before = [agent.rlimit(psutil.RLIMIT_FSIZE) for agent in agents]
    site.struck()
    try:
        for agent, (__, hard) in zip(agents, before, strict=True):
            agent.rlimit(psutil.RLIMIT_FSIZE, (FULL_BYTES, hard))
        await asyncio.sleep(FULL_SECONDS)
    finally:
        for agent, limits in zip(agents, before, strict=True):
            agent.rlimit(psutil.RLIMIT_FSIZE, limits)


def _break(name: str) -> Inject:
    async def inject(site: Site, _: random.Random) -> None:
        """Break a device, and restart its runtime as the kubelet does: when its agent asks."""
        agent = await site.find(f"agent of {name}")
        url = f"http://{HOST}:{agent.environ()['QUEUE_AGENT_OPS_PORT']}/runtimez"
        file = site.break_files[name]
        file.touch()
        site.struck()
        try:
            async with (
                asyncio.timeout(BACK_SECONDS),
                httpx.AsyncClient(trust_env=False) as http,
            ):
                while (await http.get(url)).is_success:  # noqa: ASYNC110  # another process
                    await asyncio.sleep(0.2)
        except TimeoutError:
            if not file.exists():
                raise CommandError(f"the agent of {name} asked for no restart") from None
            file.unlink()  # no task came to it
        else:
            _send(await site.find(f"runtime {name}"), signal.SIGKILL)

    return inject


async def _redeliver(site: Site, rng: random.Random) -> None:
    site.struck()
    await site.redeliver(rng)


async def _park(site: Site, _: random.Random) -> None:
    site.struck()
    await site.queues.park()


async def _wear_out(site: Site, rng: random.Random) -> None:
    async with asyncio.TaskGroup() as group:
        group.create_task(_keep_down("notifier", SECONDS)(site, rng), name="keep-down")
        group.create_task(site.queues.wear_out(), name="wear-out")


async def _nothing(site: Site, _: random.Random) -> None:
    site.struck()  # the prompts of this round do it


def _send(process: psutil.Process, number: signal.Signals) -> None:
    try:
        process.send_signal(number)
    except psutil.NoSuchProcess:
        return  # it has ended by itself meanwhile, and is restarted
