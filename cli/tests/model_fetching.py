"""A model that is served and fetched into a folder."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path

import pytest
from model_server import ModelServer, Served, running, weights

from darkroom_cli.errors import CommandError
from darkroom_cli.models.files import Model, model
from darkroom_cli.models.folder import FolderStore
from darkroom_cli.models.progress import lines

TOKEN = "a-token-that-nobody-sees"  # noqa: S105  # of the test's own server
CONTENT = weights()
SIZE = len(CONTENT)
SUM = hashlib.sha256(CONTENT).hexdigest()
PATH = "/a.safetensors"
WHOLE = {"Stable-diffusion/a.safetensors": CONTENT}


class Fetching:
    """A folder, and what is served for it."""

    def __init__(self, server: ModelServer, root: Path) -> None:
        self.server, self.root = server, root
        self.told: list[str] = []

    def serve(self, **how: object) -> Served:
        self.server.files[PATH] = Served(**{"content": CONTENT, **how})  # type: ignore[arg-type]  # of its fields
        return self.server.files[PATH]

    async def fetch(self, wanted: Model | None = None, *, force: bool = False) -> bool:
        store = FolderStore(
            root=self.root, shown=lines(self.told.append), force=force, pause_seconds=0
        )
        return await store.fetch(wanted or self.wanted())

    def wanted(self, **facts: object) -> Model:
        return model(self.server.url + PATH, **facts)  # type: ignore[arg-type]  # of its parameters

    async def refused(self, wanted: Model | None = None) -> str:
        with pytest.raises(CommandError) as caught:
            await self.fetch(wanted)
        assert TOKEN not in str(caught.value)
        assert "\n" not in str(caught.value)
        return str(caught.value).removeprefix(f"{self.server.url}{PATH}: ")

    def files(self) -> dict[str, bytes]:
        return {
            str(path.relative_to(self.root)): path.read_bytes()
            for path in self.root.rglob("*")
            if path.is_file()
        }


@pytest.fixture
def fetching(tmp_path: Path) -> Iterator[Fetching]:
    """A server and an empty folder."""
    with running() as server:
        yield Fetching(server, tmp_path / "models")
