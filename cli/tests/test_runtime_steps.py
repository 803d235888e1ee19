"""Installing a server, step by step, with real programs."""

from __future__ import annotations

import asyncio
import os
import zipfile
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from darkroom_cli.errors import CommandError
from darkroom_cli.interruption import unless
from darkroom_cli.runtimes.environment import make_venv, own_variables, pip_install
from darkroom_cli.runtimes.installed import held, installed, unfinished
from darkroom_cli.runtimes.server import Place, Server, Step, Wish
from darkroom_cli.runtimes.steps import install, run_step
from small_servers import python, small_server, step, wish

COUNT = "import sys; open(sys.argv[1], 'a').write('x')"
HANG = """
    import os, pathlib, subprocess, sys, time
    made = pathlib.Path(sys.argv[1])
    made.mkdir()  # fails where an earlier try has left it
    child = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(600)'])
    (made / 'ids').write_text(f'{os.getpid()} {child.pid}')
    print('begun', flush=True)
    time.sleep(600)
"""


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(tmp_path / "place")


async def test_steps_are_told_and_logged_and_the_record_is_written_last(place: Place) -> None:
    told: list[str] = []
    record = str(place.path / "installed.json")
    server = small_server(
        lambda _place, _wish: (
            step("say it", "print('one\\rtwo'); import sys; print('three', file=sys.stderr)"),
            step("look", "import os, sys; print(os.path.exists(sys.argv[1]))", record),
        )
    )

    done = await install(server, place, wish(), told.append)

    assert told[:6] == ["say it", "  one", "  two", "  three", "look", "  False"]
    assert place.log.read_text().splitlines()[:4] == ["one", "two", "three", "False"]
    assert installed(place) == done
    assert done.version == "1.0"
    assert unfinished(place) is None


async def test_failed_step_is_named_in_its_own_words_and_gone_on_with(place: Place) -> None:
    first = place.path / "first"
    fixed = place.path / "fixed"

    def steps(_place: Place, _wish: Wish) -> tuple[Step, ...]:
        check = "import os, sys; os.path.exists(sys.argv[1]) or sys.exit('the disk is odd')"
        return step("count", COUNT, str(first)), step("try it", check, str(fixed))

    server = small_server(steps)
    with pytest.raises(CommandError) as caught:
        await install(server, place, wish(), lambda _: None)
    assert installed(place) is None
    fixed.touch()
    await install(server, place, wish(), lambda _: None)

    expected = "could not try it: the disk is odd; the same command goes on from here"
    assert str(caught.value).startswith(expected)
    assert first.read_text() == "x"


async def test_what_another_wish_has_left_unfinished_is_begun_anew(place: Place) -> None:
    first = place.path / "first"

    def steps(_place: Place, wanted: Wish) -> tuple[Step, ...]:
        fail = "import sys; sys.exit(sys.argv[1] == '9.0')"
        return step("count", COUNT, str(first)), step("get it", fail, wanted.version)

    server = small_server(steps)
    with pytest.raises(CommandError, match="could not get it"):
        await install(server, place, wish("9.0"), lambda _: None)
    await install(server, place, wish("1.0"), lambda _: None)

    assert first.read_text() == "xx"


async def test_broken_off_step_leaves_no_process_and_begins_anew(place: Place) -> None:
    made, stop = place.path / "made", asyncio.Event()
    hanging = small_server(lambda _p, _w: (step("make it", HANG, str(made), makes=made),))
    quick = "import os, sys; os.mkdir(sys.argv[1])"
    whole = small_server(lambda _p, _w: (step("make it", quick, str(made), makes=made),))

    def tell(line: str) -> None:
        if line == "  begun":
            stop.set()

    async with asyncio.timeout(60):
        with pytest.raises(CommandError, match="interrupted"):
            await unless(stop, install(hanging, place, wish(), tell))
    ids = [int(pid) for pid in (made / "ids").read_text().split()]
    await install(whole, place, wish(), tell)

    for pid in ids:
        assert not _runs(pid)
    assert installed(place)


async def test_server_that_does_not_tell_its_version_is_not_installed(place: Place) -> None:
    server = small_server(lambda _place, _wish: ())

    with pytest.raises(CommandError, match="Small does not tell its version"):
        await install(server, place, wish("odd"), lambda _: None)

    assert installed(place) is None


