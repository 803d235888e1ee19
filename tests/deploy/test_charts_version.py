"""A chart's version tells what it consists of."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import pytest

from filters import filter_plugin
from toolbox import ROOT

charts = filter_plugin("charts")


@pytest.fixture
def chart(tmp_path: Path) -> Path:
    """A copy of a chart."""
    return Path(shutil.copytree(ROOT / "charts" / "runtime", tmp_path / "runtime"))


def test_equal_content_is_one_version_wherever_it_is(chart: Path) -> None:
    identity = charts.chart_identity(str(chart))

    assert identity == charts.chart_identity(str(ROOT / "charts" / "runtime"))
    assert identity["name"] == "runtime"
    # Of SemVer and a tag of a registry alike.
    assert re.fullmatch(r"0\.1\.0-c[0-9a-f]{8}", identity["version"])


@pytest.mark.parametrize("file", ["values.yaml", "templates/scaling.yaml", "Chart.yaml"])
def test_any_change_is_another_version(chart: Path, file: str) -> None:
    before = charts.chart_identity(str(chart))

    (chart / file).write_text((chart / file).read_text() + "\n# more")

    assert charts.chart_identity(str(chart)) != before


def test_a_file_that_comes_or_moves_is_another_version(chart: Path) -> None:
    before = charts.chart_identity(str(chart))

    (chart / "templates" / "new.yaml").touch()
    more = charts.chart_identity(str(chart))
    (chart / "templates" / "new.yaml").rename(chart / "templates" / "moved.yaml")

    assert before != more != charts.chart_identity(str(chart)) != before
