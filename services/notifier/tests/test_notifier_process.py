from __future__ import annotations

import pytest

from provisioning.emulator import CREDENTIALS
from servicekit.listen import HOST, free_port
from testkit.processes import run_module, running, terminate

MODULE = "notifier.main"


@pytest.fixture
def variables() -> dict[str, str]:
    """An environment that is complete."""
    return {
        **CREDENTIALS,
        "NOTIFIER_RESULT_TOPIC_ARN": "arn:aws:sns:us-east-1:000000000000:results",
        "NOTIFIER_TABLE": "ledger",
        "NOTIFIER_WEBHOOK_QUEUE_URL": "http://127.0.0.1:1/webhooks",
        "NOTIFIER_WEBHOOK_DEAD_LETTER_URL": "http://127.0.0.1:1/webhooks-dlq",
        "AWS_ENDPOINT_URL": "http://127.0.0.1:1",
        "NOTIFIER_GRPC_PORT": str(free_port()),
        "NOTIFIER_OPS_PORT": str(free_port()),
    }


def test_check_names_the_variable_that_is_missing(variables: dict[str, str]) -> None:
    del variables["NOTIFIER_TABLE"]
    ended = run_module(MODULE, "--check", variables=variables)
    assert ended.returncode == 2
    assert ended.stderr.endswith("wrong settings: NOTIFIER_TABLE: is not set\n")


def test_durations_may_be_plain_seconds(variables: dict[str, str]) -> None:
    variables["NOTIFIER_PROGRESS_INTERVAL"] = "10"
    ended = run_module(MODULE, "--check", variables=variables)
    assert (ended.returncode, ended.stdout) == (0, "settings are valid\n")


def test_a_missing_region_ends_the_process_with_1_and_one_sentence(
    variables: dict[str, str],
) -> None:
    del variables["AWS_REGION"], variables["AWS_DEFAULT_REGION"]
    ended = run_module(MODULE, variables={**variables, "AWS_CONFIG_FILE": "/none"})
    assert ended.returncode == 1
    sentence = ended.stderr.splitlines()[-1]
    assert sentence == "notifier: no AWS region is configured: set AWS_REGION"


async def test_the_process_ends_with_0_when_it_is_told_to_stop(
    variables: dict[str, str],
) -> None:
    address = f"{HOST}:{variables['NOTIFIER_GRPC_PORT']}"
    async with running(MODULE, address, variables=variables) as process:
        assert terminate(process) == 0
