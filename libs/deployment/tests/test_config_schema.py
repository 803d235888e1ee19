"""The schema itself: closed, and every key explained with a default or an example."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from deployment import reference
from deployment.schema import resolved, schema, text

# Keywords of JSON Schema that Helm's older validator, for draft 7, does not know.
NEW_KEYWORDS = {
    "dependentRequired", "dependentSchemas", "maxContains", "minContains", "prefixItems",
    "unevaluatedItems", "unevaluatedProperties",
}  # fmt: skip
# Of Kubernetes: it says what may be in them.
OPEN = {"valueFrom", "securityContext"}


def keys(part: dict[str, Any], path: str = "") -> Iterator[tuple[str, dict[str, Any]]]:
    """Each key of the file with what describes it."""
    for name, each in part.get("properties", {}).items():
        leaf = resolved(each)
        yield f"{path}{name}", leaf
        yield from keys(leaf, f"{path}{name}.")
        yield from keys(resolved(leaf.get("items", {})), f"{path}{name}[].")


KEYS = dict(keys(schema()))


def test_schema_is_one() -> None:
    jsonschema.Draft202012Validator.check_schema(schema())
    assert len(KEYS) > 100


@pytest.mark.parametrize("key", KEYS)
def test_key_is_explained_and_its_default_and_examples_are_allowed(key: str) -> None:
    leaf = KEYS[key]

    assert leaf["description"][0].isupper() or leaf["description"].startswith("`")
    assert leaf["description"].endswith(".")
    validator = jsonschema.Draft202012Validator({**leaf, "$defs": schema()["$defs"]})
    for value in [*leaf.get("examples", []), *([leaf["default"]] if "default" in leaf else [])]:
        validator.validate(value)
    if not leaf.get("properties"):
        assert leaf.get("examples") or leaf.get("type") == "array", "an example"


@pytest.mark.parametrize("key", KEYS)
def test_mapping_is_closed_or_says_what_its_values_are(key: str) -> None:
    leaf = KEYS[key]

    if leaf.get("type") == "object" and key.rpartition(".")[2] not in OPEN:
        assert "additionalProperties" in leaf
        assert bool(leaf.get("properties")) == (leaf["additionalProperties"] is False)


def test_charts_may_take_the_schema_of_extra_values_as_it_is() -> None:
    defs = json.dumps(schema()["$defs"])

    assert not [word for word in NEW_KEYWORDS if f'"{word}"' in defs]
    # Helm's regular expressions know no looking ahead or back.
    patterns = re.findall(r'"pattern": "(.*?)"[,}]', defs)
    assert len(patterns) > 10
    assert not [pattern for pattern in patterns if "(?" in pattern]


def test_schema_is_written_as_it_is_read() -> None:
    assert json.loads(text()) == schema()


def test_page_of_the_configuration_is_made_from_the_schema() -> None:
    page = Path("docs/deploy/configuration.md").read_text()

    assert page == reference.page(), (
        "run: darkroom config reference > docs/deploy/configuration.md"
    )
    for key, leaf in KEYS.items():
        if not leaf.get("properties"):
            shown = key.removeprefix("modelsRuntime[].").removeprefix("extraValues.")
            assert f"| `{shown}` |" in page or key == "modelsRuntime"
