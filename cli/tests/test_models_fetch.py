"""Fetching a model from servers that break off, lie and refuse."""

from __future__ import annotations

import asyncio
import resource
import shutil
from collections import namedtuple
from collections.abc import Iterator
from contextlib import contextmanager
from io import StringIO

import pytest
from model_fetching import CONTENT, SIZE, SUM, WHOLE, Fetching, fetching
from model_server import weights
from rich.console import Console

from darkroom_cli.models.folder import FolderStore
from darkroom_cli.models.part import held
from darkroom_cli.models.progress import Passed, shown_on
from darkroom_cli.models.server import ATTEMPTS, PROGRESS_BYTES, Version

__all__ = ["fetching"]


async def test_connections_that_break_off_are_continued_where_they_were(
    fetching: Fetching,
) -> None:
    fetching.serve(breaks=[1000, 2000])

    assert await fetching.fetch(fetching.wanted(sha256=SUM, size_bytes=SIZE))

    assert fetching.server.ranges() == [None, "bytes=1000-", "bytes=3000-"]
    assert fetching.files() == WHOLE


async def test_fetch_that_is_stopped_goes_on_in_the_next_run(fetching: Fetching) -> None:
    begun = asyncio.Event()

    @contextmanager
    def shown(name: str, size_bytes: int | None, start: int = 0) -> Iterator[Passed]:
        yield lambda done: begun.set()

    fetching.serve(breaks=[1000])
    store = FolderStore(root=fetching.root, shown=shown, pause_seconds=60)
    task = asyncio.create_task(store.fetch(fetching.wanted()), name="fetch")
    await begun.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    asked = len(fetching.server.asked)

    assert set(fetching.files()) == {
        "Stable-diffusion/a.safetensors.part", "Stable-diffusion/a.safetensors.part.json"
    }  # fmt: skip
    assert await fetching.fetch()
    assert fetching.server.ranges()[asked:] == ["bytes=1000-"]
    assert fetching.files() == WHOLE


@pytest.mark.parametrize("size", [SIZE, SIZE + 5])
async def test_part_that_has_all_bytes_is_finished(fetching: Fetching, size: int) -> None:
    fetching.serve(breaks=[1000] + [0] * ATTEMPTS)
    await fetching.refused()
    part = fetching.root / "Stable-diffusion/a.safetensors.part"
    part.write_bytes((CONTENT + b"extra")[:size])

    assert await fetching.fetch()

    assert fetching.server.ranges()[-1] == f"bytes={SIZE - 1}-"
    assert fetching.files() == WHOLE


async def test_part_that_cannot_be_told_from_a_changed_file_is_of_no_use(
    fetching: Fetching,
) -> None:
    fetching.serve(etag=None)
    target = fetching.root / "Stable-diffusion/a.safetensors"
    with held(target) as part:
        part.begin(fetching.wanted(), Version(size_bytes=SIZE), 0)
        await part.add(b"x" * 1000)

    assert await fetching.fetch()

    assert fetching.server.ranges() == [None]
    assert fetching.files() == WHOLE


async def test_connections_that_fail_are_counted_since_the_last_that_brought_something(
    fetching: Fetching,
) -> None:
    large = weights(12 * 2**20)
    fetching.serve(content=large, breaks=[0, PROGRESS_BYTES] * 10)

    assert await fetching.fetch()

    assert len(fetching.server.asked) == 21


async def test_file_that_has_changed_since_is_fetched_anew(fetching: Fetching) -> None:
    fetching.serve(content=CONTENT[:-1] + b"x", etag='"old"', breaks=[1000] + [0] * ATTEMPTS)
    await fetching.refused()

    fetching.serve(etag='"new"')

    assert await fetching.fetch()
    assert fetching.files() == WHOLE


