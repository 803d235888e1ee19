"""What may not stand in the repository."""

from __future__ import annotations

import json
from pathlib import Path

LOCK = Path("3rdparty/python/default.lock")


def test_lock_file_names_no_host() -> None:
    lines = LOCK.read_text().splitlines()
    lock = json.loads("\n".join(line for line in lines if not line.startswith("//")))

    urls = [
        artifact["url"]
        for resolve in lock["locked_resolves"]
        for requirement in resolve["locked_requirements"]
        for artifact in requirement["artifacts"]
    ]

    assert len(urls) > 100
    assert [url for url in urls if not url.startswith("file://${LOCKED_FILES}/")] == []
