from __future__ import annotations

from pathlib import Path

import pytest

from manifests import problems
from rendering import CHARTS, HELMS, lint, objects, read_values, render, values_files

FILES = [(chart, path) for chart in CHARTS for path in values_files(chart)]
CASES = pytest.mark.parametrize(
    ("chart", "path"), FILES, ids=[f"{chart}-{path.stem}" for chart, path in FILES]
)


def test_there_are_values_for_every_case() -> None:
    assert len(FILES) >= 12


@pytest.mark.parametrize("helm", HELMS)
@CASES
def test_each_helm_finds_nothing_wrong(chart: str, path: Path, helm: str) -> None:
    assert "0 chart(s) failed" in lint(chart, read_values(path), helm)


@CASES
def test_both_helms_give_the_same_objects_and_the_api_takes_each(
    chart: str, path: Path
) -> None:
    values = read_values(path)

    first, second = (objects(render(chart, values, helm)) for helm in HELMS)

    assert first == second
    assert [text for item in first for text in problems(item)] == []


@CASES
def test_no_two_objects_have_one_name(chart: str, path: Path) -> None:
    found = objects(render(chart, read_values(path)))

    names = [(item["kind"], item["metadata"]["name"]) for item in found]
    assert len(names) == len(set(names))
