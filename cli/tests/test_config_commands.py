"""`darkroom config`, `init` and `cost`, as they are called."""

from __future__ import annotations

import json
import shutil
from decimal import Decimal
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from darkroom_cli.main import app
from deployment import reference, schema

GOLDEN = Path("tests/contract/golden/config.yaml")
WRONG = """\
stackName: art
modelBucketArn: arn:aws:s3:::models
modelsRuntime:
- name: painter
  type: sdwebiu
"""


@pytest.fixture(autouse=True)
def _no_region(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("AWS_REGION", "AWS_DEFAULT_REGION"):
        monkeypatch.delenv(name, raising=False)


def call(*arguments: object) -> Result:
    return CliRunner().invoke(app, [str(each) for each in arguments])


def written(folder: Path, text: str) -> Path:
    file = folder / "config.yaml"
    file.write_text(text)
    return file


def test_good_file_ends_with_0_and_warnings_are_apart() -> None:
    done = call("config", "check", GOLDEN, "--region", "us-east-1")

    assert done.exit_code == 0
    assert done.stdout == f"{GOLDEN} may be deployed\n"
    (line,) = done.stderr.splitlines()
    assert line.startswith(
        f"warning: {GOLDEN}:22: modelsRuntime[0].extraValues.runtime.queueAgent"
    )


def test_wrong_file_ends_with_1_and_one_line_for_each_error(tmp_path: Path) -> None:
    file = written(tmp_path, WRONG)

    done = call("config", "check", file)

    assert done.exit_code == 1
    assert done.stdout == (
        f"{file}:5: modelsRuntime[0].type: found 'sdwebiu'; "
        "allowed: sdwebui, comfyui or invokeai (did you mean sdwebui?)\n"
    )


def test_findings_are_json_for_programs(tmp_path: Path) -> None:
    done = call("config", "check", written(tmp_path, WRONG), "--json")

    assert done.exit_code == 1
    assert json.loads(done.stdout) == [
        {
            "key": "modelsRuntime[0].type",
            "found": "'sdwebiu'",
            "allowed": "sdwebui, comfyui or invokeai (did you mean sdwebui?)",
            "level": "error",
            "line": 5,
            "text": "modelsRuntime[0].type: found 'sdwebiu'; "
            "allowed: sdwebui, comfyui or invokeai (did you mean sdwebui?)",
        }
    ]


def test_region_decides_the_partition(monkeypatch: pytest.MonkeyPatch) -> None:
    assert call("config", "check", GOLDEN, "--region", "cn-north-1").exit_code == 1

    monkeypatch.setenv("AWS_REGION", "cn-north-1")
    assert call("config", "check", GOLDEN).exit_code == 1


def test_file_that_is_too_large_is_not_read_whole() -> None:
    done = call("config", "check", "/dev/zero")

    assert done.exit_code == 1
    assert "found more than 262144 bytes" in done.stdout


def test_schema_and_reference_are_printed() -> None:
    assert call("config", "schema").stdout == schema.text()
    assert call("config", "reference").stdout == reference.page()


def test_written_file_is_checked_and_kept(tmp_path: Path) -> None:
    file = tmp_path / "config.yaml"
    options = ("-n", "Art", "-R", "cn-north-1", "-b", "models", "-s", "snap-01234567")

    done = call("init", *options, "-r", "painter", "-t", "comfyui", "--output", file)

    assert done.exit_code == 0
    text = file.read_text()
    assert "modelBucketArn: arn:aws-cn:s3:::models" in text
    assert "snapshotID: snap-01234567" in text
    assert "type: comfyui" in text
    checked = call("config", "check", file, "--region", "cn-north-1")
    assert checked.exit_code == 0


def test_init_says_as_json_what_it_wrote(tmp_path: Path) -> None:
    file = tmp_path / "config.yaml"
    given = ("init", "--stack-name", "Art", "--bucket", "models", "--output", file, "--json")

    tried = json.loads(call(*given, "--dry-run").stdout)
    assert tried["file"] is None
    assert not file.exists()
    told = json.loads(call(*given).stdout)
    assert told == {**tried, "file": str(file)}
    assert (told["stack_name"], told["bucket"], told["runtime"]) == (
        "Art",
        "models",
        "sdruntime",
    )
    assert file.read_text() == told["text"]


def test_file_that_is_there_is_replaced_only_by_force(tmp_path: Path) -> None:
    file = written(tmp_path, "mine\n")

    refused = call("init", "--output", file)
    assert (refused.exit_code, file.read_text()) == (1, "mine\n")
    assert "--force replaces it" in refused.stderr
    assert call("init", "--output", file, "--force").exit_code == 0
    assert file.read_text().startswith("# Darkroom's configuration")


def test_dry_run_prints_and_writes_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)

    done = call("init", "--dry-run")

    assert done.exit_code == 0
    assert "stackName: sdoneks" in done.stdout
    assert "arn:aws:s3:::sdoneks-models-" in done.stdout
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        (("--stack-name", "my_stack"), "stackName: found 'my_stack'"),
        (("--runtime-name", "a.b"), "modelsRuntime[0].name: found 'a.b'"),
        (("--bucket", "a/b"), "modelBucketArn: found 'arn:aws:s3:::a/b'"),
        (("--snapshot", "vol-1"), "snapshotID: found 'vol-1'"),
        (("--stack-name", "x\nmodelsRuntime: []"), "stackName: found 'x\\nmodelsRuntime: []'"),
    ],
)
def test_options_that_make_no_configuration_are_refused(
    options: tuple[str, str], reason: str, tmp_path: Path
) -> None:
    done = call("init", *options, "--output", tmp_path / "config.yaml")

    assert done.exit_code == 1
    assert reason in done.stderr
    assert list(tmp_path.iterdir()) == []


