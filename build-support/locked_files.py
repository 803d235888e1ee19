"""The files that a lock names, by name and checksum, from whichever index there is.

Usage: locked_files.py fetch LOCK FOLDER UV   what this machine needs of them, into FOLDER
       locked_files.py forget LOCK            a new lock then names no index
"""

from __future__ import annotations

import base64
import hashlib
import json
import os
import re
import subprocess
import sys
import tempfile
import tomllib
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import unquote, urlsplit
from urllib.request import Request, urlopen

from packaging.tags import sys_tags
from packaging.utils import parse_wheel_filename

CONNECTIONS = 16
TIMEOUT_SECONDS = 60
TRIES = 3


class File(NamedTuple):
    """One file of a package."""

    name: str
    sha256: str


def fetch(lock: Path, folder: Path, uv: str) -> None:
    """Fill `folder`; raises `OSError` when the index lacks a file or has another one."""
    packages = read(lock)
    missing = [file for file in map(chosen, packages) if not (folder / file.name).exists()]
    if not missing:
        return
    print(f"pants: fetching {len(missing)} packages into {folder}", file=sys.stderr)
    folder.mkdir(parents=True, exist_ok=True)
    addresses = dict(find(packages, uv))

    def get(file: File) -> None:
        if file.name not in addresses:
            raise OSError(f"the index has no {file.name}")
        save(file, addresses[file.name], folder)

    with ThreadPoolExecutor(CONNECTIONS) as pool:
        list(pool.map(get, missing))


def read(lock: Path) -> list[dict[str, Any]]:
    """The packages of a lock, each with its `artifacts`."""
    lines = (line for line in lock.read_text().splitlines() if not line.startswith("//"))
    resolves = json.loads("\n".join(lines))["locked_resolves"]
    return [package for resolve in resolves for package in resolve["locked_requirements"]]


def chosen(package: dict[str, Any]) -> File:
    """The wheel that suits this Python best, as PEX chooses it, else the sources."""
    files = [File(name_of(a["url"]), a["hash"]) for a in package["artifacts"]]
    return min(files, key=lambda file: suits(file.name))


def name_of(url: str) -> str:
    """The file name at the end of a URL."""
    return unquote(urlsplit(url).path.rsplit("/", 1)[-1])


RANKS = {tag: rank for rank, tag in enumerate(sys_tags())}


def suits(name: str) -> int:
    """How far from best a file is for this Python."""
    if not name.endswith(".whl"):
        return len(RANKS)
    return min(RANKS.get(tag, len(RANKS) + 1) for tag in parse_wheel_filename(name)[3])


def find(packages: list[dict[str, Any]], uv: str) -> Iterator[tuple[str, str]]:
    """Where the index has the files of these packages: name and URL."""
    with tempfile.TemporaryDirectory() as scratch:
        pins, found = Path(scratch, "pins.txt"), Path(scratch, "pylock.toml")
        pins.write_text("".join(f"{p['project_name']}=={p['version']}\n" for p in packages))
        command = [uv, "pip", "compile", "-q", "--no-deps", "--format", "pylock.toml"]
        subprocess.run(  # noqa: S603  # our own command
            [*command, "--python", sys.executable, "-o", str(found), str(pins)],
            check=True,
            stdout=subprocess.DEVNULL,
        )
        for package in tomllib.loads(found.read_text())["packages"]:
            for file in [*package.get("wheels", ()), package.get("sdist")]:
                if file:
                    yield name_of(file["url"]), file["url"]


def save(file: File, url: str, folder: Path) -> None:
    """Store one file, whole or not at all."""
    for left in reversed(range(TRIES)):
        try:
            with urlopen(request(url), timeout=TIMEOUT_SECONDS) as answer:  # noqa: S310  # the index's
                content = answer.read()
            break
        except OSError:
            if not left:
                raise
    if hashlib.sha256(content).hexdigest() != file.sha256:
        raise OSError(f"{file.name} of the index is not the one in the lock")
    part = folder / f".{file.name}.{os.getpid()}"
    part.write_bytes(content)
    part.rename(folder / file.name)


def request(url: str) -> Request:
    """A request with the name and password of DARKROOM_INDEX_URL, if it is to that host."""
    index = urlsplit(os.environ.get("DARKROOM_INDEX_URL", ""))
    made = Request(url)  # noqa: S310  # the index's
    if index.username and index.hostname == urlsplit(url).hostname:
        pair = f"{unquote(index.username)}:{unquote(index.password or '')}"
        made.add_header("Authorization", "Basic " + base64.b64encode(pair.encode()).decode())
    return made


def forget(lock: Path) -> None:
    """Leave of each URL the name of the file."""
    lock.write_text(
        re.sub(
            r'"url": "[^"]*/([^/"]+)"',
            lambda url: f'"url": "file://${{LOCKED_FILES}}/{unquote(url[1])}"',
            lock.read_text(),
        )
    )


def main(verb: str, lock: str, *rest: str) -> None:
    """Run the command."""
    if verb == "forget":
        forget(Path(lock))
        return
    try:
        fetch(Path(lock), Path(rest[0]), rest[1])
    except (OSError, subprocess.CalledProcessError) as error:
        sys.exit(f"pants: {error}")


if __name__ == "__main__":
    main(*sys.argv[1:])
