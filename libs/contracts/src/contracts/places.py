"""Where the files of a submission are, the same for each of its attempts; and of a runtime."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import Final

from contracts.ids import Key, Prefix, TaskId, Uid, output_key

LISTINGS_BYTES: Final = 3 * 2**20  # as they are kept; all nodes of a ComfyUI take a tenth


def listings_key(runtime: str) -> Key:
    """The key of what a runtime offers, in the output bucket: JSON by resource, in gzip."""
    return Key(f"runtimes/{runtime}/listings.json.gz")


@dataclass(frozen=True, slots=True, kw_only=True)
class OutputPlace:
    """The folder of one submission in the output bucket."""

    bucket: str
    prefix: Prefix
    id: TaskId
    uid: Uid

    @property
    def location(self) -> str:
        """`s3://bucket/prefix/id`, as the client is told."""
        return self.url(f"{self.prefix}/{self.id}")

    @property
    def out_key(self) -> Key:
        """The key of the `.out` document."""
        return output_key(self.prefix, self.id, self._code, "out")

    def file_key(self, name: int | str, extension: str) -> Key:
        """The key of image `name`, counted from 1, or of a grid; `extension` has no dot.

        Raises `ValueError` for an extension that is none.
        """
        return output_key(self.prefix, self.id, f"{self._code}-{name}", extension)

    def own_file_key(self, name: int | str, extension: str) -> Key:
        """The key of a file whose usual key is taken; no other submission has this one."""
        return output_key(self.prefix, self.id, f"{self.uid.lower()}-{name}", extension)

    def own_out_key(self, attempt: int) -> Key:
        """The key of the `.out` document of one attempt, if the usual one is taken."""
        return output_key(self.prefix, self.id, f"{self.uid.lower()}-a{attempt}", "out")

    def url(self, key: str) -> str:
        """The `s3://` URL of a key in the bucket."""
        return f"s3://{self.bucket}/{key}"

    @property
    def _code(self) -> str:
        # Four digits, as in the original solution, but the same for each attempt. Two
        # submissions of an id can have the same.
        return hashlib.sha256(self.uid.encode()).hexdigest()[:4]
