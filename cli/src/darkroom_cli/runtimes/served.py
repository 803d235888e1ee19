"""An installed server that a stack starts."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from darkroom_cli.errors import CommandError
from darkroom_cli.runtimes.installed import installed
from darkroom_cli.runtimes.machine import nvidia_driver
from darkroom_cli.runtimes.server import Device, Launch, Place, Server, Serving, Wish


@dataclass(frozen=True, slots=True, kw_only=True)
class Served:
    """What is installed in a folder, and what it computes on today."""

    server: Server
    place: Place
    wish: Wish
    device: Device

    def launched(self, *, port: int, models: Path, files: Path) -> Launch:
        """How it is started; its folders and files are made. Raises `CommandError`."""
        to = Serving(port=port, models=models, files=files, device=self.device)
        launch = self.server.launch(self.place, self.wish, to)
        try:
            for folder in (models, files, *launch.swept):
                folder.mkdir(parents=True, exist_ok=True)
            for path, text in launch.texts.items():
                path.write_text(text)
        except OSError as error:
            raise CommandError(f"cannot write {error.filename}: {error.strerror}") from error
        return launch


def served_from(server: Server, place: Place) -> Served:
    """The server that is installed in a folder; raises `CommandError` if it is not."""
    found = installed(place)
    if found is None or found.name != server.name:
        raise CommandError(
            f"--with {server.name}: {server.title} is not installed in {place.path}; install it"
            f" with `darkroom runtime install {server.name} --dir {place.path}`"
        )
    for needed in filter(None, (Path(place.python), found.source)):
        if not needed.exists():
            raise CommandError(
                f"--with {server.name}: {needed} is gone; remove what is left with `darkroom"
                f" runtime remove {server.name} --dir {place.path}` and install it again"
            )
    gone = found.device is Device.CUDA and nvidia_driver() is None
    device = Device.CPU if gone else found.device
    return Served(server=server, place=place, wish=found.wish(), device=device)
