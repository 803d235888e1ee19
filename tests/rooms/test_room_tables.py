"""The tables of rooms in CONTRIBUTING and the tree say the same."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

AGENT = Path("services/queue-agent/src/queue_agent")


def rows(heading: str) -> list[str]:
    """The first cells of the table under a heading."""
    section = Path("CONTRIBUTING.md").read_text().split(f"# {heading}\n")[1].split("\n#")[0]
    return re.findall(r"^\| (.+?) \|", section, re.MULTILINE)[1:]


def folders(parent: Path) -> set[Path]:
    """Those with code: what Git leaves of a folder that moved has none."""
    return {one for one in parent.iterdir() if any(one.rglob("*.py"))}


@pytest.fixture
def rooms() -> set[Path]:
    return {Path(row.strip("`/")) for row in rows("Rooms")}


@pytest.fixture
def agent_rooms() -> set[Path]:
    return {AGENT / row.strip("`/") for row in rows("Rooms of the queue agent")[:-1]}


def test_every_row_has_its_folder(rooms: set[Path], agent_rooms: set[Path]) -> None:
    assert [room for room in rooms | agent_rooms if not room.is_dir()] == []


@pytest.mark.parametrize("parent", ["libs", "services"])
def test_every_folder_has_its_row(parent: str, rooms: set[Path]) -> None:
    assert folders(Path(parent)) - rooms == set()


def test_every_room_of_the_agent_has_its_row(agent_rooms: set[Path]) -> None:
    assert folders(AGENT) | folders(AGENT / "runtimes") == agent_rooms


def test_nothing_else_is_at_the_top_of_the_agent() -> None:
    text = Path("CONTRIBUTING.md").read_text()
    (top,) = re.findall(r"^\| at the top \| (.+) \|$", text, re.MULTILINE)

    modules = {path.stem for path in AGENT.glob("*.py")} - {"__init__"}

    assert modules == set(re.findall(r"`(\w+)`", top))
