from __future__ import annotations

import asyncio
from pathlib import Path

import psutil
import pytest
from typer.testing import CliRunner

from darkroom_bench.agent_memory import MARKS, app, section
from darkroom_bench.memory_run import Phase, Watch
from darkroom_cli.errors import CommandError


def test_section_has_a_row_a_phase_in_millions_of_bytes() -> None:
    phase = Phase(
        name="images of 20 MB", tasks=7, p50=99_960_000, highest=150_000_000, at_end=1, files=9
    )

    assert "| images of 20 MB | 7 | 100.0 | 150.0 | 0.0 | 9 |" in section([phase])


async def test_each_phase_has_what_was_seen_since_the_one_before() -> None:
    watch = Watch(psutil.Process(), samples=[1, 9, 5])

    first = watch.phase("one", 3)
    watch.samples += [2]

    assert (first.tasks, first.p50, first.highest, first.at_end) == (3, 5, 9, 5)
    assert watch.phase("two", 1).highest == 2


async def test_an_agent_that_ends_is_told() -> None:
    process = await asyncio.create_subprocess_exec("cat", stdin=asyncio.subprocess.PIPE)
    watch = Watch(psutil.Process(process.pid))
    process.kill()
    await process.wait()

    with pytest.raises(CommandError, match="ended"):
        await watch.look()


def test_document_with_half_the_marks_is_refused_before_the_run(tmp_path: Path) -> None:
    file = tmp_path / "performance.md"
    file.write_text(MARKS.end)

    assert CliRunner().invoke(app, ["--markdown", str(file)]).exit_code == 1