@pytest.mark.parametrize(
    "how",
    [
        {"ranges": False},
        {"etag": None},
        {"etag": 'W/"weak"'},
        {"content_range": f"bytes 0-{SIZE - 1}/{SIZE}"},
        {"content_range": f"bytes 1000-{SIZE - 1}/{SIZE + 1}"},
        {"content_range": "lines 1000-"},
    ],
)
async def test_server_that_does_not_continue_a_file_sends_it_anew(
    fetching: Fetching, how: dict[str, object]
) -> None:
    fetching.serve(breaks=[1000], **how)

    assert await fetching.fetch()

    assert fetching.server.ranges()[-1] is None
    assert fetching.files() == WHOLE


@pytest.mark.parametrize(
    ("how", "reason"),
    [
        ({"content_range": "bytes 0-9/10"}, f"answered bytes 0-9/10 to bytes 1000-/{SIZE}"),
        ({"ranges": False}, "it broke off at 1000 bytes, and the server does not continue it"),
        ({"etag": None}, f"{SIZE} bytes were promised and 1000 came"),
    ],
)
async def test_starting_over_has_an_end(
    fetching: Fetching, how: dict[str, object], reason: str
) -> None:
    fetching.serve(breaks=[1000] * 100, **how)

    assert reason in await fetching.refused()
    assert len(fetching.server.asked) <= 6
    assert fetching.files() == {}


async def test_server_that_breaks_off_again_and_again_is_given_up_and_the_part_is_kept(
    fetching: Fetching,
) -> None:
    fetching.serve(breaks=[1000] + [0] * 100)

    told = await fetching.refused()

    assert told == (
        f"{SIZE} bytes were promised and 1000 came, after {ATTEMPTS} attempts; run it again"
    )
    assert len(fetching.server.asked) == 1 + ATTEMPTS - 1
    assert fetching.files()["Stable-diffusion/a.safetensors.part"] == CONTENT[:1000]


@pytest.mark.parametrize("status", [429, 503])
async def test_server_that_is_busy_is_asked_again(fetching: Fetching, status: int) -> None:
    fetching.serve(statuses=[status] * (ATTEMPTS - 1))

    assert await fetching.fetch()


@pytest.mark.parametrize(
    ("status", "reason"),
    [
        (401, "the server answered 401 Unauthorized; --headers-file takes a token"),
        (403, "the server answered 403 Forbidden; --headers-file takes a token"),
        (404, "the server answered 404 Not Found"),
        (416, "the server answered 416 Requested Range Not Satisfiable"),
        (503, f"the server answered 503 Service Unavailable, after {ATTEMPTS} attempts"),
    ],
)
async def test_refusal_is_one_sentence_and_leaves_nothing(
    fetching: Fetching, status: int, reason: str
) -> None:
    fetching.serve(statuses=[status] * ATTEMPTS)

    assert (await fetching.refused()).startswith(reason)
    assert fetching.files() == {}


@pytest.mark.parametrize(
    ("how", "facts", "reason"),
    [
        ({"promised": SIZE + 9}, {}, f"{SIZE + 9} bytes, its header promises {SIZE}"),
        ({"promised": SIZE - 9}, {}, f"{SIZE - 9} bytes, its header promises {SIZE}"),
        ({}, {"size_bytes": 7}, f"the server has a file of {SIZE} bytes, not of 7"),
        ({}, {"sha256": "0" * 64}, f"its sha256 is {SUM}, not {'0' * 64}"),
        ({"content": b"<html>please log in</html>"}, {}, "it is not a safetensors file"),
        ({}, {"filename": "a.gguf"}, "it is not a GGUF file"),
        ({}, {"filename": "a.txt"}, "a.txt: runtimes read no such file"),
    ],
)
async def test_what_is_not_the_file_is_told_and_not_kept(
    fetching: Fetching, how: dict[str, object], facts: dict[str, object], reason: str
) -> None:
    fetching.serve(**how)

    assert reason in await fetching.refused(fetching.wanted(**facts))
    assert fetching.files() == {}


