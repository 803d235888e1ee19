"""The `darkroom` command from its sources, where roles find it."""

from __future__ import annotations

import os
import shlex
import sys
from pathlib import Path


def provide_command(folder: Path) -> None:
    """Put `darkroom` into the folder of tools of an `Ansible` that works in `folder`."""
    # Ansible starts it in another folder.
    packages = os.pathsep.join(str(Path(path).resolve()) for path in sys.path)
    words = [
        *("env", f"PYTHONPATH={packages}"),
        *(sys.executable, "-m", "darkroom_cli.main"),
    ]
    file = folder / "bin" / "darkroom"
    file.parent.mkdir(exist_ok=True)
    file.write_text(f'#!/bin/sh\nexec {shlex.join(words)} "$@"\n')
    file.chmod(0o755)
