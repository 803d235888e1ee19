"""`darkroom models get`: the list, the licence, and where a model goes."""

from __future__ import annotations

import asyncio
import hashlib
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from model_server import ModelServer, Served, running, weights
from typer.testing import CliRunner, Result

from awsio import clients
from contracts.ids import new_uid
from darkroom_cli.commands import models_get
from darkroom_cli.embedded.folder import Folder, Running
from darkroom_cli.main import app
from darkroom_cli.models import known
from darkroom_cli.models.known import KNOWN, KnownModel

TOKEN = "a-token-that-nobody-sees"  # noqa: S105  # of the test's own server
CONTENT = weights()
SUM = hashlib.sha256(CONTENT).hexdigest()
KEY = "Stable-diffusion/tiny.safetensors"
TINY = KnownModel(
    name="tiny",
    use="nothing",
    repository="art/tiny",
    revision="abc",
    file="tiny.safetensors",
    size_bytes=len(CONTENT),
    sha256=SUM,
    licence="Art Licence",
    licence_url="https://models.example/licence",
    to_accept=True,
    sources=("here",),
)


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch) -> Iterator[ModelServer]:
    """A hub that has the only well-known model."""
    with running() as served:
        served.files["/art/tiny/resolve/abc/tiny.safetensors"] = Served(content=CONTENT)
        monkeypatch.setenv("HF_ENDPOINT", served.url)
        monkeypatch.setattr(known, "KNOWN", (TINY,))
        yield served


def get(*arguments: object, stdin: str | None = None) -> Result:
    given = ["models", "get", *map(str, arguments)]
    return CliRunner().invoke(app, given, input=stdin)


def brought(*arguments: object) -> dict[str, Any]:
    done = get(*arguments, "--accept-licence", "--json")
    assert done.exit_code == 0, done.stderr
    told: dict[str, Any] = json.loads(done.stdout)
    return told


@pytest.mark.parametrize("arguments", [(), ("--list",)])
def test_list_has_everything_that_one_wants_to_know_first(arguments: tuple[str, ...]) -> None:
    shown = get(*arguments).stdout

    for each in KNOWN:
        facts = (each.name, each.use, each.licence, each.licence_url, each.page, each.sha256)
        assert [fact for fact in facts if fact not in shown] == []
        assert f"{each.size_bytes / 10**9:.1f} GB" in shown
    assert [each["name"] for each in json.loads(get("--json").stdout)] == [
        each.name for each in KNOWN
    ]


def test_well_known_models_never_change_and_have_sources() -> None:
    for each in KNOWN:
        assert re.fullmatch("[0-9a-f]{64}", each.sha256)
        assert re.fullmatch("[0-9a-f]{40}", each.revision)
        assert len(each.sources) >= 2


def test_licence_that_asks_for_it_has_to_be_accepted(hub: ModelServer, tmp_path: Path) -> None:
    refused = get("tiny", "--to", tmp_path)

    assert refused.exit_code == 1
    assert refused.stderr.splitlines()[-1] == (
        "darkroom: tiny has the Art Licence: read https://models.example/licence"
        " and say --accept-licence"
    )
    assert (hub.asked, list(tmp_path.iterdir())) == ([], [])


