"""Runs `./pants` on machines that are planted to be hard, and prints what held.

Usage: python3.11 tests/bootstrap/conditions.py [NAME...]

Each condition has a clone, a home and a cache of its own. The first, `demo`, begins with
nothing and prints how long the README's first command takes; the others begin with its
downloads. The results go to dist/test/reports/bootstrap.xml as well, for the totals.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
import traceback
import venv
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from xml.etree import ElementTree

import planted
from mirror import mirror
from planted import NOBODY, Place, end_daemons, pack_python, place, python, share

REPORT = planted.ROOT / "dist/test/reports/bootstrap.xml"
DEMO = ("--no-dynamic-ui", "run", "cli:darkroom", "--", "demo")
DEAD = "http://127.0.0.1:9/simple"

CLIENT_PYTHONS = ("3.10", "3.11", "3.12", "3.13")

Condition = Callable[[Path, Place | None], Place | None]


def demo(folder: Path, _: Place | None) -> Place:
    """From empty caches to two images, where pip's configuration is the worst there is."""
    (folder / "constraints.txt").write_text("pex<1\nuv<0.1\nurllib3<1\n")
    settings = f"""[global]
constraint = {folder}/constraints.txt
find-links = {folder}/nowhere
index-url = {DEAD}
extra-index-url = file://{folder}/nowhere/simple
"""
    here = place(folder, XDG_CONFIG_DIRS=str(folder), PIP_INDEX_URL=DEAD, PIP_NO_INDEX="1")
    for file in (folder / "pip/pip.conf", folder / "home/.config/pip/pip.conf"):
        file.parent.mkdir(parents=True)
        file.write_text(settings)
    for name in ("the first", "the second"):
        ended = here.run(*DEMO)
        ended.held()
        assert ended.output.count("PNG 512x512") == 2, ended.output
        print(f"  {name} time: {ended.seconds:.0f} s, {ended.cpu_seconds:.0f} s of CPU")
    assert not (Path(here.environment["HOME"]) / ".pex").exists()
    return here


def python_path(folder: Path, seed: Place | None) -> None:
    """What PYTHONPATH, PYTHONHOME and uv's variables name takes no part."""
    (folder / "shadow").mkdir()
    for module in ("pip", "yaml", "sitecustomize", "packaging"):
        (folder / f"shadow/{module}.py").write_text("raise SystemExit('shadowed')\n")
    here = place(
        folder,
        PYTHONPATH=str(folder / "shadow"),
        UV_INDEX_URL=DEAD,
        UV_CONSTRAINT=str(folder / "none"),
        VIRTUAL_ENV=str(folder / "none"),
    )
    begin(here, seed)
    here.version().held()


def index_down(folder: Path, _: Place | None) -> None:
    """An index that is down is told in one sentence, with the variables that mend it."""
    here = place(folder, DARKROOM_INDEX_URL=DEAD)
    ended = here.version()
    assert ended.status == 3, ended.output
    ended.said("does not answer", "DARKROOM_INDEX_URL", "HTTPS_PROXY", "SSL_CERT_FILE")


def no_python_39(folder: Path, seed: Place | None) -> None:
    """Where Python 3.9 is missing, uv fetches it, and the wrapper says so."""
    listed = pack_python(python("3.9"), folder)
    here = place(
        folder, PATH=hide_python39(folder), PANTS_PYTHON="", PYENV_ROOT="/nonexistent",
        UV_PYTHON_DOWNLOADS_JSON_URL=str(listed),
    )  # fmt: skip
    begin(here, seed)
    ended = here.version()
    ended.held()
    assert f"fetching Python 3.9, which Pants 2.17.1 runs on, into {here.cache}" in ended.output


def no_python_39_nor_mirror(folder: Path, seed: Place | None) -> None:
    """Where it can't be fetched either, one sentence says what to install."""
    here = place(
        folder, PATH=hide_python39(folder), PANTS_PYTHON="", PYENV_ROOT="/nonexistent",
        UV_PYTHON_INSTALL_MIRROR=f"file://{folder}/nowhere",
    )  # fmt: skip
    begin(here, seed)
    ended = here.version()
    assert ended.status == 3, ended.output
    ended.said("needs Python 3.9", "pyenv install 3.9", "PANTS_PYTHON", "MIRROR")


