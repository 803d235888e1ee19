from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st
from router_fakes import READER, RUNTIMES, task

from contracts.ids import TaskId, Uid
from contracts.state import TaskState
from ledger.memory import MemoryLedger
from ledger.record import DIRECT, Record
from router.domain import Reader
from router.look_up import LookUp
from servicekit.errors import RejectedError

NAMES = [runtime.name for runtime in RUNTIMES]

OPERATOR = Reader(tenant="operators", all_tenants=True)
NOW = datetime(2026, 1, 2, tzinfo=UTC)


def record(number: int, runtime: str = "fixed", **changes: object) -> Record:
    submitted = task()
    made = Record(
        uid=Uid(f"{number:026d}"),
        id=submitted.id,
        tenant=submitted.tenant,
        runtime=runtime,
        tasktype=submitted.tasktype,
        bucket="outputbucket",
        prefix=submitted.prefix,
        context_json=submitted.context_json,
        created_at=NOW,
    )
    return replace(made, **changes)  # type: ignore[arg-type]  # any fields


def look_up(*records: Record) -> LookUp:
    return LookUp(runtimes=RUNTIMES, ledger=MemoryLedger({r.uid: r for r in records}))


async def test_a_task_is_found_by_its_uid() -> None:
    assert await look_up(record(1), record(2)).one(f"{1:026d}", READER) == record(1)


async def test_a_clients_id_means_its_newest_submission() -> None:
    assert await look_up(record(1), record(3), record(2)).one("test-t2i", READER) == record(3)


class Behind(MemoryLedger):
    """Has an index that knows a task only when it is asked again."""

    asked = 0

    async def newest(self, tenant: str, task_id: TaskId) -> Record | None:
        self.asked += 1
        found = await super().newest(tenant, task_id)
        return found if self.asked > 1 else None


async def test_a_task_that_the_index_does_not_know_yet_is_found() -> None:
    running = record(1, state=TaskState.RUNNING)
    ledger = Behind({running.uid: running})

    assert await LookUp(runtimes=RUNTIMES, ledger=ledger).one("test-t2i", READER) == running


async def test_an_id_that_looks_like_a_uid_is_still_an_id() -> None:
    like_a_uid = f"{7:026d}"
    named = record(1, id=like_a_uid)
    assert await look_up(named).one(like_a_uid, READER) == named


@pytest.mark.parametrize("name", ["none", "", "../etc", "x" * 1000, f"{9:026d}"])
async def test_a_task_that_does_not_exist_is_refused_by_name(name: str) -> None:
    with pytest.raises(RejectedError) as caught:
        await look_up(record(1)).one(name, READER)
    assert caught.value.code == "task_not_found"
    assert str(caught.value) == f"there is no task '{name[:128]}'"


@given(
    runtimes=st.lists(st.sampled_from(NAMES), max_size=12),
    reader=st.sampled_from([READER, OPERATOR]),
    states=st.lists(st.sampled_from(TaskState), min_size=12, max_size=12),
    limits=st.lists(st.integers(1, 14), min_size=1, max_size=3),
    asked=st.sampled_from(["", *NAMES]),
    state=st.none() | st.sampled_from(TaskState),
)
async def test_the_pages_of_all_runtimes_are_one_sorted_list(
    runtimes: list[str],
    reader: Reader,
    states: list[TaskState],
    limits: list[int],
    asked: str,
    state: TaskState | None,
) -> None:
    records = [
        record(number, runtime, state=kept)
        for number, (runtime, kept) in enumerate(zip(runtimes, states, strict=False))
    ]
    finder, found, before = look_up(*records), list[Record](), None
    for turn in range(50):
        limit = limits[turn % len(limits)]
        page = await finder.page(reader, runtime=asked, state=state, limit=limit, before=before)
        assert len(page.records) <= limit
        found += page.records
        before = page.next_before
        if before is None:
            break
    assert before is None
    assert found == [
        r
        for r in reversed(records)
        if asked in {"", r.runtime} and state in {None, r.state_for_clients}
    ]


STRANGER = Reader(tenant="another")


async def test_a_task_of_another_tenant_is_not_there() -> None:
    finder = look_up(record(1))
    for name in (f"{1:026d}", "test-t2i"):
        with pytest.raises(RejectedError, match=f"there is no task '{name}'"):
            await finder.one(name, STRANGER)
    page = await finder.page(STRANGER, runtime="", state=None, limit=9, before=None)
    assert page.records == ()


async def test_an_operator_names_a_tenant_and_others_only_their_own() -> None:
    own, foreign = record(1), record(2, tenant="another")
    finder = look_up(own, foreign)
    for reader, tenant, found in (
        (OPERATOR, "another", (foreign,)),
        (OPERATOR, "nobody", ()),
        (READER, own.tenant, (own,)),
        (READER, "another", ()),
    ):
        page = await finder.page(
            reader, runtime="", state=None, limit=9, before=None, tenant=tenant
        )
        assert page.records == found, (reader, tenant)


async def test_an_id_means_the_submission_of_the_readers_tenant() -> None:
    finder = look_up(record(1), record(2, tenant="another"))

    assert await finder.one("test-t2i", READER) == record(1)
    assert await finder.one("test-t2i", STRANGER) == record(2, tenant="another")


async def test_an_operator_finds_every_task_by_its_uid() -> None:
    assert await look_up(record(1)).one(f"{1:026d}", OPERATOR) == record(1)


async def test_an_operator_finds_what_was_published_past_ingest_by_its_id() -> None:
    direct = record(1, tenant=DIRECT)

    assert await look_up(direct).one("test-t2i", OPERATOR) == direct
    with pytest.raises(RejectedError):
        await look_up(direct).one("test-t2i", READER)
