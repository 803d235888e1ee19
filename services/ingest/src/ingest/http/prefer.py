"""The header `Prefer` of RFC 7240, as far as we honour it: `wait`."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import timedelta

from ingest.domain import LONGEST_WAIT


def wait_of(headers: Iterable[str]) -> timedelta:
    """How long the client would wait, a minute at most; what we cannot read is ignored."""
    for preference in ",".join(headers).split(","):
        name, _, value = preference.partition(";")[0].partition("=")
        seconds = value.strip().strip('"')
        if name.strip().lower() == "wait" and seconds.isascii() and seconds.isdigit():
            # The first one counts. A number of many digits is long in any case.
            return timedelta(seconds=min(int(seconds[:9]), LONGEST_WAIT))
    return timedelta(0)
