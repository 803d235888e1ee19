"""The commands that speak to a REST API, against one that answers as the test says."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from darkroom_cli import terminal
from darkroom_cli.embedded.folder import Folder, Running
from darkroom_cli.main import app
from servicekit.listen import free_port

UID = "01M82WD9X0AAAAAAAAAAAAAAAA"
TASK_ID = "a-name-that-is-long-enough-to-be-cut-in-a-narrow-terminal"
KEY = "key-of-the-test"


@dataclass
class Server:
    """A REST API; `answers` are its bodies by method and path, or make them."""

    url: str = ""
    answers: dict[str, Any] = field(default_factory=dict)
    asked: list[tuple[str, dict[str, str], Any]] = field(default_factory=list)


@pytest.fixture
def server() -> Iterator[Server]:
    made = Server()

    class Handler(BaseHTTPRequestHandler):
        def answer(self) -> None:
            length = int(self.headers.get("content-length", 0))
            sent = json.loads(self.rfile.read(length)) if length else None
            asked = f"{self.command} {self.path}"
            headers = {name.lower(): value for name, value in self.headers.items()}
            made.asked.append((asked, headers, sent))
            body = made.answers.get(asked)
            body = body() if callable(body) else body
            text = body if isinstance(body, bytes) else json.dumps(body).encode()
            self.send_response(200 if body is not None else 404)
            self.send_header("content-length", str(len(text)))
            self.end_headers()
            self.wfile.write(text)

        do_GET = do_POST = do_DELETE = answer  # noqa: N815  # the base class names them

        def log_message(self, *_: object) -> None:
            pass

    with serving(Handler) as made.url:
        yield made


@contextmanager
def serving(handler: type[BaseHTTPRequestHandler]) -> Iterator[str]:
    listening = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    thread = Thread(target=listening.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{listening.server_port}"
    listening.shutdown()
    listening.server_close()
    thread.join()


@pytest.fixture
def key_file(tmp_path: Path) -> Path:
    file = tmp_path / "art.key"
    file.write_text(f"{KEY}\n")
    return file


def call(*arguments: object, stdin: str | None = None) -> Result:
    return CliRunner().invoke(app, [str(each) for each in arguments], input=stdin)


def remote(server: Server, key_file: Path) -> tuple[object, ...]:
    return ("--endpoint", f"{server.url}/dev", "--api-key-file", key_file)


def task(**changes: Any) -> dict[str, Any]:
    return {
        "uid": UID,
        "id": TASK_ID,
        "runtime": "canvas",
        "state": "completed",
        "attempt": 1,
        "created_at": "2026-01-01T00:00:00.000Z",
        "image_url": ["s3://elsewhere/a.png"],
        "error": None,
        **changes,
    }


def runtime(server: Server, kind: str) -> None:
    listed = {"runtimes": [{"name": "canvas", "type": kind}]}
    server.answers["GET /dev/v1/runtimes"] = listed
    server.answers["POST /dev/v1alpha2"] = {"uid": UID, "id": TASK_ID}


def sent(server: Server) -> Any:
    (body,) = [body for asked, _, body in server.asked if asked == "POST /dev/v1alpha2"]
    return body


def test_every_command_reaches_the_stack_at_an_endpoint(server: Server, key_file: Path) -> None:
    server.answers = {
        f"GET /dev/v1/tasks/{UID}": task(),
        f"DELETE /dev/v1/tasks/{UID}": task(state="cancelled"),
        "GET /dev/v1/tasks?limit=20": {"tasks": [task()]},
        "GET /dev/v1/models": {"models": []},
        "GET /dev/v1/dead-letters?limit=200": {"dead_letters": []},
    }
    where = remote(server, key_file)

    assert json.loads(call("status", UID, *where).stdout)["uid"] == UID
    assert json.loads(call("cancel", UID, *where).stdout)["state"] == "cancelled"
    assert json.loads(call("tasks", "--json", *where).stdout) == [task()]
    assert json.loads(call("models", "list", "--json", *where).stdout) == []
    assert json.loads(call("dlq", "list", "--json", *where).stdout) == []
    watched = call("watch", UID, *where)
    assert (watched.exit_code, watched.stderr.count("answered 404")) == (1, 1)
    assert server.asked[-1][0] == f"GET /dev/v1/tasks/{UID}/events"
    assert {headers["x-api-key"] for _, headers, _ in server.asked} == {KEY}


def test_key_may_be_in_the_environment(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    server.answers[f"GET /v1/tasks/{UID}"] = task()
    monkeypatch.setenv("DARKROOM_API_KEY", KEY)

    assert call("status", UID, "--endpoint", server.url).exit_code == 0
    assert server.asked[0][1]["x-api-key"] == KEY


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (("--endpoint", "http://127.0.0.1:1"), "--endpoint needs an API key"),
        (("--endpoint", "ftp://x"), "is no http:// or https:// URL"),
        (("--endpoint", "http://x:99999"), "is no http:// or https:// URL"),
        (("--api-key-file", "x"), "--api-key-file needs --endpoint"),
        (("--endpoint", "http://x", "--api-key-file", "none"), "No such file"),
        (("--endpoint", "http://x", "--api-key-file", "/dev/null"), "is no API key"),
    ],
)
def test_endpoint_that_cannot_be_asked_is_one_sentence(
    arguments: tuple[str, ...], reason: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("DARKROOM_API_KEY", raising=False)

    done = call("status", UID, *arguments)

    assert done.exit_code == 1
    assert reason in done.stderr
    assert done.stderr.count("\n") == 1


@pytest.mark.parametrize("name", ["first/events", "../../v1/runtimes", "..", "a?limit=1", ""])
@pytest.mark.parametrize("command", ["status", "watch", "cancel"])
def test_name_that_no_task_can_have_is_not_asked_for(
    command: str, name: str, server: Server, key_file: Path
) -> None:
    done = call(command, *remote(server, key_file), "--", name)

    assert done.exit_code == 1
    assert f"'{name}' is no name of a task" in done.stderr
    assert server.asked == []


def test_answer_that_is_no_json_is_one_sentence(server: Server, key_file: Path) -> None:
    server.answers[f"GET /dev/v1/tasks/{UID}"] = b"<html>"

    done = call("status", UID, *remote(server, key_file))

    assert (done.exit_code, "is no Darkroom" in done.stderr) == (1, True)


def test_watch_says_as_other_commands_do_that_nothing_answers(tmp_path: Path) -> None:
    folder = Folder(tmp_path)
    gone = Running(
        endpoint=f"http://127.0.0.1:{free_port()}", grpc="x", api_key="k", result_topic_arn="a",
        bucket="b", model_bucket="m", claim_bucket="c", queues={}, aws_endpoint_url=None,
    )  # fmt: skip
    folder.write_running(gone)

    status = call("status", UID, "--data-dir", tmp_path)
    watch = call("watch", UID, "--data-dir", tmp_path)

    assert "cannot be reached: ConnectError" in status.stderr
    assert watch.stderr.splitlines()[-1] == status.stderr.splitlines()[-1]


def test_checkpoint_is_asked_for_in_the_way_of_the_runtime(
    server: Server, key_file: Path
) -> None:
    words = ("--prompt", "a fox", "--checkpoint", "own.safetensors", *remote(server, key_file))
    runtime(server, "comfyui")
    assert call("submit", *words).exit_code == 0
    graph = sent(server)["task"]["content"]["prompt"]
    assert graph["4"]["inputs"] == {"ckpt_name": "own.safetensors"}

    server.asked.clear()
    runtime(server, "sdwebui")
    assert call("submit", *words).exit_code == 0
    scripts = sent(server)["task"]["content"]["alwayson_scripts"]
    assert scripts == {"sd_model_checkpoint": "own.safetensors"}


@pytest.mark.parametrize("from_stdin", [True, False])
def test_body_is_sent_as_it_is(
    from_stdin: bool, server: Server, key_file: Path, tmp_path: Path
) -> None:
    runtime(server, "invokeai")
    body = {"task": {"metadata": {"id": "x", "runtime": "canvas"}, "content": {"graph": {}}}}
    file = tmp_path / "task.json"
    file.write_text(json.dumps(body))
    named = "-" if from_stdin else file

    done = call("submit", "--body", named, *remote(server, key_file), stdin=json.dumps(body))

    assert done.exit_code == 0
    assert [asked for asked, _, _ in server.asked] == ["POST /dev/v1alpha2"]
    assert sent(server) == body


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        ((), "either --prompt TEXT or --body FILE.json"),
        (("--prompt", "x", "--body", "-"), "either --prompt TEXT or --body FILE.json"),
        (("--body", "-", "--size", "64"), "--body is a whole request"),
        (("--body", "none.json"), "none.json: No such file"),
        (("--body", "-"), "-: is no JSON: "),
    ],
)
def test_request_that_is_none_is_one_sentence(
    arguments: tuple[str, ...], reason: str, server: Server, key_file: Path
) -> None:
    done = call("submit", *arguments, *remote(server, key_file), stdin="{")

    assert done.exit_code == 1
    assert reason in done.stderr
    assert server.asked == []


def test_graph_by_itself_is_the_content_of_a_pipeline(server: Server, key_file: Path) -> None:
    runtime(server, "comfyui")
    graph = {"3": {"class_type": "KSampler", "inputs": {}}}
    named = ("--runtime", "canvas", "--id", "mine")

    done = call(
        "submit", "--body", "-", *named, *remote(server, key_file), stdin=json.dumps(graph)
    )

    assert done.exit_code == 0
    metadata = {"id": "mine", "runtime": "canvas", "tasktype": "pipeline"}
    assert sent(server) == {"task": {"metadata": metadata, "content": graph}}


@pytest.mark.parametrize(
    ("body", "words", "reason"),
    [
        ({"3": {"class_type": "KSampler"}}, (), "for a graph by itself say --runtime NAME"),
        ({"task": {}}, ("--runtime", "canvas"), "runtime and id belong in it"),
    ],
)
def test_graph_needs_its_runtime_and_a_request_has_it(
    body: dict[str, Any], words: tuple[str, ...], reason: str, server: Server, key_file: Path
) -> None:
    done = call(
        "submit", "--body", "-", *words, *remote(server, key_file), stdin=json.dumps(body)
    )

    assert done.exit_code == 1
    assert reason in done.stderr
    assert server.asked == []


def test_invokeai_runtime_says_how_it_takes_a_graph(server: Server, key_file: Path) -> None:
    runtime(server, "invokeai")

    done = call("submit", "--prompt", "x", *remote(server, key_file))

    assert (done.exit_code, "see --body" in done.stderr) == (1, True)


def test_failure_for_the_default_checkpoint_names_the_option(
    server: Server, key_file: Path
) -> None:
    runtime(server, "comfyui")
    message = "ckpt_name: 'v1-5-pruned-emaonly.safetensors' not in ['own.safetensors']"
    error = {"code": "invalid_input", "message": message}
    server.answers[f"GET /dev/v1/tasks/{UID}"] = task(state="failed", error=error)

    done = call("submit", "--prompt", "x", "--wait", *remote(server, key_file))

    assert "--checkpoint NAME asks for another" in done.stderr


def test_wait_tells_the_uid_at_once_and_downloads_by_link(
    server: Server, key_file: Path, tmp_path: Path
) -> None:
    runtime(server, "sdwebui")
    server.answers |= {
        f"GET /dev/v1/tasks/{UID}": task(),
        f"GET /dev/v1/tasks/{UID}?links=600": task(links=[f"{server.url}/a.png?signed"]),
        "GET /a.png?signed": b"pixels",
    }

    done = call(
        "submit", "--prompt", "x", "--out", tmp_path / "a.png", *remote(server, key_file)
    )

    assert done.stderr.splitlines() == [f"uid {UID}", f"wrote {tmp_path / 'a.png'}"]
    assert (tmp_path / "a.png").read_bytes() == b"pixels"
    assert "x-api-key" not in server.asked[-1][1]  # the link's server is another one


def test_uid_is_told_before_the_wait(server: Server, key_file: Path) -> None:
    runtime(server, "sdwebui")

    done = call("submit", "--prompt", "x", "--wait", *remote(server, key_file))

    assert done.stderr.splitlines() == [f"uid {UID}", "darkroom: the endpoint answered 404"]


def test_wait_tells_why_the_runtime_of_a_stack_takes_no_task(
    server: Server, tmp_path: Path
) -> None:
    def shown() -> dict[str, Any]:
        asked = [path for path, _, _ in server.asked]
        enough = asked.count("GET /readyz") > 1 or len(asked) > 40
        return task(state="completed" if enough else "queued")

    stack = Running(
        endpoint=server.url, grpc="x", api_key="k", result_topic_arn="a", bucket="b",
        model_bucket="m", claim_bucket="c", queues={}, aws_endpoint_url=None,
        readiness={"canvas": f"{server.url}/readyz"},
    )  # fmt: skip
    Folder(tmp_path).write_running(stack)
    server.answers = {
        "GET /v1/runtimes": {"runtimes": [{"name": "canvas", "type": "sdwebui"}]},
        "POST /v1alpha2": {"uid": UID, "id": TASK_ID, "runtime": "canvas"},
        f"GET /v1/tasks/{UID}": shown,
    }

    done = call("submit", "--prompt", "x", "--wait", "--data-dir", tmp_path)

    said = [f"uid {UID}", "runtime canvas: answers 404; its tasks wait"]
    assert (done.exit_code, done.stderr.splitlines()) == (0, said)


def test_count_hands_in_one_task_for_each_seed(server: Server, key_file: Path) -> None:
    runtime(server, "sdwebui")
    many = ("--count", 3, "--seed-from", 5, "--id", "fox")

    done = call("submit", "--prompt", "a fox", *many, *remote(server, key_file))

    bodies = [body["task"] for asked, _, body in server.asked if asked.startswith("POST")]
    seeds = {body["metadata"]["id"]: body["content"]["seed"] for body in bodies}
    assert seeds == {"fox-1": 5, "fox-2": 6, "fox-3": 7}
    assert [each["uid"] for each in json.loads(done.stdout)] == [UID] * 3


def test_tasks_of_one_count_have_different_seeds_and_names(
    server: Server, key_file: Path
) -> None:
    runtime(server, "comfyui")

    assert (
        call("submit", "--prompt", "x", "--count", 4, *remote(server, key_file)).exit_code == 0
    )

    bodies = [body["task"] for asked, _, body in server.asked if asked.startswith("POST")]
    samplers = [body["content"]["prompt"]["3"]["inputs"] for body in bodies]
    assert len({sampler["seed"] for sampler in samplers}) == 4
    assert len({body["metadata"]["id"] for body in bodies}) == 4


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (("--body", "-", "--count", 2), "--body is a whole request"),
        (("--body", "-", "--seed-from", 2), "--body is a whole request"),
        (("--prompt", "x", "--count", 2, "--out", "x.png"), "--out is one file"),
        (("--prompt", "x", "--dir", "x", "--out", "x.png"), "--out is one file"),
        (("--prompt", "x", "--count", 2, "--seed", 1), "--seed is of one task"),
        (("--prompt", "x", "--seed-from", 2, "--seed", 1), "--seed is of one task"),
    ],
)
def test_options_of_one_task_and_of_many_do_not_mix(
    arguments: tuple[object, ...], reason: str, server: Server, key_file: Path
) -> None:
    done = call("submit", *arguments, *remote(server, key_file), stdin="{}")

    assert (done.exit_code, reason in done.stderr) == (1, True)
    assert server.asked == []


def test_stack_that_is_not_reached_has_a_status_of_its_own(
    server: Server, key_file: Path
) -> None:
    nobody = ("--endpoint", f"http://127.0.0.1:{free_port()}", "--api-key-file", key_file)

    assert call("tasks", *nobody).exit_code == 3
    assert call("tasks", *remote(server, key_file)).exit_code == 1  # it answers 404


def test_shell_is_told_which_commands_there_are() -> None:
    words = {
        "_DARKROOM_COMPLETE": "complete_bash",
        "COMP_WORDS": "darkroom su",
        "COMP_CWORD": "1",
    }
    ended = subprocess.run(
        [sys.executable, "-m", "darkroom_cli.main"],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path), **words},
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )

    assert ended.stdout.split() == ["submit"]


def test_names_are_whole_in_a_narrow_terminal(
    server: Server, key_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    error = {"code": "runtime_failed", "message": "one two three four five six seven " * 5}
    server.answers["GET /dev/v1/tasks?limit=20"] = {"tasks": [task(error=error)]}
    models = [{"kind": "Lora", "name": TASK_ID, "bytes": 1, "format": "x", "problem": None}]
    server.answers["GET /dev/v1/models"] = {"models": models}
    monkeypatch.setattr(terminal.out, "width", 80)

    tasks = call("tasks", *remote(server, key_file)).stdout
    listed = call("models", "list", *remote(server, key_file)).stdout

    assert tasks.splitlines()[1].startswith(f"{UID}  {TASK_ID}  canvas")
    assert "seven" in tasks
    assert TASK_ID in listed


@pytest.mark.parametrize(
    "command",
    ["submit", "status", "tasks", "verify", "models list", "models add", "models get"],
)
def test_help_has_an_example(command: str) -> None:
    text = " ".join(call(*command.split(), "--help").stdout.split())

    assert f" darkroom {command}" in text.split("Example", 1)[1]
