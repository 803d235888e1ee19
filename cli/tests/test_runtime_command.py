"""`darkroom runtime`, as it is called."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from darkroom_cli.main import app
from darkroom_cli.runtimes.installed import Installed, held, write_installed, write_unfinished
from darkroom_cli.runtimes.known import SERVERS
from darkroom_cli.runtimes.server import Device, Place, Step, Wish
from small_servers import small_server, step


@pytest.fixture(autouse=True)
def _small(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def steps(place: Place, _wish: Wish) -> tuple[Step, ...]:
        make = "import os, sys; os.mkdir(sys.argv[1]); print('made')"
        return (step("make it", make, str(place.venv), makes=place.venv),)

    monkeypatch.setitem(SERVERS, "comfyui", small_server(steps))
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    monkeypatch.setenv("HOME", str(tmp_path))


def call(*arguments: object) -> Result:
    return CliRunner().invoke(app, ["runtime", *map(str, arguments)])


def installed_at(folder: Path, **changes: object) -> Place:
    place = Place(folder)
    place.venv.mkdir(parents=True)
    given = {"name": "comfyui", "version": "1.0", "device": Device.CPU, **changes}
    write_installed(place, Installed.model_validate(given))
    return place


def test_install_says_what_it_takes_shows_progress_and_how_to_start(tmp_path: Path) -> None:
    folder = tmp_path / "place"

    done = call("install", "comfyui", "--device", "cpu", "--yes", "--dir", folder)

    assert done.exit_code == 0, done.output
    for said in ("licence  GPL-3.0", "disk     about 0 GB", "cpu (slow", "nowhere"):
        assert said in done.stdout
    assert "make it" in done.stderr
    assert f"start it: darkroom up --with comfyui={folder}" in done.stderr


def test_second_install_says_that_it_is_there(tmp_path: Path) -> None:
    installed_at(tmp_path / "place")

    done = call("install", "comfyui", "--device", "cpu", "--dir", tmp_path / "place")

    assert done.exit_code == 0
    assert f"Small is there already: {tmp_path / 'place'}" in done.stderr


def test_dry_run_tells_the_commands_and_makes_nothing(tmp_path: Path) -> None:
    done = call("install", "comfyui", "--dry-run", "--dir", tmp_path / "place")

    assert done.exit_code == 0
    assert "make it: " in done.stdout
    assert not (tmp_path / "place").exists()


def test_install_and_remove_say_as_json_what_is_where(tmp_path: Path) -> None:
    given = ("install", "comfyui", "--device", "cpu", "--dir", tmp_path / "place", "--json")

    (step,) = json.loads(call(*given, "--dry-run").stdout)
    assert step["title"] == "make it"
    made = json.loads(call(*given, "--yes").stdout)
    assert (made["name"], made["state"], made["device"]) == ("comfyui", "installed", "cpu")
    assert made["folder"] == str(tmp_path / "place")
    assert made["start"] == f"darkroom up --with comfyui={tmp_path / 'place'}"
    assert json.loads(call(*given).stdout) == made  # it is there already

    gone = json.loads(
        call("remove", "comfyui", "--dir", tmp_path / "place", "--yes", "--json").stdout
    )
    assert gone == {"name": "comfyui", "folder": str(tmp_path / "place"), "gone": True}


def test_licence_that_nobody_accepted_installs_nothing(tmp_path: Path) -> None:
    done = call("install", "comfyui", "--device", "cpu", "--dir", tmp_path / "place")

    assert done.exit_code == 1
    assert "accept it with --accept-licence" in done.stderr
    assert not (tmp_path / "place").exists()


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (("forge",), "'forge' is no server to install"),
        (("comfyui", "--device", "tpu"), "--device tpu: must be one of auto, cpu"),
        (("comfyui", "--version", "1; rm"), "--version 1; rm: is no version"),
        (("comfyui", "--version", "1", "--source", "x"), "--version and --source: a checkout"),
        (("comfyui", "--source", "/nosuch"), "--source /nosuch: is no checkout of Small"),
    ],
)
def test_wrong_option_is_one_sentence(arguments: tuple[str, ...], reason: str) -> None:
    done = call("install", *arguments, "--yes")

    assert done.exit_code == 1
    assert done.stderr.startswith(f"darkroom: {reason}")


def test_folder_that_holds_something_else_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").touch()

    done = call("install", "comfyui", "--yes", "--device", "cpu", "--dir", tmp_path)

    assert done.exit_code == 1
    assert f"{tmp_path} holds something else" in done.stderr


def test_other_version_in_the_folder_is_told_with_the_remedy(tmp_path: Path) -> None:
    folder = tmp_path / "place"
    installed_at(folder, version="0.9")

    done = call("install", "comfyui", "--device", "cpu", "--yes", "--dir", folder)

    assert done.exit_code == 1
    assert f"`darkroom runtime remove comfyui --dir {folder}`" in done.stderr


def test_list_has_what_is_installed_and_what_is_unfinished(tmp_path: Path) -> None:
    place = installed_at(tmp_path / "place")
    other = Place(tmp_path / "other")
    other.path.mkdir()
    begun = Installed(name="invokeai", version="2", device=Device.CUDA)
    write_unfinished(other, begun)

    done = call("list", "--json", "--dir", place.path, "--dir", other.path)

    rows = [(row["name"], row["device"], row["state"]) for row in json.loads(done.stdout)]
    assert rows == [("comfyui", "cpu", "installed"), ("invokeai", "cuda", "unfinished")]


def test_list_finds_what_is_in_the_data_folder() -> None:
    assert call("install", "comfyui", "--device", "cpu", "--yes").exit_code == 0

    (row,) = json.loads(call("list", "--json").stdout)

    assert row["name"] == "comfyui"


def test_remove_takes_what_was_made_and_leaves_a_checkout(tmp_path: Path) -> None:
    (tmp_path / "checkout").mkdir()
    place = installed_at(tmp_path / "place", source=str(tmp_path / "checkout"))

    done = call("remove", "comfyui", "--dir", place.path, "--yes")

    assert done.exit_code == 0, done.output
    assert not place.path.exists()
    assert (tmp_path / "checkout").exists()


def test_remove_does_not_follow_links_and_leaves_what_others_have_put_there(
    tmp_path: Path,
) -> None:
    place = installed_at(tmp_path / "place")
    (tmp_path / "shared").mkdir()
    place.venv.rmdir()
    place.venv.symlink_to(tmp_path / "shared")
    (place.path / "notes.txt").touch()

    done = call("remove", "comfyui", "--dir", place.path, "--yes")

    assert done.exit_code == 0
    assert "but for what others have put into" in done.stderr
    assert [each.name for each in place.path.iterdir()] == ["notes.txt"]
    assert (tmp_path / "shared").exists()


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [((), "say --yes to remove it"), (("--yes",), "is in use by a `darkroom up --with`")],
)
def test_remove_asks_and_leaves_what_is_in_use(
    tmp_path: Path, arguments: tuple[str, ...], reason: str
) -> None:
    place = installed_at(tmp_path / "place")

    with held(place, shared=True):
        done = call("remove", "comfyui", "--dir", place.path, *arguments)

    assert done.exit_code == 1
    assert reason in done.stderr
    assert place.venv.exists()


def test_remove_of_what_is_not_there_is_one_sentence(tmp_path: Path) -> None:
    done = call("remove", "comfyui", "--dir", tmp_path, "--yes")

    assert done.exit_code == 1
    assert done.stderr == f"darkroom: Small is not installed in {tmp_path}\n"
