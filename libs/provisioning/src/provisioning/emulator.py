"""The AWS of a laptop: how the emulator (ministack) is started, and whether it answers."""

from __future__ import annotations

import json
import os
import sys
import urllib.error
import urllib.request
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from servicekit.listen import HOST

CREDENTIALS: Final = {
    "AWS_ACCESS_KEY_ID": "test",
    "AWS_SECRET_ACCESS_KEY": "test",
    "AWS_REGION": "us-east-1",
    "AWS_DEFAULT_REGION": "us-east-1",
}
"""What the SDK needs to be told; the emulator takes any key."""
ACCOUNT: Final = "000000000000"


def command() -> list[str]:
    """The command that runs the emulator in the foreground."""
    return [sys.executable, "-m", "ministack"]


def environment(port: int, folder: Path) -> dict[str, str]:
    """The variables for an emulator on `port` that keeps its state in `folder`."""
    return {
        # Inside an archive or a sandbox the packages are only on this process's path.
        "PYTHONPATH": os.pathsep.join(path for path in sys.path if path),
        "BIND_HOST": HOST,
        "MINISTACK_HOST": HOST,
        "GATEWAY_PORT": str(port),
        "PERSIST_STATE": "1",
        "S3_PERSIST": "1",
        "STATE_DIR": str(folder / "state"),
        "S3_DATA_DIR": str(folder / "objects"),
    }


def bucket_folder(folder: Path, bucket: str) -> Path:
    """Where an emulator with that state has the objects of a bucket, as files."""
    return folder / "objects" / ACCOUNT / bucket


def move_in(
    file: Path, folder: Path, bucket: str, key: str, metadata: Mapping[str, str]
) -> None:
    """Make a file an object of an emulator that does not run; raises `OSError`.

    Through S3 the emulator would hold a model file in memory, twice.
    """
    target = bucket_folder(folder, bucket) / key
    target.parent.mkdir(parents=True, exist_ok=True)
    size = file.stat().st_size
    about = {
        "key": key,
        "size": size,
        "etag": f'"{size:032x}-1"',  # like that of an upload in parts, which is no sum either
        "content_type": "application/octet-stream",
        "metadata": {f"x-amz-meta-{name}": value for name, value in metadata.items()},
    }
    # Without this file beside it the emulator reads the whole object at each start.
    target.with_name(f"{target.name}.meta.json").write_text(json.dumps(about))
    file.replace(target)


def answers(url: str) -> bool:
    """Whether an emulator answers at `url` within a second."""
    try:
        with urllib.request.urlopen(f"{url}/_ministack/health", timeout=1) as answer:  # noqa: S310  # our own address
            return bool(answer.status == 200)  # noqa: PLR2004  # HTTP's OK
    except (urllib.error.URLError, OSError):
        return False
