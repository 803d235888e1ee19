"""Makes the tools that Pants would download from release pages out of packages of the index.

Usage: bootstrap_tools.py DIR, with the Python of DIR/tools (a fresh venv) and Pants in
DIR/pants. Leaves `pex`, `protoc.zip`, `buf.tar.gz` and `grpc_python_plugin` in DIR, and
DIR/env.sh with the checksums by which Pants accepts them.
"""

from __future__ import annotations

import hashlib
import json
import os
import platform
import shlex
import shutil
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path
from urllib.parse import urlsplit

PEX = "2.1.137"
GRPCIO_TOOLS = "1.85.1"
BUF = "1.75.0"

# Pants names the gRPC plugin in a flag of its own; grpc_tools has that plugin built in.
PROTOC_SHIM = """#!{python} -I
import sys
from importlib.resources import files
from grpc_tools import protoc
args = []
for a in sys.argv[1:]:
    if a.startswith("--plugin=protoc-gen-grpc="):
        continue
    args.append("--grpc_python_out" if a == "--grpc_out" else a)
sys.exit(protoc.main(["protoc", *args, f"-I{{files('grpc_tools') / '_proto'}}", "-I."]))
"""


def main(root: Path) -> None:
    """Fill `root`; raises `CalledProcessError` when the index can't be reached."""
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check"]
    run(*pip, "install", "-q", f"grpcio-tools=={GRPCIO_TOOLS}", f"buf-bin=={BUF}")
    make_pex(root)
    make_protoc(root)
    make_buf(root)
    # Never run, see PROTOC_SHIM; Pants only needs a file to fetch.
    plugin = root / "grpc_python_plugin"
    plugin.write_text("#!/bin/sh\nexit 1\n")
    plugin.chmod(0o755)
    variables = {
        "PANTS_PEX_CLI_KNOWN_VERSIONS": known(f"v{PEX}", root / "pex"),
        "PANTS_PROTOC_KNOWN_VERSIONS": known(GRPCIO_TOOLS, root / "protoc.zip"),
        "PANTS_GRPC_PYTHON_PLUGIN_KNOWN_VERSIONS": known(GRPCIO_TOOLS, plugin),
        "PANTS_BUF_KNOWN_VERSIONS": known(f"v{BUF}", root / "buf.tar.gz"),
        # Keeps the index's host out of the lock file.
        "PANTS_PYTHON_REPOS_PATH_MAPPINGS": str([f"PYPI_FILES|//{index_host(pip)}"]),
    }
    lines = [f"export {name}={shlex.quote(value)}\n" for name, value in variables.items()]
    (root / "env.sh").write_text("".join(lines))


def make_pex(root: Path) -> None:
    """Build the `pex` command; its shebang does not name this machine."""
    pex_root = root / "pex_root"
    run(
        str(root / "pants/bin/pex"), f"pex=={PEX}", "-c", "pex", "--no-compress",
        "--python-shebang", "/usr/bin/env python3", "-o", str(root / "pex"),
        env={**os.environ, "PEX_ROOT": str(pex_root)},
    )  # fmt: skip
    shutil.rmtree(pex_root)


def make_protoc(root: Path) -> None:
    """Zip a protoc made of grpcio-tools the way Pants expects it: `bin/protoc`."""
    entry = zipfile.ZipInfo("bin/protoc", (1980, 1, 1, 0, 0, 0))
    entry.external_attr = 0o755 << 16
    with zipfile.ZipFile(root / "protoc.zip", "w", zipfile.ZIP_STORED) as archive:
        archive.writestr(entry, PROTOC_SHIM.format(python=sys.executable))


def make_buf(root: Path) -> None:
    """Pack the buf binary the way Pants expects it: `buf/bin/buf` in a tarball."""
    with tarfile.open(root / "buf.tar.gz", "w:gz", compresslevel=1) as archive:
        archive.add(Path(sys.executable).with_name("buf"), arcname="buf/bin/buf")


def known(version: str, file: Path) -> str:
    """Pants' `known_versions` for one tool on this platform."""
    system = {"Linux": "linux", "Darwin": "macos"}[platform.system()]
    machine = {"aarch64": "arm64"}.get(platform.machine(), platform.machine())
    content = file.read_bytes()
    digest = hashlib.sha256(content).hexdigest()
    return str([f"{version}|{system}_{machine}|{digest}|{len(content)}"])


def index_host(pip: list[str]) -> str:
    """Ask pip which host serves the files of packages."""
    report = subprocess.run(  # noqa: S603  # our own command
        [*pip, "install", "-q", "--dry-run", "--ignore-installed", "--no-deps", "--report", "-",
         f"grpcio-tools=={GRPCIO_TOOLS}"],
        check=True, capture_output=True, text=True,
    ).stdout  # fmt: skip
    host: str = urlsplit(json.loads(report)["install"][0]["download_info"]["url"]).netloc
    if not host:
        sys.exit("pants: pip took grpcio-tools from a file, so the index's host is unknown")
    return host


def run(*command: str, env: dict[str, str] | None = None) -> None:
    """Run a command; raises `CalledProcessError` when it fails."""
    subprocess.run(command, check=True, env=env)  # noqa: S603  # our own command


if __name__ == "__main__":
    main(Path(sys.argv[1]))
