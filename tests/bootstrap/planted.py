"""A copy of this repository with a home and a cache of its own, and what is planted there."""

from __future__ import annotations

import contextlib
import json
import os
import resource
import shutil
import signal
import subprocess
import tarfile
import time
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
NOBODY = 65534
LIMIT_SECONDS = 900
# Without backends it starts twice as fast.
VERSION = ("--no-pantsd", "--backend-packages=[]", "--no-verify-config", "--version")


@dataclass(frozen=True, slots=True)
class Ended:
    """How a command ended, and what it cost."""

    status: int
    output: str
    seconds: float
    cpu_seconds: float

    def said(self, *words: str) -> None:
        """Raise `AssertionError` unless the last line has all words and is the wrapper's."""
        last = self.output.strip().splitlines()[-1]
        assert last.startswith("pants: "), self.output
        assert all(word in last for word in words), last

    def held(self) -> None:
        """Raise `AssertionError` unless the command succeeded, and nothing warned."""
        assert self.status == 0, self.output
        noise = [line for line in self.output.splitlines() if line.lower().startswith("warn")]
        assert not noise, noise


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """One clone; commands run in it with an environment that it alone decides."""

    folder: Path
    clone: Path
    environment: dict[str, str] = field(default_factory=dict)
    user: int | None = None

    @property
    def cache(self) -> Path:
        """Where the wrapper and Pants keep what they make."""
        named = self.environment.get("XDG_CACHE_HOME")
        return Path(named) if named else self.folder / "home/.cache"

    def start(self, *arguments: str) -> subprocess.Popen[str]:
        """Start `./pants` with these arguments."""
        as_user = ["setpriv", f"--reuid={self.user}", f"--regid={self.user}", "--clear-groups"]
        return subprocess.Popen(
            [*(as_user if self.user is not None else []), "./pants", *arguments],
            cwd=self.clone,
            env=self.environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )

    def run(self, *arguments: str) -> Ended:
        """Run `./pants` to its end."""
        before, began = self.cpu_seconds(), time.monotonic()
        process = self.start(*arguments)
        try:
            output, _ = process.communicate(timeout=LIMIT_SECONDS)
        except BaseException:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
            raise
        return Ended(
            status=process.returncode,
            output=output,
            seconds=time.monotonic() - began,
            cpu_seconds=self.cpu_seconds() - before,
        )

    def cpu_seconds(self) -> float:
        """What ended children took so far, and the daemon of this clone with its own."""
        children = resource.getrusage(resource.RUSAGE_CHILDREN)
        spent = children.ru_utime + children.ru_stime
        for pid in daemons(self.clone):
            with contextlib.suppress(OSError):
                fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
                spent += sum(map(int, fields[11:15])) / os.sysconf("SC_CLK_TCK")
        return spent

    def version(self) -> Ended:
        """Start Pants and no more."""
        return self.run(*VERSION)

    def tools(self) -> list[Path]:
        """The folders into which the wrapper installed."""
        return list((self.cache / "pants-bootstrap").glob("2.*/"))


def place(folder: Path, *, clone: str = "clone", user: int | None = None, **also: str) -> Place:
    """A fresh clone below `folder`, with an empty home."""
    (folder / "home").mkdir(parents=True)
    copy(folder / clone)
    kept = (
        "HTTPS_PROXY", "HTTP_PROXY", "NO_PROXY", "LANG", "PYENV_ROOT",
        "DARKROOM_INDEX_URL", "SSL_CERT_FILE", "REQUESTS_CA_BUNDLE", "PIP_CERT",
    )  # fmt: skip
    environment = {
        **{name: os.environ[name] for name in kept if name in os.environ},
        "HOME": str(folder / "home"),
        "PATH": without_shims(),
        "PANTS_PYTHON": python("3.9"),
        **also,
    }
    return Place(folder=folder, clone=folder / clone, environment=environment, user=user)


def copy(to: Path) -> None:
    """Copy what git knows or would add: a working tree can be tested before a commit."""
    git = ["git", "-C", str(ROOT), "ls-files", "-z", "--cached", "--others"]
    listed = subprocess.run(
        [*git, "--exclude-standard"], check=True, capture_output=True, text=True
    ).stdout
    for name in filter(None, listed.split("\0")):
        source, target = ROOT / name, to / name
        if source.is_file():
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(source, target)


def share(seed: Place, with_place: Place) -> None:
    """Let a place begin with the downloads of another, but with nothing installed."""
    source, target = seed.cache / "pants-bootstrap", with_place.cache / "pants-bootstrap"
    target.mkdir(parents=True, exist_ok=True)
    for name in ("files", "uv") if with_place.user is None else ("files",):
        (target / name).symlink_to(source / name)


@cache
def without_shims() -> str:
    """A PATH without pyenv's shims, which ask for a version to be selected."""
    parts = os.environ["PATH"].split(os.pathsep)
    return os.pathsep.join(part for part in parts if Path(part).name != "shims")


@cache
def python(version: str) -> str:
    """This machine's Python of a version such as 3.9, or nothing."""
    for name in (
        f"python{version}",
        str(Path.home() / f".pyenv/versions/{version}.*/bin/python"),
    ):
        found = [shutil.which(name)] if "/" not in name else [*Path("/").glob(name[1:])]
        for candidate in filter(None, found):
            told = subprocess.run(
                [str(candidate), "-c", "import sys; print(sys.executable)"],
                check=False,
                capture_output=True,
                text=True,
            )
            if told.returncode == 0:
                return told.stdout.strip()
    return ""


def pack_python(python: str, folder: Path) -> Path:
    """A list of downloads, as uv reads it, whose one entry is a copy of this Python 3.9."""
    code = "import sys, json; print(json.dumps([sys.base_prefix, *sys.version_info[:3]]))"
    told = subprocess.run([python, "-c", code], check=True, capture_output=True, text=True)
    prefix, major, minor, patch = json.loads(told.stdout)
    archive = folder / "python.tar.gz"
    with tarfile.open(archive, "w:gz", compresslevel=1) as packed:
        for part in ("bin", "include", "lib"):
            packed.add(Path(prefix, part), f"python/{part}", filter=_wanted)
    entry = {
        "name": "cpython",
        "arch": {"family": "x86_64", "variant": None},
        "os": "linux",
        "libc": "gnu",
        "major": major,
        "minor": minor,
        "patch": patch,
        "prerelease": "",
        "url": archive.as_uri(),
        "sha256": None,
        "variant": None,
        "build": "20250101",
    }
    listed = folder / "downloads.json"
    listed.write_text(json.dumps({f"cpython-{major}.{minor}.{patch}-linux-x86_64-gnu": entry}))
    return listed


def _wanted(member: tarfile.TarInfo) -> tarfile.TarInfo | None:
    left_out = ("/test", "/site-packages", "/__pycache__", "/idlelib", "/tkinter")
    return None if member.name.endswith(left_out) else member


def daemons(folder: Path) -> list[int]:
    """The pantsd processes of the clones below `folder`, by the ids that they wrote."""
    return [int(file.read_text()) for file in folder.glob("**/.pids/*/pantsd/pid")]


def end_daemons(folder: Path) -> None:
    """End the pantsd processes of the clones below `folder`."""
    for pid in daemons(folder):
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGTERM)
