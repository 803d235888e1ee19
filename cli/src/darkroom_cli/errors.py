"""What ends a command with one sentence instead of a traceback."""

from __future__ import annotations


class CommandError(Exception):
    """Printed as `darkroom: <message>`; `status` is that of the command."""

    status = 1