async def test_size_that_was_a_lie_is_told(fetching: Fetching) -> None:
    fetching.serve(content=b"anything", promised=16)

    told = await fetching.refused(fetching.wanted(filename="a.pth"))

    assert told == "16 bytes were promised and 8 came"


@pytest.mark.parametrize("facts", [{}, {"sha256": SUM}, {"sha256": SUM, "size_bytes": SIZE}])
async def test_file_that_is_there_is_kept(fetching: Fetching, facts: dict[str, object]) -> None:
    fetching.serve()
    wanted = fetching.wanted(**facts)

    assert [await fetching.fetch(wanted), await fetching.fetch(wanted)] == [True, False]
    assert await fetching.fetch(wanted, force=True)


@pytest.mark.parametrize("facts", [{}, {"sha256": SUM}, {"size_bytes": SIZE}])
async def test_another_file_of_that_name_is_replaced_only_by_force(
    fetching: Fetching, facts: dict[str, object]
) -> None:
    fetching.serve()
    target = fetching.root / "Stable-diffusion/a.safetensors"
    target.parent.mkdir(parents=True)
    target.write_bytes(b"mine")

    told = await fetching.refused(fetching.wanted(**facts))

    assert told == f"{target} is there and is another file; --force replaces it"
    assert fetching.files() == {"Stable-diffusion/a.safetensors": b"mine"}
    assert await fetching.fetch(fetching.wanted(**facts), force=True)
    assert fetching.files() == WHOLE


async def test_second_fetch_of_the_same_file_at_once_is_refused(fetching: Fetching) -> None:
    fetching.serve()
    target = fetching.root / "Stable-diffusion/a.safetensors"

    with held(target):
        assert await fetching.refused() == (
            f"{target} is being fetched already; wait for that to end"
        )
    assert await fetching.fetch()


async def test_room_is_looked_for_first(
    fetching: Fetching, monkeypatch: pytest.MonkeyPatch
) -> None:
    usage = namedtuple("usage", ["free"])  # like that of shutil
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage(SIZE - 1))
    fetching.serve()

    assert "has room for 0.0 GB, and a.safetensors needs 0.0 GB" in await fetching.refused()
    assert fetching.files() == {}


async def test_room_that_a_part_of_it_has_counts(
    fetching: Fetching, monkeypatch: pytest.MonkeyPatch
) -> None:
    fetching.serve(etag='"old"', breaks=[1000] + [0] * ATTEMPTS)
    await fetching.refused()
    usage = namedtuple("usage", ["free"])
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage(SIZE - 1000))
    fetching.serve(etag='"new"')

    assert await fetching.fetch()


@contextmanager
def files_of_at_most(size: int) -> Iterator[None]:
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


async def test_disk_that_is_full_midway_keeps_the_part(fetching: Fetching) -> None:
    fetching.serve()

    with files_of_at_most(5000):
        told = await fetching.refused()

    assert told.startswith(f"{fetching.root}/Stable-diffusion/a.safetensors.part: ")
    assert await fetching.fetch()
    assert fetching.server.ranges() == [None, "bytes=5000-"]
    assert fetching.files() == WHOLE


async def test_speed_of_what_goes_on_counts_only_what_came_now(fetching: Fetching) -> None:
    fetching.serve(breaks=[SIZE - 10] + [0] * ATTEMPTS)
    await fetching.refused()
    fetching.told.clear()

    await fetching.fetch()

    here = [line for line in fetching.told if "as far as it is here" in line]
    assert here
    (last,) = [line for line in fetching.told if line not in here]
    assert last.endswith("of 0 MiB, 0 MiB/s")


def test_terminal_shows_a_bar() -> None:
    screen = StringIO()

    with shown_on(Console(file=screen, force_terminal=True), pytest.fail)(
        "a.pth", 10
    ) as passed:
        passed(10)

    assert "a.pth" in screen.getvalue()
    assert "10/10 bytes" in screen.getvalue()