def test_licence_is_asked_for_on_a_terminal(
    hub: ModelServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(models_get, "_may_ask", lambda: True)

    refused, accepted = (get("tiny", "--to", tmp_path, stdin=said) for said in ("n\n", "y\n"))

    assert refused.stderr.splitlines()[-1].endswith("tiny: its licence was not accepted")
    assert accepted.stdout.endswith(f"{tmp_path / KEY}\n")


def test_model_in_a_folder_needs_no_stack(hub: ModelServer, tmp_path: Path) -> None:
    made, again = (brought("tiny", "--to", tmp_path) for _ in range(2))

    assert made == {"url": str(tmp_path / KEY), "changed": True, "size_bytes": len(CONTENT)}
    assert again == {**made, "changed": False}
    assert (tmp_path / KEY).read_bytes() == CONTENT


def test_stack_that_does_not_run_has_the_model_later(hub: ModelServer, tmp_path: Path) -> None:
    made, again = (brought("tiny", "--data-dir", tmp_path) for _ in range(2))

    url = f"s3://darkroom-models/{KEY}"
    assert made == {"url": url, "changed": True, "size_bytes": len(CONTENT)}
    assert again == {**made, "changed": False}
    bucket = tmp_path / "aws/objects/000000000000/darkroom-models"
    assert (bucket / KEY).read_bytes() == CONTENT
    assert _files(tmp_path / "downloads") == []


def test_sample_of_that_name_in_a_stack_is_replaced(hub: ModelServer, tmp_path: Path) -> None:
    sample = tmp_path / "aws/objects/000000000000/darkroom-models" / KEY
    sample.parent.mkdir(parents=True)
    sample.write_bytes(b"sample")

    assert brought("tiny", "--data-dir", tmp_path)["changed"]
    assert sample.read_bytes() == CONTENT


def test_stack_that_was_started_meanwhile_has_the_model_with_the_next_run(
    hub: ModelServer, tmp_path: Path
) -> None:
    with Folder(tmp_path).locked():
        refused = get("tiny", "--accept-licence", "--data-dir", tmp_path)

    copy = tmp_path / "downloads" / KEY
    assert refused.exit_code == 1
    assert refused.stderr.rstrip().endswith(f"; run it again to store {copy}")
    assert copy.read_bytes() == CONTENT


@pytest.fixture
def bucket(aws: str) -> str:
    name = f"models-{new_uid().lower()}"
    asyncio.run(_call("create_bucket", Bucket=name))
    return name


@pytest.mark.parametrize("runs", [True, False], ids=["of the running stack", "that is named"])
def test_model_in_a_bucket_leaves_no_copy(
    hub: ModelServer, tmp_path: Path, aws: str, bucket: str, runs: bool
) -> None:
    place: tuple[object, ...] = ("--bucket", bucket)
    if runs:
        _run_in(tmp_path, aws, bucket)
        place = ()

    made, again = (brought("tiny", *place, "--data-dir", tmp_path) for _ in range(2))

    assert made["url"] == f"s3://{bucket}/{KEY}"
    assert (made["changed"], again["changed"]) == (True, False)
    head = asyncio.run(_call("head_object", Bucket=bucket, Key=KEY))
    origin = f"{hub.url}/art/tiny/resolve/abc/tiny.safetensors"
    assert head["Metadata"] == {"darkroom-source": origin}
    assert _files(tmp_path / "downloads") == []


def test_model_of_a_bucket_goes_on_where_it_was(
    hub: ModelServer, tmp_path: Path, bucket: str
) -> None:
    where = ("--bucket", bucket, "--data-dir", tmp_path)
    copy = tmp_path / "downloads/Stable-diffusion/tiny.safetensors"
    copy.parent.mkdir(parents=True)
    copy.write_bytes(CONTENT)

    assert brought("tiny", *where)["changed"]

    assert len(hub.asked) == 1  # it was looked at, and not fetched
    assert _files(tmp_path / "downloads") == []


def test_add_takes_the_hub_and_a_sum(
    hub: ModelServer, bucket: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_TOKEN", TOKEN)
    hub.files["/art/tiny/resolve/abc/tiny.safetensors"].token = TOKEN
    hub.files["/art/tiny/resolve/abc/tiny.safetensors"].breaks = [1000]
    given = ["models", "add", "hf:art/tiny@abc/tiny.safetensors", "--bucket", bucket]

    refused = CliRunner().invoke(app, [*given, "--sha256", "0" * 64])
    added = CliRunner().invoke(app, [*given, "--sha256", SUM.upper()])

    assert f"its sha256 is {SUM}, not {'0' * 64}" in refused.stderr
    assert added.stdout == f"s3://{bucket}/{KEY}\n"
    assert "bytes=1000-" in hub.ranges()
    assert TOKEN not in refused.output + added.output


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (("sd16",), "sd16: is none of tiny, and neither a URL nor hf:OWNER/NAME/FILE"),
        (("hf:art/a.pth",), "hf:art/a.pth: must look like hf:OWNER/NAME/FILE"),
        (("tiny", "--to", ".", "--bucket", "art"), "choose either --to or --bucket"),
        (("https://models.example/a.pth", "--sha256", "0"), "a sha256 must be 64 hexadecimal"),
        (("https://[models/a.pth",), "the source is no URL"),
        (("https://models.example/",), "the name '' must be one name without /"),
        (("https://models.example/a.pth", "--headers-file", "/none"), "--headers-file /none: "),
    ],
)
def test_bad_input_is_one_sentence(
    hub: ModelServer, arguments: tuple[str, ...], reason: str
) -> None:
    refused = get(*arguments)

    assert refused.exit_code == 1
    assert refused.stderr.startswith(f"darkroom: {reason}")
    assert refused.stderr.count("\n") == 1


def test_token_that_cannot_be_sent_is_not_shown(
    hub: ModelServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_TOKEN", f"{TOKEN} x")

    refused = get("hf:art/tiny/a.pth")

    assert refused.stderr == "darkroom: HF_TOKEN: is no token of the hub\n"


def _run_in(path: Path, aws: str, bucket: str) -> None:
    path.mkdir(exist_ok=True)
    Folder(path).write_running(
        Running(
            endpoint="http://127.0.0.1:1", grpc="127.0.0.1:1", api_key="key",
            result_topic_arn="arn", bucket="output", model_bucket=bucket, claim_bucket="claims",
            queues={}, aws_endpoint_url=aws,
        )
    )  # fmt: skip


def _files(folder: Path) -> list[Path]:
    return [path for path in folder.rglob("*") if path.is_file()]


async def _call(name: str, **arguments: Any) -> dict[str, Any]:
    async with clients.s3() as s3:
        answer: dict[str, Any] = await getattr(s3, name)(**arguments)
        return answer
