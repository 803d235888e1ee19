"""A process for the supervisor's tests: `cli_program MARKER` makes the file and waits."""

from __future__ import annotations

import signal
import sys
from pathlib import Path


def main(marker: Path) -> None:
    with marker.open("a") as starts:
        starts.write("started\n")
    signal.sigwait({signal.SIGTERM})


if __name__ == "__main__":
    if sys.argv[1] == "--fail":
        sys.exit("this program cannot start")
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})
    main(Path(sys.argv[1]))
