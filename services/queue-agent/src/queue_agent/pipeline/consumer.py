"""The pull loop: when to lease, what goes on at once, and what becomes of each message."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import timedelta

from queue_agent.concurrency import run_with, unwrap_group
from queue_agent.domain import (
    Delivery,
    InterruptionError,
    LeaseLostError,
    PoisonedError,
    QueueMissingError,
    RunInterruptedError,
    RuntimeBrokenError,
    RuntimeHangsError,
    RuntimeLostError,
    UnworkableError,
)
from queue_agent.files.body import NoRoomError
from queue_agent.metrics import Metrics
from queue_agent.pipeline.account import Account
from queue_agent.pipeline.delivery_state import DeliveryState, Stage
from queue_agent.pipeline.lease import RELEASE_BUDGET, Lease
from queue_agent.pipeline.readiness import Readiness
from queue_agent.pipeline.slots import Slots
from queue_agent.pod.protection import no_protection
from queue_agent.ports import Notifier, TaskSource
from servicekit.errors import AppError, FatalError, RejectedError, TransientError

log = logging.getLogger(__name__)

Handle = Callable[[Delivery, DeliveryState], Awaitable[None]]
QUEUE_PAUSE = timedelta(seconds=1)
LONGEST_BACKOFF_SECONDS = 300


@dataclass(frozen=True, slots=True, kw_only=True)
class Consumer:
    """Takes as many messages as `slots` has places for, and only while the runtime is ready."""

    source: TaskSource
    notifier: Notifier
    readiness: Readiness
    metrics: Metrics
    slots: Slots
    lease: timedelta
    drain: timedelta
    at_work: Callable[[bool], None] = no_protection  # told when work comes, and when it goes
    account: Account = field(default_factory=Account)
    _present: set[DeliveryState] = field(default_factory=set, init=False)
    _lost: asyncio.Event = field(default_factory=asyncio.Event, init=False)

    async def consume(self, handle: Handle, stop: asyncio.Event) -> None:
        """Work until `stop` is set, then give a running task the time `drain` to finish.

        What has not started by then is released at once, and after `drain` what still runs.
        While the runtime or the platform fails nothing is received, and what is staged waits.
        Raises `QueueMissingError`.
        """
        async with unwrap_group(), asyncio.TaskGroup() as group:
            stopping = group.create_task(self._interrupt_on(stop), name="interrupt-on-stop")
            finding = group.create_task(self._find_again(stop), name="find-again")
            await self._receive(handle, stop, group)
            await stopping
            finding.cancel()

    async def _interrupt_on(self, stop: asyncio.Event) -> None:
        await stop.wait()
        for state in self._present:
            state.stop(self.drain)

    async def _find_again(self, stop: asyncio.Event) -> None:
        """Look for what is lost until it is back: what is in hand may wait for it."""
        while True:
            await self._lost.wait()
            self._lost.clear()
            await self.readiness.wait(stop)

    async def _receive(
        self, handle: Handle, stop: asyncio.Event, group: asyncio.TaskGroup
    ) -> None:
        while await self._ready(stop):
            await self.slots.staging.acquire()
            taken = False
            try:
                if self.readiness.found and not stop.is_set():
                    taken = await self._take(handle, stop, group)
            except QueueMissingError:
                raise
            except FatalError as error:
                await self.readiness.outage(error)
                self._lost.set()
            except TransientError as error:
                log.warning("queue unreachable", exc_info=error, extra=error.details)
                with suppress(TimeoutError):
                    async with asyncio.timeout(QUEUE_PAUSE.total_seconds()):
                        await stop.wait()
            finally:
                if not taken:
                    self.slots.staging.release()

    async def _ready(self, stop: asyncio.Event) -> bool:
        # While there is work, the work itself tells whether all is there.
        if self._present and self.readiness.found:
            return not stop.is_set()
        return await self.readiness.wait(stop)

    async def _take(
        self, handle: Handle, stop: asyncio.Event, group: asyncio.TaskGroup
    ) -> bool:
        """Receive once; True if a task of the group has the delivery now."""
        # A cancelled receive can still hide a message for a whole lease: wait it out.
        delivery = await self.source.receive()
        if delivery is None:
            return False
        lease = Lease(self.source, delivery, self.lease, self.metrics)
        if stop.is_set() or not self.readiness.found:
            await lease.release()
            return False
        state = DeliveryState(self.slots, self._lose, self.readiness.hold, self.account)
        self._present.add(state)
        self.at_work(True)
        own = self._own(lease, state, handle, stop)
        group.create_task(own, name=f"delivery-{delivery.receipt[:12]}")
        return True

    async def _own(
        self, lease: Lease, state: DeliveryState, handle: Handle, stop: asyncio.Event
    ) -> None:
        """Have a delivery from its receive until it is settled or released."""
        try:
            async with state.interruptible():
                extending = lease.extend_until_cancelled(lambda: state.stage >= Stage.RUNNING)
                await run_with(handle(lease.delivery, state), extending)
            await lease.settle()
            if state.stage >= Stage.RUNNING:
                self.readiness.prove()
        except AppError as error:
            await self._end(error, lease, state)
        except asyncio.CancelledError:
            ending = _Ending("interrupted", interrupted=True)
            await self._release(lease, state, ending, "the agent ends")
            raise
        finally:
            self._present.discard(state)
            self.at_work(bool(self._present))
            state.close()

    def _lose(self, _: RuntimeLostError) -> None:
        self.readiness.close()
        self._lost.set()

    async def _end(self, error: AppError, lease: Lease, state: DeliveryState) -> None:
        if isinstance(error, LeaseLostError):
            log.warning("not ours any more: %s", error)
            self._count("lost")
            await self._tell_release(state, str(error), interrupted=False)
            return
        await self._note(error)
        ending = _ending(error, lease.delivery.receives, state.stage)
        log.warning("message goes back", exc_info=error, extra=error.details)
        await self._release(lease, state, ending, str(error))

    async def _note(self, error: AppError) -> None:
        """Take nothing more, where the error is not of this one task."""
        match error:
            case RunInterruptedError():
                return
            case RuntimeLostError() | NoRoomError():
                await self.readiness.lost(error)
            case TransientError() | FatalError():
                await self.readiness.outage(error)
            case _:
                return
        self._lost.set()

    async def _release(
        self, lease: Lease, state: DeliveryState, ending: _Ending, reason: str
    ) -> None:
        self._count(ending.outcome)
        await self._tell_release(state, reason, interrupted=ending.interrupted)
        await lease.release(ending.after)

    async def _tell_release(
        self, state: DeliveryState, reason: str, *, interrupted: bool
    ) -> None:
        if state.task is None or state.callback_sent:
            return
        with suppress(RejectedError, TransientError, TimeoutError):
            async with asyncio.timeout(RELEASE_BUDGET.total_seconds()):
                await self.notifier.release(
                    state.task.uid,
                    state.task.attempt,
                    interrupted=interrupted,
                    reason=reason,
                    cost=state.cost,
                )

    def _count(self, outcome: str) -> None:
        self.metrics.tasks.add(1, {"outcome": outcome})


@dataclass(frozen=True, slots=True)
class _Ending:
    """How a message goes back."""

    outcome: str
    after: timedelta = timedelta()
    interrupted: bool = False  # which is no failure of the attempt


def _ending(error: AppError, receives: int, stage: Stage) -> _Ending:
    """The table of ADR 9: who owns an error, and so whether it counts."""
    match error:
        case PoisonedError():
            return _Ending("poisoned")
        case UnworkableError():
            return _Ending("unworkable")
        case RuntimeLostError() if _may_be_its_doing(error, stage):
            return _Ending("retried")
        case RuntimeLostError() | InterruptionError():
            return _Ending("interrupted", interrupted=True)
        case TransientError() | FatalError() | NoRoomError():
            return _Ending("interrupted", _backoff(error, receives), interrupted=True)
        case _:
            return _Ending("retried", _backoff(error, receives))


def _may_be_its_doing(error: RuntimeLostError, stage: Stage) -> bool:
    """Whether a task pays for the runtime: only one that was executing, for a sound device."""
    if isinstance(error, RuntimeBrokenError):
        return False
    return stage is Stage.RUNNING or isinstance(error, RuntimeHangsError)


def _backoff(error: AppError, receives: int) -> timedelta:
    asked = error.retry_after if isinstance(error, TransientError) else None
    usual = timedelta(seconds=min(2**receives, LONGEST_BACKOFF_SECONDS))
    return max(asked or timedelta(), usual)
