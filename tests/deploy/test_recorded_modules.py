"""Modules whose calls the emulator lacks, against answers of AWS's documented form."""

from __future__ import annotations

from typing import Any

from modules import Modules
from recorded import Answers, recorded

INSTANCE = "i-0123456789abcdef0"
COMMAND = "0831e1a8-a1ac-4257-a1fd-c831bb4a3d5f"


ONLINE = {"InstanceInformationList": [{"InstanceId": INSTANCE, "PingStatus": "Online"}]}


def command(*statuses: str, **more: str) -> Answers:
    """The answers of a command that passes through these states."""
    absent = (400, {"__type": "InvocationDoesNotExist", "message": "not yet"})
    seen = [(200, {"CommandId": COMMAND, "Status": status, **more}) for status in statuses]
    return {
        "DescribeInstanceInformation": [(200, {"InstanceInformationList": []}), (200, ONLINE)],
        "SendCommand": [(200, {"Command": {"CommandId": COMMAND}})],
        "GetCommandInvocation": [absent, *seen],
        "CancelCommand": [(200, {})],
    }


def send(modules: Modules, **more: Any) -> dict[str, Any]:
    given = {"instance_id": INSTANCE, "commands": ["one", "two"], "poll_seconds": 0.01, **more}
    return modules.run("ssm_command", **given)


def test_command_waits_for_the_agent_and_for_its_end(modules: Modules) -> None:
    answers = command("Pending", "InProgress", "Success", StandardOutputContent="done\n")
    with recorded(answers) as aws:
        ended = send(modules.at(aws.url), wait_seconds=90)

    assert (ended["status"], ended["stdout"]) == ("Success", "done\n")
    (sent,) = aws.calls("SendCommand")
    assert sent["InstanceIds"] == [INSTANCE]
    assert sent["DocumentName"] == "AWS-RunShellScript"
    assert sent["Parameters"] == {
        "commands": ["set -e", "one", "two"],
        "executionTimeout": ["90"],
    }
    assert len(aws.calls("DescribeInstanceInformation")) == 2
    assert len(aws.calls("GetCommandInvocation")) == 4


def test_command_that_fails_is_told_with_what_it_printed(modules: Modules) -> None:
    answers = command("Failed", StatusDetails="NonZeroExitCode", StandardErrorContent="no disk")
    with recorded(answers) as aws:
        ended = send(modules.at(aws.url), fails=True)

    assert ended["msg"] == f"the command on {INSTANCE} ended with NonZeroExitCode: no disk"


def test_agent_that_is_never_online_is_told_with_what_to_look_at(modules: Modules) -> None:
    silent: Answers = {"DescribeInstanceInformation": [(200, {"InstanceInformationList": []})]}
    with recorded(silent) as aws:
        ended = send(modules.at(aws.url), fails=True, online_seconds=0)

    assert "AmazonSSMManagedInstanceCore" in ended["msg"]


def test_check_sends_no_command(modules: Modules) -> None:
    with recorded({}) as aws:
        assert send(modules.at(aws.url), check=True)["changed"] is True

    assert not aws.asked
