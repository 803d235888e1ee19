"""What the settings take and refuse."""

from __future__ import annotations

import pytest
from agent_process import REQUIRED
from pydantic import ValidationError

from queue_agent.settings import Settings


def settings(monkeypatch: pytest.MonkeyPatch, **changes: str) -> Settings:
    for name, value in {**REQUIRED, **changes}.items():
        monkeypatch.setenv(f"QUEUE_AGENT_{name}".upper(), value)
    return Settings()


def test_buckets_are_a_json_list(monkeypatch: pytest.MonkeyPatch) -> None:
    read = settings(monkeypatch, input_buckets='["a", "b"]', drain="5")

    assert read.input_buckets == ("a", "b")
    assert read.drain.total_seconds() == 5


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("drain", "120"),
        ("receive_wait", "11"),
        ("runtime_type", "automatic1111"),
        ("runtime_url", "http://host/path"),
        ("input_private_hosts", '["10.0.0.0/99"]'),
        ("run_timeout_floor", "0"),
        ("run_timeout_floor", "7200"),
        ("depth", "-1"),
        ("pod_name", "sdruntime-1"),  # of no namespace
    ],
)
def test_wrong_setting_is_refused(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str
) -> None:
    with pytest.raises(ValidationError):
        settings(monkeypatch, **{name: value})
