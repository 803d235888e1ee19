"""What a model may be called in a bucket: a folder, which is its kind, and a file in it."""

from __future__ import annotations


def check_name(folder: str, filename: str) -> None:
    """Return if a model may be stored under this name; raises `ValueError`."""
    for what, value in (("folder", folder), ("name", filename)):
        if not value or "/" in value or value.startswith("."):
            raise ValueError(f"the {what} {value!r} must be one name without /")
