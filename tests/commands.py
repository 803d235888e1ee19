"""The `darkroom` command as a person runs it, to its end."""

from __future__ import annotations

import subprocess

from harness import command, environment

FAILURE_SECONDS = 300


def failed(*arguments: str) -> str:
    """Run a command that must fail, and give its one sentence."""
    ended = subprocess.run(
        command(*arguments),
        env=environment(),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=FAILURE_SECONDS,
        check=False,
    )
    assert ended.returncode == 1, ended
    assert "Traceback" not in ended.stderr
    sentences = [line for line in ended.stderr.splitlines() if line.startswith("darkroom: ")]
    assert len(sentences) == 1, ended.stderr
    return sentences[0]


def run(*arguments: str) -> str:
    """Run a command that must succeed, and give what it printed."""
    ended = subprocess.run(
        command(*arguments),
        env=environment(),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=FAILURE_SECONDS,
        check=False,
    )
    assert ended.returncode == 0, ended
    return ended.stdout
