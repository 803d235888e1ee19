"""Makes the tools that Pants would download from release pages out of packages of the index.

Usage: bootstrap_tools.py DIR, with the Python of DIR/tools, which has tools.txt installed.
Leaves `pex`, `protoc.zip`, `buf.tar.gz` and `grpc_python_plugin` in DIR, and DIR/env.sh with
the checksums by which Pants accepts them.
"""

from __future__ import annotations

import hashlib
import os
import platform
import shlex
import shutil
import subprocess
import sys
import tarfile
import zipfile
from importlib.metadata import version
from pathlib import Path

# Pants names the gRPC plugin in a flag of its own; grpc_tools has that plugin built in. The
# stubs for mypy are made here, because Pants would build a PEX for them before anything runs.
PROTOC = """#!/bin/sh
'''exec' {python} -I "$0" "$@"
'''
import os, sys
from importlib.resources import files
from grpc_tools import protoc
os.environ["PATH"] = {bin!r}
args = []
for a in sys.argv[1:]:
    if a.startswith("--plugin=protoc-gen-grpc="):
        continue
    args.append("--grpc_python_out" if a == "--grpc_out" else a)
out = args[args.index("--python_out") + 1]
args += ["--mypy_out", out]
if "--grpc_python_out" in args:
    args += ["--mypy_grpc_out", out]
sys.exit(protoc.main(["protoc", *args, f"-I{{files('grpc_tools') / '_proto'}}", "-I."]))
"""


def main(root: Path) -> None:
    """Fill `root`."""
    make_pex(root)
    make_protoc(root)
    make_buf(root)
    # Never run, see PROTOC; Pants only needs a file to fetch.
    plugin = root / "grpc_python_plugin"
    plugin.write_text("#!/bin/sh\nexit 1\n")
    plugin.chmod(0o755)
    protoc = version("grpcio-tools")
    lines = [
        *variables("PEX_CLI", f"v{version('pex')}", root / "pex"),
        *variables("PROTOC", protoc, root / "protoc.zip"),
        *variables("GRPC_PYTHON_PLUGIN", protoc, plugin),
        *variables("BUF", f"v{version('buf-bin')}", root / "buf.tar.gz"),
    ]
    (root / "env.sh").write_text("".join(f"export {line}\n" for line in lines))


def make_pex(root: Path) -> None:
    """Build the `pex` command; its shebang does not name this machine.

    PEX strips PEX_ROOT from its own environment and pip reads the machine's configuration, so
    both are set inside: Pants' cache in the sandbox, and no configuration.
    """
    scratch = root / "pex_root"
    subprocess.run(  # noqa: S603  # our own command
        [
            sys.executable, "-m", "pex", f"pex=={version('pex')}", "-c", "pex", "--no-compress",
            "--venv-repository", str(root / "tools"),
            "--inject-env", "PEX_ROOT=.cache/pex_root",
            "--inject-env", "PIP_CONFIG_FILE=/dev/null",
            "--python-shebang", "/usr/bin/env python3", "-o", str(root / "pex"),
        ],
        check=True,
        env={**os.environ, "PEX_ROOT": str(scratch)},
        stdout=subprocess.DEVNULL,
    )  # fmt: skip
    shutil.rmtree(scratch)


def make_protoc(root: Path) -> None:
    """Zip a protoc made of grpcio-tools the way Pants expects it: `bin/protoc`."""
    entry = zipfile.ZipInfo("bin/protoc", (1980, 1, 1, 0, 0, 0))
    entry.external_attr = 0o755 << 16
    script = PROTOC.format(
        python=shlex.quote(sys.executable), bin=str(Path(sys.executable).parent)
    )
    with zipfile.ZipFile(root / "protoc.zip", "w", zipfile.ZIP_STORED) as archive:
        archive.writestr(entry, script)


def make_buf(root: Path) -> None:
    """Pack the buf binary the way Pants expects it: `buf/bin/buf` in a tarball."""
    with tarfile.open(root / "buf.tar.gz", "w:gz", compresslevel=1) as archive:
        archive.add(Path(sys.executable).with_name("buf"), arcname="buf/bin/buf")


def variables(tool: str, version: str, file: Path) -> list[str]:
    """Pants' options for one tool: its version, and the checksum on this platform."""
    system = {"Linux": "linux", "Darwin": "macos"}[platform.system()]
    machine = {"aarch64": "arm64"}.get(platform.machine(), platform.machine())
    content = file.read_bytes()
    digest = hashlib.sha256(content).hexdigest()
    known = str([f"{version}|{system}_{machine}|{digest}|{len(content)}"])
    return [
        f"PANTS_{tool}_VERSION={version}",
        f"PANTS_{tool}_KNOWN_VERSIONS={shlex.quote(known)}",
    ]


if __name__ == "__main__":
    main(Path(sys.argv[1]))