async def test_step_that_takes_too_long_is_ended(place: Place) -> None:
    place.path.mkdir()
    limit = timedelta(seconds=0.5)
    slow = Step(title="wait", command=python("import time; time.sleep(600)"), limit=limit)

    with pytest.raises(CommandError, match=r"'wait' took more than 0:00:00\.5"):
        await run_step(slow, place.log, lambda _: None)


@pytest.mark.parametrize(
    ("printed", "sentence"),
    [
        ("OSError: [Errno 28] No space left on device", "there is no room left"),
        (
            "WARNING: Retrying after NewConnectionError\nERROR: No matching distribution found",
            "the network can't be reached",
        ),
        ("cause: Failed to fetch: `https://x.example/whl/cpu/torch/`", "PyTorch's own index"),
        ("fatal: unable to access 'x': Could not resolve host: y", "the network can't be"),
        ("fatal: Remote branch v9 not found in upstream origin", "there is no such version"),
        ("Because there is no version of invokeai==9.9.9", "there is no such version"),
        ("something else", "something else"),
        ("", "it said nothing"),
    ],
)
async def test_cause_of_a_failure_is_one_sentence(
    place: Place, printed: str, sentence: str
) -> None:
    place.path.mkdir()
    failing = step("get it", f"print({printed!r}); raise SystemExit(1)")

    with pytest.raises(CommandError, match=f"could not get it: {sentence}"):
        await run_step(failing, place.log, lambda _: None)


async def test_program_that_is_not_there_is_one_sentence(place: Place) -> None:
    with pytest.raises(CommandError, match="could not clone: nosuchgit: No such file"):
        await run_step(Step(title="clone", command=("nosuchgit",)), place.log, lambda _: None)


async def test_two_installations_at_once_are_refused(place: Place) -> None:
    with held(place), pytest.raises(CommandError, match="is in use by"):
        await install(small_server(lambda _p, _w: ()), place, wish(), lambda _: None)


def test_stacks_share_what_an_installation_may_not_change(place: Place) -> None:
    with (
        held(place, shared=True),
        held(place, shared=True),
        pytest.raises(CommandError, match="is in use by"),
        held(place),
    ):
        pass


def test_server_gets_neither_our_packages_nor_the_keys_of_aws(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name in ("PYTHONPATH", "AWS_SECRET_ACCESS_KEY", "VIRTUAL_ENV", "PEX_PATH", "KEPT"):
        monkeypatch.setenv(name, "here")
    monkeypatch.setenv("UV_TORCH_BACKEND", "")

    variables = own_variables()

    assert variables["KEPT"] == "here"
    assert not {"PYTHONPATH", "AWS_SECRET_ACCESS_KEY", "VIRTUAL_ENV", "PEX_PATH"} & set(
        variables
    )
    assert "UV_TORCH_BACKEND" not in variables


def _wheel(folder: Path) -> None:
    """A package `tiny` 1.0, as an index would have it."""
    about = {
        "METADATA": "Metadata-Version: 2.1\nName: tiny\nVersion: 1.0\n",
        "WHEEL": "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\n"
        "Tag: py3-none-any\n",
        "RECORD": "",
    }
    with zipfile.ZipFile(folder / "tiny-1.0-py3-none-any.whl", "w") as wheel:
        wheel.writestr("tiny.py", "version = '1.0'\n")
        for name, text in about.items():
            wheel.writestr(f"tiny-1.0.dist-info/{name}", text)


def _tiny(folder: Path) -> Server:
    def steps(place: Place, wanted: Wish) -> tuple[Step, ...]:
        where = ("--no-index", "--find-links", str(folder), f"tiny=={wanted.version}")
        return make_venv(place, wanted), pip_install(place, "install tiny", *where)

    def version_call(place: Place, _wish: Wish) -> Step:
        ask = (place.python, "-c", "import tiny; print(tiny.version)")
        return Step(title="ask for its version", command=ask)

    return replace(small_server(steps), version_call=version_call)


async def test_package_is_installed_by_pip_into_an_environment_of_its_own(
    place: Place, tmp_path: Path
) -> None:
    _wheel(tmp_path)

    with pytest.raises(CommandError, match="could not install tiny: there is no such version"):
        await install(_tiny(tmp_path), place, wish("2.0"), lambda _: None)
    done = await install(_tiny(tmp_path), place, wish(), lambda _: None)

    assert done.version == "1.0"
    assert list(place.venv.glob("lib/python*/site-packages/tiny.py"))


def _runs(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    # One that nobody has waited for yet is gone, too.
    return " Z " not in Path(f"/proc/{pid}/stat").read_text()
