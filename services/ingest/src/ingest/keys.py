"""Who may ask: a file of hashed keys, read again whenever it changes, and a secret beside it.

Looking a digest up in a dict takes a time that
depends on the digest, but a caller cannot steer digests, so the time tells nothing of a key.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from math import ceil
from pathlib import Path

from contracts.keys import BrokenKeysError, Key, KeyScope, digest_of, read_keys
from ingest.domain import Caller
from ingest.ports import KeysSecret
from ingest.throttle import Room, Throttle
from servicekit.errors import AppError, FatalError, RejectedError

log = logging.getLogger(__name__)

WATCH_INTERVAL = timedelta(seconds=1)

_Stamp = tuple[int, int, int] | None  # time, size and inode; None if there is no file


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """How fast a key may ask that says nothing of it; of all replicas together."""

    rate_per_second: float
    burst: int
    replicas: int = 1

    def callers(self, keys: list[Key]) -> dict[str, Caller]:
        """Callers by the digest of their key."""
        return {key.sha256: self._caller(key) for key in keys}

    def _caller(self, key: Key) -> Caller:
        rate, burst = key.rate_per_second or self.rate_per_second, key.burst or self.burst
        return Caller(
            name=key.name,
            tenant=key.tenant,
            scope=key.scope,
            rate_per_second=rate / self.replicas,
            burst=ceil(burst / self.replicas),
            key_rate_per_second=rate,
            key_burst=burst,
            quota=key.quota,
            expires_at=key.expires_at,
        )


class KeysFile:
    """Reads the file and tells whether it has changed since."""

    def __init__(
        self, path: Path, *, rate_per_second: float, burst: int, replicas: int = 1
    ) -> None:
        self.path = path
        self.limits = Limits(rate_per_second=rate_per_second, burst=burst, replicas=replicas)
        self._stamp: _Stamp = None

    def changed(self) -> bool:
        """Whether the file is another one than when it was read last."""
        return self._look() != self._stamp

    def read(self) -> dict[str, Caller]:
        """Callers by the digest of their key; raises `BrokenKeysError`."""
        self._stamp = self._look()  # before reading: a change in between is seen next time
        try:
            text = self.path.read_bytes()
        except OSError as error:
            raise BrokenKeysError(error.strerror or "cannot be read") from None
        return self.limits.callers(read_keys(text))

    def _look(self) -> _Stamp:
        try:
            stat = self.path.stat()
        except OSError:
            return None
        return stat.st_mtime_ns, stat.st_size, stat.st_ino


class Gate:
    """Lets callers in by their key, as fast as they may ask."""

    def __init__(self, callers: dict[str, Caller]) -> None:
        self._callers = callers
        self._besides: dict[str, Caller] = {}
        self._throttle = Throttle()

    def replace(self, callers: dict[str, Caller]) -> None:
        """Let these callers in from now on instead of those of the file."""
        self._callers = callers
        self._forget_others()

    def replace_besides(self, callers: dict[str, Caller]) -> None:
        """Let these callers in from now on instead of those of the secret."""
        self._besides = callers
        self._forget_others()

    def _forget_others(self) -> None:
        self._throttle.forget_others([*self._callers.values(), *self._besides.values()])

    def callers(self) -> list[Caller]:
        """Whoever has a key now, by tenant and name."""
        known = [*self._callers.values(), *self._besides.values()]
        return sorted(known, key=lambda caller: (caller.tenant, caller.name))

    def room(self, caller: Caller) -> Room:
        """How many requests the caller may make now."""
        return self._throttle.room(caller)

    async def admit(self, keys: list[bytes], needs: KeyScope) -> Caller:
        """Whose key it is; counts one request.

        Raises `RejectedError` unless `keys` is one valid key that is good for what it `needs`,
        and `ThrottledError`.
        """
        caller = self.caller(keys)
        await self.let_in(caller, needs)
        return caller

    async def let_in(self, caller: Caller, needs: KeyScope) -> None:
        """Count one request of a known caller; raises as `admit` does."""
        if not caller.scope.covers(needs):
            raise RejectedError(
                f"this needs a key of scope '{needs}', and this one's is '{caller.scope}'",
                code="forbidden",
            )
        await self._throttle.take(caller)

    def caller(self, keys: list[bytes]) -> Caller:
        """Whose key it is; raises `RejectedError` unless `keys` is one valid key."""
        digest = digest_of(keys[0]) if len(keys) == 1 else ""
        caller = self._callers.get(digest) or self._besides.get(digest)
        if caller is None or (caller.expires_at and caller.expires_at <= datetime.now(UTC)):
            raise RejectedError("a valid x-api-key is needed", code="unauthorized")
        return caller


def open_gate(file: KeysFile) -> Gate:
    """The gate for the file's keys; raises `FatalError` if it is missing or broken."""
    try:
        return Gate(file.read())
    except BrokenKeysError as error:
        raise FatalError(f"the API keys file {file.path} cannot be used: {error}") from None


async def watch_keys(
    file: KeysFile, gate: Gate, stop: asyncio.Event, interval: timedelta = WATCH_INTERVAL
) -> None:
    """Hand the gate each new version of the file until `stop`; a broken one changes nothing."""
    while not stop.is_set():
        if await asyncio.to_thread(file.changed):
            try:
                gate.replace(await asyncio.to_thread(file.read))
                log.info("read the API keys again")
            except BrokenKeysError:
                log.exception("kept the old API keys: the file is broken")
        with suppress(TimeoutError):
            async with asyncio.timeout(interval.total_seconds()):
                await stop.wait()


async def watch_secret(
    secret: KeysSecret,
    use: Callable[[list[Key]], None],
    stop: asyncio.Event,
    interval: timedelta,
) -> None:
    """Have each new version of the secret used until `stop`.

    While it is broken or cannot be read, that is logged, and nothing changes.
    """
    while not stop.is_set():
        try:
            keys = await secret.changed()
        except (AppError, BrokenKeysError) as error:
            log.warning("cannot use the secret of API keys: %s", error)
        else:
            if keys is not None:
                use(keys)
                log.info("read the secret of API keys")
        with suppress(TimeoutError):
            async with asyncio.timeout(interval.total_seconds()):
                await stop.wait()
