from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest

from ingest.settings import Settings
from servicekit.settings import read_settings

SECOND = timedelta(seconds=1)


def test_settings_are_read_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {
        "API_KEYS_FILE": "/keys.json",
        "ROUTER_TARGET": "router:50052",
        "MODEL_SYNC_TARGET": "model-sync:50053",
        "NOTIFIER_TARGET": "notifier:50054",
        "CALL_TIMEOUT": "PT2S",
        "RATE_PER_SECOND": "12.5",
    }.items():
        monkeypatch.setenv(f"INGEST_{name}", value)

    chosen = read_settings(Settings, "", [])

    assert (chosen.http_port, chosen.grpc_port, chosen.burst) == (8080, 50051, 50)
    assert (chosen.call_timeout, chosen.submit_timeout) == (2 * SECOND, 10 * SECOND)
    assert chosen.rate_per_second == 12.5


def test_each_missing_setting_is_named(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("API_KEYS_FILE", "ROUTER_TARGET", "MODEL_SYNC_TARGET"):
        monkeypatch.delenv(f"INGEST_{name}", raising=False)

    with pytest.raises(SystemExit):
        read_settings(Settings, "", [])

    told = capsys.readouterr().err
    assert "INGEST_API_KEYS_FILE: is not set" in told
    assert "INGEST_ROUTER_TARGET: is not set" in told


def test_check_refuses_a_file_of_keys_that_does_not_exist(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    keys = tmp_path / "keys.json"
    monkeypatch.setenv("INGEST_API_KEYS_FILE", str(keys))
    for name in ("ROUTER_TARGET", "MODEL_SYNC_TARGET", "NOTIFIER_TARGET"):
        monkeypatch.setenv(f"INGEST_{name}", "host:1")

    with pytest.raises(SystemExit) as refused:
        read_settings(Settings, "", ["--check"])
    keys.write_text("{}")
    with pytest.raises(SystemExit) as passed:
        read_settings(Settings, "", ["--check"])

    assert (refused.value.code, passed.value.code) == (2, 0)
    assert "INGEST_API_KEYS_FILE: No such file or directory" in capsys.readouterr().err
