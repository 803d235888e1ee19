from __future__ import annotations

from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st
from ledger_fakes import DONE, NOW, new_record

from contracts.ids import Uid, new_uid, task_id
from contracts.state import TaskState
from ledger.port import Ledger, OfRuntime, OfTenant
from ledger.record import Record

RECORDS = 9


async def filled(ledger: Ledger, running: list[bool]) -> tuple[str, list[Record]]:
    """A runtime with that many records, newest first, some of them running."""
    runtime = f"runtime-{new_uid()}"
    records = []
    for runs in running:
        record = await ledger.create(new_record(runtime=runtime))
        begun = await ledger.begin(record.uid, NOW) if runs else None
        records.append(begun or record)
    return runtime, sorted(records, key=lambda record: record.uid, reverse=True)


async def walk(
    ledger: Ledger, runtime: str, limits: list[int], state: TaskState | None = None
) -> list[Record]:
    """Follow the cursor to its end, with each limit in turn."""
    found: list[Record] = []
    before: Uid | None = None
    for turn in range(10 * RECORDS):
        limit = limits[turn % len(limits)]
        page = await ledger.page(
            OfRuntime(runtime=runtime), state=state, limit=limit, before=before
        )
        assert len(page.records) <= limit
        found += page.records
        if page.next_before is None:
            return found
        assert before is None or page.next_before < before
        before = page.next_before
    raise AssertionError("the cursor has no end")


LIMITS = st.lists(st.integers(1, RECORDS + 2), min_size=1, max_size=4)


@given(running=st.lists(st.booleans(), max_size=RECORDS), limits=LIMITS)
async def test_a_walk_over_pages_of_any_size_gives_each_record_once_newest_first(
    ledger: Ledger, running: list[bool], limits: list[int]
) -> None:
    runtime, records = await filled(ledger, running)
    assert await walk(ledger, runtime, limits) == records


@given(running=st.lists(st.booleans(), max_size=RECORDS), limits=LIMITS)
async def test_a_walk_with_a_filter_gives_each_matching_record_once(
    ledger: Ledger, running: list[bool], limits: list[int]
) -> None:
    runtime, records = await filled(ledger, running)
    for state in (TaskState.RUNNING, TaskState.QUEUED, TaskState.COMPLETED):
        matching = [record for record in records if record.state == state]
        assert await walk(ledger, runtime, limits, state) == matching


async def test_a_staged_task_is_listed_with_those_that_are_queued(ledger: Ledger) -> None:
    runtime, (running, queued) = await filled(ledger, [False, True])
    running, queued = (running, queued) if running.attempt else (queued, running)
    staged = await ledger.begin(queued.uid, NOW, staged=True)
    for state, found in ((TaskState.QUEUED, staged), (TaskState.RUNNING, running)):
        assert await walk(ledger, runtime, [5], state) == [found]


async def test_the_last_page_has_no_cursor(ledger: Ledger) -> None:
    runtime, records = await filled(ledger, [False] * 4)
    page = await ledger.page(OfRuntime(runtime=runtime), state=None, limit=4, before=None)
    assert (page.records, page.next_before) == (tuple(records), None)


async def test_records_of_other_runtimes_stay_out(ledger: Ledger) -> None:
    runtime, _ = await filled(ledger, [False])
    page = await ledger.page(
        OfRuntime(runtime=f"{runtime}-2"), state=None, limit=5, before=None
    )
    assert (page.records, page.next_before) == ((), None)


async def test_a_page_shows_records_as_they_ended(ledger: Ledger) -> None:
    runtime, (record,) = await filled(ledger, [True])
    ended, _ = await ledger.finish(record.uid, DONE, NOW)
    assert ended is not None
    await ledger.mark_callback_sent(ended, NOW)
    page = await ledger.page(
        OfRuntime(runtime=runtime), state=TaskState.COMPLETED, limit=1, before=None
    )
    assert page.records == (replace(ended, callback_due=False),)


async def test_a_page_of_a_tenant_has_its_records_of_all_runtimes_or_of_one(
    ledger: Ledger,
) -> None:
    tenant = f"tenant-{new_uid()}"
    first, second = [
        await ledger.create(replace(new_record(runtime=runtime), tenant=tenant))
        for runtime in ("alpha", "beta")
    ]
    await ledger.create(new_record(runtime="alpha"))

    for wanted, found in (
        (OfTenant(tenant=tenant), (second, first)),
        (OfTenant(tenant=tenant, runtime="alpha"), (first,)),
        (OfTenant(tenant=f"{tenant}-2"), ()),
    ):
        page = await ledger.page(wanted, state=None, limit=5, before=None)
        assert (page.records, page.next_before) == (found, None)


async def test_a_page_of_a_text_has_what_is_named_with_it(ledger: Ledger) -> None:
    runtime = f"runtime-{new_uid()}"
    first, second = [
        await ledger.create(replace(new_record(runtime=runtime), id=task_id(id)))
        for id in ("Order-7", "order-8")
    ]

    for text, found in (
        ("ORDER", (second, first)),
        ("er-7", (first,)),
        (second.uid[4:].lower(), (second,)),
        (f"{first.uid} {first.id}", ()),
    ):
        for wanted in (
            OfRuntime(runtime=runtime, text=text),
            OfTenant(tenant=first.tenant, runtime=runtime, text=text),
        ):
            page = await ledger.page(wanted, state=None, limit=2, before=None)
            assert page.records == found, wanted


async def test_a_text_is_looked_for_beyond_what_a_page_would_hold(ledger: Ledger) -> None:
    runtime = f"runtime-{new_uid()}"
    wanted = await ledger.create(replace(new_record(runtime=runtime), id=task_id("wanted")))
    for _ in range(30):
        await ledger.create(new_record(runtime=runtime))

    page = await ledger.page(
        OfRuntime(runtime=runtime, text="wanted"), state=None, limit=1, before=None
    )

    assert (page.records, page.next_before) == ((wanted,), None)
