from __future__ import annotations

import json
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest

from contracts.keys import (
    BrokenKeysError,
    Key,
    KeyScope,
    Quota,
    digest_of,
    new_key,
    read_keys,
    write_keys,
)

SECRET = "dr_this-must-not-be-told"  # noqa: S105  # no key


def entry(**changes: Any) -> dict[str, Any]:
    return {"name": "bot", "tenant": "studio", "sha256": digest_of(b"x"), **changes}


def text(*entries: dict[str, Any]) -> bytes:
    return json.dumps({"keys": entries}).encode()


def test_a_file_is_read_as_it_was_written() -> None:
    key = Key(
        name="bot",
        tenant="studio",
        sha256=digest_of(new_key().encode()),
        scope=KeyScope.READ,
        rate_per_second=2.5,
        burst=3,
        quota=Quota(open_tasks=50, daily_images=100, monthly_budget=Decimal("12.5")),
        expires_at=datetime(2027, 1, 2, tzinfo=UTC),
    )
    assert read_keys(write_keys([key]).encode()) == [key]


def test_a_key_of_an_older_file_may_submit_and_has_no_limits() -> None:
    (key,) = read_keys(text(entry()))
    assert (key.scope, key.quota, key.expires_at) == (KeyScope.SUBMIT, Quota(), None)


def test_a_new_key_is_long_and_never_the_same() -> None:
    keys = {new_key() for _ in range(100)}
    assert len(keys) == 100
    assert {key[:3] for key in keys} == {"dr_"}
    assert min(map(len, keys)) >= 43


@pytest.mark.parametrize(
    ("wrong", "told"),
    [
        ({"tenant": "a#b"}, "keys.0.tenant"),
        ({"name": ""}, "keys.0.name"),
        ({"sha256": SECRET}, "keys.0.sha256"),
        ({"quota": {"open_tasks": 0}}, "keys.0.quota.open_tasks"),
        ({"quota": {"open_tasks": 1001}}, "keys.0.quota.open_tasks"),
        ({"quota": {"daily_images": -1}}, "keys.0.quota.daily_images"),
        ({"quota": {"monthly_budget": "-1"}}, "keys.0.quota.monthly_budget"),
        ({"quota": {"monthly_budget": "NaN"}}, "keys.0.quota.monthly_budget"),
        ({"quota": {"images": 1}}, "keys.0.quota.images"),
        ({"key": SECRET}, "keys.0.key"),
    ],
)
def test_a_wrong_key_is_told_by_its_field(wrong: dict[str, Any], told: str) -> None:
    with pytest.raises(BrokenKeysError) as caught:
        read_keys(text(entry(**wrong)))
    assert told in str(caught.value)
    assert SECRET not in str(caught.value)


def test_what_could_not_be_read_again_is_not_written() -> None:
    key = Key.model_validate(entry())
    with pytest.raises(BrokenKeysError, match="the same sha256"):
        write_keys([key, key])


def test_a_name_is_of_one_tenant() -> None:
    other = entry(sha256=digest_of(b"y"), tenant="rival")
    with pytest.raises(BrokenKeysError, match="different tenants have the same name"):
        read_keys(text(entry(), other))


def test_each_scope_covers_those_before_it() -> None:
    scopes = list(KeyScope)
    for held in scopes:
        for needed in scopes:
            assert held.covers(needed) == (scopes.index(held) >= scopes.index(needed))
