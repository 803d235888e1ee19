from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from contracts.keys import Key, KeyScope, Quota, digest_of
from darkroom_cli.embedded.folder import Folder
from darkroom_cli.main import app


@pytest.fixture
def folder(tmp_path: Path) -> Folder:
    return Folder(tmp_path)


def call(folder: Folder, *arguments: object) -> Result:
    given = ["keys", *map(str, arguments), "--data-dir", str(folder.path)]
    return CliRunner().invoke(app, given)


def made(folder: Folder, *arguments: object) -> str:
    result = call(folder, *arguments)
    assert result.exit_code == 0, result.output
    return result.stdout.strip()


def listed(folder: Folder) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = json.loads(made(folder, "list", "--json"))
    return rows


def test_a_key_is_printed_once_and_kept_as_its_hash(folder: Folder) -> None:
    secret = made(
        folder, "create", "bot", "--tenant", "studio", "--scope", "read", "--rate", 2.5,
        "--burst", 3, "--concurrency", 50, "--daily-images", 100, "--monthly-budget", 12.5,
        "--expires", "2127-01-31",
    )  # fmt: skip

    assert secret.startswith("dr_")
    assert secret not in folder.api_keys_file.read_text()
    assert folder.read_keys() == [
        Key(
            name="bot",
            tenant="studio",
            scope=KeyScope.READ,
            sha256=digest_of(secret.encode()),
            rate_per_second=2.5,
            burst=3,
            quota=Quota.model_validate(
                {"open_tasks": 50, "daily_images": 100, "monthly_budget": "12.5"}
            ),
            expires_at=datetime(2127, 1, 31, tzinfo=UTC),
        )
    ]
    assert listed(folder)[0]["name"] == "bot"
    assert "sha256" not in listed(folder)[0]


def test_the_key_of_the_stack_stays_beside_those_that_are_made(folder: Folder) -> None:
    own = folder.api_key()
    made(folder, "create", "bot", "--tenant", "studio")
    assert folder.api_key() == own
    assert [(key.name, str(key.scope)) for key in folder.read_keys()] == [
        ("embedded", "admin"),
        ("bot", "submit"),
    ]


def test_a_key_that_is_revoked_is_gone(folder: Folder) -> None:
    made(folder, "create", "bot", "--tenant", "studio")
    made(folder, "revoke", "bot")
    assert listed(folder) == []


def test_both_keys_work_for_a_while_after_one_was_replaced(folder: Folder) -> None:
    first = made(folder, "create", "bot", "--tenant", "studio", "--concurrency", 5)
    before = datetime.now(UTC)
    second = made(folder, "rotate", "bot", "--keep", 2)

    former, new = folder.read_keys()
    assert former.sha256 == digest_of(first.encode())
    assert former.expires_at is not None
    left = former.expires_at - before
    assert timedelta(hours=2) <= left < timedelta(hours=2, minutes=5)
    assert (new.sha256, new.quota.open_tasks) == (digest_of(second.encode()), 5)
    assert new.expires_at is None

    third = made(folder, "rotate", "bot", "--keep", 0)
    assert [key.sha256 for key in folder.read_keys()] == [digest_of(third.encode())]


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["create", "bot", "--tenant", "a#b"], "tenant: String should match pattern"),
        (["create", "bot", "--tenant", "studio", "--expires", "soon"], "--expires: 'soon'"),
        (["create", "taken", "--tenant", "studio"], "there is a key 'taken'"),
        (["revoke", "none"], "there is no key 'none'; there are: taken"),
        (["rotate", "none"], "there is no key 'none'"),
    ],
)
def test_what_cannot_be_is_told_in_one_sentence(
    folder: Folder, arguments: list[str], told: str
) -> None:
    made(folder, "create", "taken", "--tenant", "studio")
    result = call(folder, *arguments)
    assert result.exit_code == 1
    assert told in result.stderr
    assert len(result.stderr.strip().splitlines()) == 1
    assert [key.name for key in folder.read_keys()] == ["taken"]


@pytest.mark.parametrize(
    "wrong",
    [["--concurrency", "0"], ["--concurrency", "1001"], ["--daily-images", "-1"],
     ["--monthly-budget", "-1"], ["--scope", "root"]],
)  # fmt: skip
def test_wrong_limits_are_no_options(folder: Folder, wrong: list[str]) -> None:
    result = call(folder, "create", "bot", "--tenant", "studio", *wrong)
    assert result.exit_code == 2
    assert wrong[0] in result.stderr
    assert folder.read_keys() == []


def test_a_broken_file_is_told_and_left_as_it_is(folder: Folder) -> None:
    folder.api_keys_file.write_text("{")
    result = call(folder, "create", "bot", "--tenant", "studio")
    assert result.exit_code == 1
    assert "cannot be used: file: Invalid JSON" in result.stderr
    assert folder.api_keys_file.read_text() == "{"


def test_a_revoked_key_is_told_as_json(folder: Folder) -> None:
    made(folder, "create", "bot", "--tenant", "studio")
    made(folder, "rotate", "bot")

    rows = json.loads(made(folder, "revoke", "bot", "--json"))

    assert [(row["name"], row["tenant"]) for row in rows] == [("bot", "studio")] * 2
    assert folder.read_keys() == []


def test_a_key_that_is_replaced_ends_no_later_than_it_would_have(folder: Folder) -> None:
    end = datetime.now(UTC) + timedelta(hours=1)
    made(folder, "create", "bot", "--tenant", "studio", "--expires", end.isoformat())
    made(folder, "rotate", "bot")

    assert [key.expires_at for key in folder.read_keys()] == [end, end]
