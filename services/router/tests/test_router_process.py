from __future__ import annotations

import json
import socket
from pathlib import Path

import pytest
from router_fakes import RUNTIMES

from contracts.runtimes import RuntimesFile
from provisioning.emulator import CREDENTIALS
from servicekit.listen import HOST, free_port
from testkit.processes import run_module, running, terminate

MODULE = "router.main"


@pytest.fixture
def variables(tmp_path: Path) -> dict[str, str]:
    """An environment that is complete."""
    file = tmp_path / "runtimes.json"
    file.write_text(RuntimesFile(runtimes=RUNTIMES).model_dump_json())
    return {
        **CREDENTIALS,
        "ROUTER_RUNTIMES_FILE": str(file),
        "ROUTER_TASK_TOPIC_ARN": "arn:aws:sns:us-east-1:000000000000:tasks",
        "ROUTER_TABLE": "ledger",
        "ROUTER_OUTPUT_BUCKET": "output",
        "ROUTER_CLAIM_BUCKET": "claims",
        "ROUTER_QUEUE_PREFIX": "darkroom",
        "ROUTER_MODEL_SYNC_TARGET": f"{HOST}:{free_port()}",
        "ROUTER_NOTIFIER_TARGET": f"{HOST}:{free_port()}",
        "ROUTER_GRPC_PORT": str(free_port()),
        "ROUTER_OPS_PORT": str(free_port()),
    }


def test_check_names_every_variable_that_is_missing(variables: dict[str, str]) -> None:
    del variables["ROUTER_TABLE"], variables["ROUTER_TASK_TOPIC_ARN"]
    ended = run_module(MODULE, "--check", variables=variables)
    assert (ended.returncode, ended.stdout) == (2, "")
    assert ended.stderr.count("\n") == 1
    assert "ROUTER_TABLE: is not set" in ended.stderr
    assert "ROUTER_TASK_TOPIC_ARN: is not set" in ended.stderr


def test_check_of_complete_settings_ends_with_0(variables: dict[str, str]) -> None:
    ended = run_module(MODULE, "--check", variables=variables)
    assert (ended.returncode, ended.stdout) == (0, "settings are valid\n")


@pytest.mark.parametrize(
    ("text", "problem"),
    [(None, "No such file or directory"), ("{}", "Field required"), ("[", "Invalid JSON")],
)
def test_a_wrong_runtimes_file_ends_the_process_with_1_and_one_sentence(
    variables: dict[str, str], text: str | None, problem: str
) -> None:
    file = Path(variables["ROUTER_RUNTIMES_FILE"])
    file.unlink()
    if text is not None:
        file.write_text(text)
    ended = run_module(MODULE, variables=variables)
    assert ended.returncode == 1
    logged, sentence = ended.stderr.splitlines()
    assert json.loads(logged)["level"] == "CRITICAL"
    assert sentence.startswith("router: ROUTER_RUNTIMES_FILE: ")
    assert problem in sentence


def test_a_port_in_use_ends_the_process_with_1_and_one_sentence(
    variables: dict[str, str],
) -> None:
    with socket.socket() as holder:
        holder.bind((HOST, 0))
        holder.listen()
        variables["ROUTER_GRPC_PORT"] = str(holder.getsockname()[1])
        ended = run_module(MODULE, variables=variables)
    assert ended.returncode == 1
    sentence = ended.stderr.splitlines()[-1]
    address = f"{HOST}:{variables['ROUTER_GRPC_PORT']}"
    assert sentence == f"router: cannot listen on {address}: the address is in use"


async def test_the_process_ends_with_0_when_it_is_told_to_stop(
    variables: dict[str, str],
) -> None:
    address = f"{HOST}:{variables['ROUTER_GRPC_PORT']}"
    async with running(MODULE, address, variables=variables) as process:
        assert terminate(process) == 0