def test_folder_that_cannot_be_written_is_one_sentence(tmp_path: Path) -> None:
    done = call("init", "--output", tmp_path / "none" / "config.yaml")

    assert done.exit_code == 1
    assert done.stderr.endswith("config.yaml: No such file or directory\n")


def test_cost_shows_the_guide_and_what_is() -> None:
    done = call(
        "cost", "--images", 1_000_000, "--seconds-per-image", 1.5, "--spot-price", 0.4968,
        "--utilisation", 1.0,
    )  # fmt: skip

    assert done.exit_code == 0
    assert "| Amazon EC2 | g5.2xlarge, Spot, hours | 416.67 | 0.4968 | 207.00 | 207.00 |" in (
        done.stdout
    )
    assert "| **together** |  |  |  | **436.42** | **436.93** |" in done.stdout
    assert "Its text says 436.72" in done.stdout
    assert "| NAT gateways | hours | 2,190 | 0.045 | 98.55 |" in done.stdout


def test_cost_is_json_for_programs() -> None:
    month = json.loads(call("cost", "--json").stdout)
    assert (month["currency"], month["images"]) == ("USD", "1000000")
    assert month["guide"]["total"] == "436.93"
    nat = next(line for line in month["lines"] if line["service"] == "NAT gateways")
    assert (nat["what"], nat["quantity"], nat["total"]) == ("hours", "2190", "98.55")
    assert sum(Decimal(line["total"]) for line in month["lines"]) == Decimal(month["total"])

    rates = json.loads(call("cost", "--per-minute", 30, "--per-minute", 600, "--json").stdout)
    assert [rate["images_a_minute"] for rate in rates] == ["30", "600"]
    assert [rate["gpu_nodes"] for rate in rates] == [1, 19]


def test_prices_are_options_or_a_file(tmp_path: Path) -> None:
    listed = call("cost", "--show-prices", "--price", "nat_hour=1")
    (tmp_path / "prices.json").write_text(listed.stdout)

    done = call("cost", "--prices", tmp_path / "prices.json")

    assert "| NAT gateways | hours | 2,190 | 1.00 | 2,190.00 |" in done.stdout
    assert "Its text says" not in done.stdout


def test_rates_are_columns() -> None:
    done = call("cost", "--per-minute", 30, "--per-minute", 600, "--utilisation", 0.5)

    assert "| a minute | limit | 30 | 600 |" in done.stdout
    assert "| GPU nodes (g5.2xlarge) |  | 2 | 30 |" in done.stdout


@pytest.mark.parametrize(
    ("options", "status", "reason"),
    [
        (("--images", "many"), 2, "many is no number"),
        (("--utilisation", "2"), 1, "utilisation: found 2; allowed: 0.0001 to 1"),
        (("--price", "moon=1"), 1, "moon is no price"),
        (("--price", "nat_hour"), 1, "the price nat_hour: found ''"),
        (("--per-minute", "0"), 1, "needs nothing"),
        (("--per-minute", "x"), 2, "x is no number"),
        (("--spot-price", "-1"), 1, "the price gpu_instance_hour: found -1"),
    ],
)
def test_figures_that_cannot_be_are_refused(
    options: tuple[str, str], status: int, reason: str
) -> None:
    done = call("cost", *options)

    assert done.exit_code == status
    assert reason in done.stderr


def test_price_list_that_is_none_is_one_sentence(tmp_path: Path) -> None:
    shutil.copy(GOLDEN, tmp_path / "prices.json")

    done = call("cost", "--prices", tmp_path / "prices.json")

    assert done.exit_code == 1
    assert done.stderr.startswith("darkroom: no price list")
