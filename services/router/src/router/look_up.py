"""Finding tasks: one by either of its names, many in pages over all runtimes."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Final

from contracts import ids
from contracts.runtimes import Runtime
from contracts.state import TaskState
from ledger.port import Ledger, OfRuntime, OfTenant, Page
from ledger.record import DIRECT, Record
from router.domain import Reader
from servicekit.errors import RejectedError

# An index of DynamoDB is behind its table, by less than a second as a rule.
INDEX_PAUSES: Final = (0.2, 0.5)


@dataclass(frozen=True, slots=True, kw_only=True)
class LookUp:
    """Reads the ledger for clients: what a reader may not see is not there for it."""

    runtimes: Sequence[Runtime]
    ledger: Ledger

    async def one(self, name: str, reader: Reader) -> Record:
        """A task by uid, or by the id that the reader's tenant gave it.

        Raises `RejectedError` (`task_not_found`).
        """
        record = None
        with suppress(ValueError):
            record = await self.ledger.get(ids.uid(name))
        if record is not None and not reader.may_see(record.tenant):
            record = None
        with suppress(ValueError):
            record = record or await self._newest(ids.task_id(name), reader)
        if record is None:
            raise task_not_found(name)
        return record

    async def _newest(self, task_id: ids.TaskId, reader: Reader) -> Record | None:
        """The newest task; one that was just accepted is not in the index yet."""
        tenants = [reader.tenant, *([DIRECT] if reader.all_tenants else [])]
        for pause in (0.0, *INDEX_PAUSES):
            await asyncio.sleep(pause)
            for tenant in tenants:
                if found := await self.ledger.newest(tenant, task_id):
                    return found
        return None

    async def page(
        self,
        reader: Reader,
        *,
        runtime: str,
        state: TaskState | None,
        limit: int,
        before: ids.Uid | None,
        tenant: str = "",
        text: str = "",
    ) -> Page:
        """A page of one tenant or of all that the reader may see; what is empty is no bound."""
        if tenant and not reader.may_see(tenant):
            return Page(records=(), next_before=None)
        if tenant or not reader.all_tenants:
            own = OfTenant(tenant=tenant or reader.tenant, runtime=runtime, text=text)
            return await self.ledger.page(own, state=state, limit=limit, before=before)
        names = [runtime] if runtime else [runtime.name for runtime in self.runtimes]
        async with asyncio.TaskGroup() as group:
            asked = [
                group.create_task(
                    self.ledger.page(
                        OfRuntime(runtime=name, text=text),
                        state=state,
                        limit=limit,
                        before=before,
                    ),
                    name=f"page-{name}",
                )
                for name in names
            ]
        return merged([task.result() for task in asked], limit)


def task_not_found(name: str) -> RejectedError:
    """The refusal of a name that no task has."""
    return RejectedError(f"there is no task '{name[:128]}'", code="task_not_found")


def merged(pages: Sequence[Page], limit: int) -> Page:
    """One page from the pages of several runtimes, each newest first."""
    # Beyond the oldest record that each page has reached, the order is not known yet.
    horizon = max((page.next_before for page in pages if page.next_before), default=None)
    known = sorted(
        (
            record
            for page in pages
            for record in page.records
            if horizon is None or record.uid >= horizon
        ),
        key=lambda record: record.uid,
        reverse=True,
    )
    if len(known) > limit:
        return Page(records=tuple(known[:limit]), next_before=known[limit - 1].uid)
    return Page(records=tuple(known), next_before=horizon)