def half_finished(folder: Path, seed: Place | None) -> None:
    """What an interrupted run left is made anew."""
    here = place(folder)
    begin(here, seed)
    process = here.start(*planted.VERSION)
    wait_for(lambda: any(tools.joinpath("uv").exists() for tools in here.tools()))
    os.killpg(process.pid, 9)
    process.communicate()
    assert not any(tools.joinpath(".ok").exists() for tools in here.tools())
    next((here.cache / "pants-bootstrap/files").glob("*.whl"), folder / "none").unlink(
        missing_ok=True
    )
    here.version().held()


def two_at_once(folder: Path, seed: Place | None) -> None:
    """Two that begin together install once, and both run."""
    here = place(folder)
    begin(here, seed)
    started = [here.start(*planted.VERSION) for _ in range(2)]
    outputs = [process.communicate()[0] for process in started]
    assert [process.returncode for process in started] == [0, 0], outputs
    assert "".join(outputs).count("pants: installing") == 1, outputs


def path_with_blanks(folder: Path, seed: Place | None) -> None:
    """A clone may lie in a folder with blanks."""
    here = place(folder, clone="my clones/of darkroom")
    begin(here, seed)
    # A package of the lock, for a program that does nothing here.
    program = ("build-support/locked_files.py", "--", "forget", os.devnull)
    here.run("--no-pantsd", "--no-dynamic-ui", "run", *program).held()


def not_root(folder: Path, seed: Place | None) -> None:
    """A user who may write to a cache only, but not to a home, is enough."""
    if os.geteuid() != 0:
        print("  run as a user already, so only the home is read-only")
    cache = folder / "cache"
    cache.mkdir()
    listed = pack_python(python("3.9"), folder)
    shutil.unpack_archive(folder / "python.tar.gz", folder, filter="data")
    listed.unlink()
    here = place(
        folder, XDG_CACHE_HOME=str(cache), PANTS_PYTHON=str(folder / "python/bin/python3.9"),
        user=NOBODY if os.geteuid() == 0 else None,
        # Where that Python has its library beside it, and Pants' processes look for it as well.
        LD_LIBRARY_PATH=str(folder / "python/lib"),
        PANTS_SUBPROCESS_ENVIRONMENT_ENV_VARS="+['LD_LIBRARY_PATH']",
    )  # fmt: skip
    begin(here, seed)
    (folder / "home").chmod(0o555)
    if here.user:
        for path in (cache, here.clone):
            for each in (path, *path.rglob("*")):
                if not each.is_symlink():
                    os.chown(each, here.user, here.user)
    here.run("--no-pantsd", "--no-dynamic-ui", "run", "cli:darkroom", "--", "--help").held()
    assert list((folder / "home").iterdir()) == []


def another_index(folder: Path, seed: Place | None) -> None:
    """A mirror that wants a password and lays files out in its own way is as good."""
    if seed is None:
        seed = place(folder)
        seed.version().held()
    installed = seed.cache / "pants-bootstrap"
    (installed / "files").rename(folder / "files")
    for stamp in seed.tools()[0].glob("fetched-*"):
        stamp.unlink()
    with mirror(folder / "files", "me:an&y") as url:
        here = replace(seed, environment={**seed.environment, "DARKROOM_INDEX_URL": url})
        here.version().held()
    names = [{file.name for file in (each / "files").iterdir()} for each in (folder, installed)]
    assert names[0] == names[1]


def wheel(folder: Path, seed: Place | None) -> None:
    """pipx and Python 3.11 run the wheel, with nothing fetched before."""
    here = seed or place(folder)
    here.run("package", "//:darkroom").held()
    (built,) = here.clone.glob("dist/darkroom-*.whl")
    (tools,) = here.tools()
    environment = for_pip(here)
    venv.create(folder / "pipx", with_pip=True)
    run_for(environment, folder / "pipx/bin/pip", "install", "-q", "pipx")
    environment |= {
        "PIPX_DEFAULT_PYTHON": str(tools / "bin/python3.11"),
        "PIP_NO_CACHE_DIR": "1",
    }
    for name in ("the first", "the second"):
        began = time.monotonic()
        output = run_for(
            environment, folder / "pipx/bin/pipx", "run", "--spec", built, "darkroom", "demo"
        )
        assert output.count("PNG 512x512") == 2, output
        print(f"  {name} time: {time.monotonic() - began:.0f} s")


