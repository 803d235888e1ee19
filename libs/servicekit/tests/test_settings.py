from __future__ import annotations

import re
from datetime import timedelta
from pathlib import Path

import pytest
from pydantic import Field, SecretStr, model_validator
from pydantic_settings import SettingsConfigDict

from servicekit.settings import Duration, InputFile, ServiceSettings, read_settings


class Sample(ServiceSettings):
    """Environment of a service of these tests."""

    model_config = SettingsConfigDict(env_prefix="SAMPLE_")

    table: str
    grpc_port: int = Field(default=50051, ge=1, le=65535)
    runtimes: dict[str, int] = Field(default_factory=dict)
    secret: SecretStr = SecretStr("x")
    patience: Duration = Field(default=timedelta(seconds=90), ge=timedelta())
    """How long it waits;
    not for ever."""
    ports: tuple[int, ...] = (80, 443)
    name: str = Field(default_factory=lambda: "here")
    fair: bool = True
    file: InputFile = Path("/dev/null")
    folder: Path | None = None

    @model_validator(mode="after")
    def _ports_differ(self) -> Sample:
        if self.grpc_port == self.ops_port:
            raise ValueError("grpc_port and ops_port must differ")
        return self


@pytest.fixture(autouse=True)
def _environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SAMPLE_TABLE", "ledger")


def read(*argv: str) -> Sample:
    return read_settings(Sample, "A sample.", list(argv))


def refusal(capsys: pytest.CaptureFixture[str]) -> str:
    with pytest.raises(SystemExit) as caught:
        read()
    assert caught.value.code == 2
    printed = capsys.readouterr()
    assert printed.out == ""
    assert printed.err.count("\n") == 1
    return printed.err


def test_settings_come_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SAMPLE_GRPC_PORT", "7")
    assert (read().table, read().grpc_port, read().host) == ("ledger", 7, "127.0.0.1")


def test_a_missing_variable_is_named(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv("SAMPLE_TABLE")
    assert "wrong settings: SAMPLE_TABLE: is not set\n" in refusal(capsys)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("SAMPLE_GRPC_PORT", "http-secret"),
        ("SAMPLE_GRPC_PORT", "70000"),
        ("SAMPLE_LOG_LEVEL", "LOUD-secret"),
        ("SAMPLE_RUNTIMES", "{secret"),
        ("SAMPLE_PATIENCE", "1 secret"),
        ("SAMPLE_PATIENCE", "-1000"),
        ("SAMPLE_PATIENCE", "1e999"),
    ],
)
def test_a_wrong_variable_is_named_without_its_value(
    name: str,
    value: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv(name, value)
    sentence = refusal(capsys)
    assert name in sentence
    assert value not in sentence


def test_all_wrong_variables_are_named_at_once(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv("SAMPLE_TABLE")
    monkeypatch.setenv("SAMPLE_OPS_PORT", "-1")
    sentence = refusal(capsys)
    assert "SAMPLE_TABLE: is not set" in sentence
    assert "SAMPLE_OPS_PORT: " in sentence


def test_a_rule_over_several_settings_is_told(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("SAMPLE_GRPC_PORT", "9090")
    assert "grpc_port and ops_port must differ" in refusal(capsys)


def test_check_says_that_settings_are_valid_and_ends_with_0(
    capsys: pytest.CaptureFixture[str],
) -> None:
    with pytest.raises(SystemExit) as caught:
        read("--check")
    assert caught.value.code == 0
    assert capsys.readouterr().out == "settings are valid\n"


def test_check_of_wrong_settings_ends_with_2(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SAMPLE_TABLE")
    with pytest.raises(SystemExit) as caught:
        read("--check")
    assert caught.value.code == 2


@pytest.mark.parametrize("text", ["90", "90.0", "PT90S", "PT1M30S", "00:01:30"])
def test_durations_are_seconds_or_iso_8601(text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SAMPLE_PATIENCE", text)
    assert read().patience == timedelta(seconds=90)


def test_a_duration_that_is_none_is_told_with_the_forms_that_are(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("SAMPLE_PATIENCE", "90 seconds")
    assert "SAMPLE_PATIENCE: is no duration; write seconds, as 90, or ISO 8601" in refusal(
        capsys
    )


def test_check_refuses_a_file_that_is_not_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("SAMPLE_FILE", str(tmp_path / "none"))
    monkeypatch.setenv("SAMPLE_FOLDER", str(tmp_path / "made-later"))
    assert read().file == tmp_path / "none"  # it may come before it is read
    with pytest.raises(SystemExit) as caught:
        read("--check")
    assert caught.value.code == 2
    assert "wrong settings: SAMPLE_FILE: No such file or directory\n" in capsys.readouterr().err


def test_help_shows_defaults_as_they_would_be_set_and_what_fields_are_for(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(SystemExit):
        read("--help")
    text = capsys.readouterr().out
    shown = dict(re.findall(r"(?m)^  (SAMPLE_\w+)  \(default (.*)\)$", text))
    for name in ("PATIENCE", "PORTS", "NAME", "FAIR", "RUNTIMES", "GRPC_PORT"):
        field = name.lower()
        default = getattr(read(), field)
        monkeypatch.setenv(f"SAMPLE_{name}", shown[f"SAMPLE_{name}"])
        assert getattr(read(), field) == default
    assert "SAMPLE_FOLDER  (not set by default)" in text
    assert "\n      How long it waits; not for ever.\n" in text


def test_help_lists_every_variable_with_its_default(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv("SAMPLE_TABLE")
    with pytest.raises(SystemExit) as caught:
        read("--help")
    assert caught.value.code == 0
    text = capsys.readouterr().out
    assert "SAMPLE_TABLE  (required)" in text
    assert "SAMPLE_GRPC_PORT  (default 50051)" in text
    assert all(f"SAMPLE_{name.upper()}" in text for name in Sample.model_fields)
    assert "None" not in text
