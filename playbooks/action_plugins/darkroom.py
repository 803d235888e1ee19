"""Runs the `darkroom` command on the controller, and shows meanwhile what it tells.

The module `command` shows nothing before the end, half an hour later where a first node starts,
and has what it was given on standard input, such as headers with a token, in its result.
"""

from __future__ import annotations

import json
import os
import shlex
import shutil
import subprocess
import tempfile
from typing import Any

from ansible.errors import AnsibleActionFail
from ansible.plugins.action import ActionBase
from ansible.utils.display import Display

FAILURE = "darkroom: "  # begins each sentence on what is wrong


class ActionModule(ActionBase):  # type: ignore[misc]  # Ansible comes without types
    """`darkroom` as a task.

    `command` is the command, `arguments` what it is given, with `--json`; `stdin` is a text for
    it. In check mode `check_arguments` are added; without them nothing is run then. The result
    has what it printed as `answer`.
    """

    def run(
        self, tmp: str | None = None, task_vars: dict[str, Any] | None = None
    ) -> dict[str, Any]:
        """What the command answers."""
        super().run(tmp, task_vars)
        given = self._task.args
        arguments = [str(each) for each in given["arguments"]]
        if self._task.check_mode:
            if "check_arguments" not in given:
                return {"skipped": True, "skip_reason": "nothing is run in check mode"}
            arguments += given["check_arguments"]
        own: dict[str, str] = {}
        self._compute_environment_string(own)
        environment = {**os.environ, **{name: str(value) for name, value in own.items()}}
        words = found(given["command"], environment["PATH"])
        status, printed, sentences = ran([*words, *arguments], given.get("stdin"), environment)
        if status != 0:
            raise AnsibleActionFail("; ".join(sentences) or f"{given['command']}: {status}")
        return {"changed": False, "answer": json.loads(printed)}


def found(command: str, path: str) -> list[str]:
    """The words of a command with where it is; raises `AnsibleActionFail`."""
    program, *words = shlex.split(command)
    where = shutil.which(program, path=path)
    if where is None:
        raise AnsibleActionFail(
            f"there is no command {program}: install the wheel of Darkroom (README, On AWS), "
            "or say where it is with -e darkroom_command=PATH"
        )
    return [where, *words]


def ran(
    words: list[str], stdin: str | None, environment: dict[str, str]
) -> tuple[int, str, list[str]]:
    """Its status, what it printed, and its sentences on what is wrong; the rest is shown."""
    sentences = []
    with tempfile.TemporaryFile("w+") as source, tempfile.TemporaryFile("w+") as printed:
        source.write(stdin or "")
        source.seek(0)
        with subprocess.Popen(  # noqa: S603  # what the playbook's user names
            words,
            stdin=source,
            stdout=printed,
            stderr=subprocess.PIPE,
            text=True,
            env=environment,
        ) as process:
            for line in process.stderr or ():
                if line.startswith(FAILURE):
                    sentences.append(line.removeprefix(FAILURE).strip())
                else:
                    Display().display(line.rstrip())
        printed.seek(0)
        return process.returncode, printed.read(), sentences