def client_wheel(folder: Path, seed: Place | None) -> None:
    """The wheel of the client works with each Python of this machine from 3.10 to 3.13."""
    here = seed or place(folder)
    here.run("package", "libs/client:darkroom-client").held()
    (built,) = here.clone.glob("dist/darkroom_client-*.whl")
    tests = here.clone / "libs/client/tests"
    environment = for_pip(here) | {"PYTHONPATH": str(tests)}
    for version in filter(python, CLIENT_PYTHONS):
        inside = folder / version / "bin"
        run_for(environment, python(version), "-m", "venv", folder / version)
        run_for(environment, inside / "pip", "install", "-q", built)
        given = run_for(environment, inside / "pip", "list", "--format", "freeze")
        assert not re.search("^(grpcio|boto|darkroom==)", given, re.MULTILINE), given
        tools = ("pillow", "pytest", "pytest-asyncio", "standardwebhooks")
        run_for(environment, inside / "pip", "install", "-q", *tools)
        suite = (tests, "--ignore", tests / "test_typing.py")
        output = run_for(environment, inside / "python", "-m", "pytest", "-q", *suite)
        print(f"  Python {version}: {output.splitlines()[-1]}")


def for_pip(here: Place) -> dict[str, str]:
    """An environment in which pip reads no configuration but the index."""
    environment = {
        name: value
        for name, value in here.environment.items()
        if not name.startswith("PIP_") or name == "PIP_CERT"
    }
    if index := here.environment.get("DARKROOM_INDEX_URL"):
        environment |= {"PIP_INDEX_URL": index}
    return environment | {"PIP_CONFIG_FILE": os.devnull}


def run_for(environment: Mapping[str, str], *command: object) -> str:
    """Run a command that is not ours and return what it prints."""
    ended = subprocess.run(
        [str(word) for word in command],
        env=environment,
        check=False,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=planted.LIMIT_SECONDS,
    )
    assert ended.returncode == 0, ended.stdout
    return ended.stdout


def begin(here: Place, seed: Place | None) -> None:
    """Take the downloads of the seed, where there is one."""
    if seed:
        share(seed, here)


def hide_python39(folder: Path) -> str:
    """A PATH that has everything but Python 3.9."""
    hidden = folder / "bin"
    hidden.mkdir()
    for part in planted.without_shims().split(os.pathsep):
        for tool in Path(part).glob("*") if Path(part).is_dir() else ():
            if not tool.name.startswith("python3.9") and not (hidden / tool.name).exists():
                (hidden / tool.name).symlink_to(tool)
    return str(hidden)


def wait_for(seen: Callable[[], bool]) -> None:
    """Return when it is so; raises `AssertionError` when it is not for a minute."""
    until = time.monotonic() + 60
    while not seen():
        assert time.monotonic() < until, "nothing was installed in a minute"
        time.sleep(0.05)


CONDITIONS: dict[str, Condition] = {
    condition.__name__: condition
    for condition in (
        demo, python_path, index_down, no_python_39, no_python_39_nor_mirror, half_finished,
        two_at_once, path_with_blanks, not_root, wheel, client_wheel, another_index,
    )
}  # fmt: skip


def main(names: list[str]) -> int:
    """Run conditions and report them."""
    suite = ElementTree.Element("testsuite", name="bootstrap")
    seed, failures = None, 0
    root = Path(tempfile.mkdtemp(prefix="darkroom-bootstrap-"))
    root.chmod(0o755)
    try:
        for name in names or CONDITIONS:
            condition, began = CONDITIONS[name], time.monotonic()
            case = ElementTree.SubElement(suite, "testcase", classname="bootstrap", name=name)
            (root / name).mkdir()
            try:
                seed = condition(root / name, seed) or seed
                verdict = "held"
            except (AssertionError, OSError):
                verdict = "FAILED"
                failures += 1
                ElementTree.SubElement(case, "failure").text = traceback.format_exc()
                traceback.print_exc()
            case.set("time", f"{time.monotonic() - began:.1f}")
            print(f"{verdict}: {condition.__doc__} ({name}, {case.get('time')} s)", flush=True)
    finally:
        end_daemons(root)
        shutil.rmtree(root, ignore_errors=True)
    suite.set("tests", str(len(suite)))
    suite.set("failures", str(failures))
    REPORT.parent.mkdir(parents=True, exist_ok=True)
    ElementTree.ElementTree(suite).write(REPORT)
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
