"""Runs modules of ours one after another, each in a process of its own; see `modules.py`.

Reads a line of JSON for each run and answers with one. What every module imports is imported
once, here, so that a run costs a fork instead of a start of Ansible.
"""

from __future__ import annotations

import json
import os
import runpy
import sys
import tempfile
import traceback
from typing import Any

# They come with the tools of deployment, whose Python runs this.
import ansible.module_utils  # pants: no-infer-dep
import ansible_collections.amazon.aws.plugins.module_utils.modules  # noqa: F401  # pants: no-infer-dep
from ansible.module_utils.testing import patch_module_args  # pants: no-infer-dep


def run(asked: dict[str, Any], output: int) -> None:
    """Run one module as this process, which then ends."""
    os.dup2(output, sys.stdout.fileno())
    os.environ.update(asked["environment"])
    try:
        with patch_module_args(asked["arguments"]):
            runpy.run_path(asked["module"], run_name="__main__")
    except SystemExit as end:
        sys.stdout.flush()
        os._exit(int(end.code or 0))
    except BaseException:  # noqa: BLE001  # it is the end of a process
        traceback.print_exc()
    os._exit(1)


def main(module_utils: list[str]) -> None:
    """Answer until there is no more to run."""
    ansible.module_utils.__path__.extend(module_utils)
    for line in sys.stdin:
        with tempfile.TemporaryFile("w+") as output:
            child = os.fork()
            if child == 0:
                run(json.loads(line), output.fileno())
            _, status = os.waitpid(child, 0)
            output.seek(0)
            answer = {"status": os.waitstatus_to_exitcode(status), "output": output.read()}
        sys.stdout.write(json.dumps(answer) + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main(sys.argv[1:])
