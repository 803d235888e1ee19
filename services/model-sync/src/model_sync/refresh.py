"""Looking into the model bucket again and again, and saying what is wrong with it."""

from __future__ import annotations

import asyncio
import logging
from datetime import timedelta
from typing import Final

from model_sync.catalogue import Catalogue
from servicekit.errors import FatalError, TransientError
from servicekit.health import Health

log = logging.getLogger(__name__)

FIRST_LOOK_PAUSE: Final = timedelta(seconds=1)
REFUSAL_PAUSE: Final = timedelta(minutes=1)
LONGEST_PAUSE: Final = timedelta(minutes=15)


async def keep_fresh(catalogue: Catalogue, health: Health, every: timedelta) -> None:
    """Look into the bucket at an interval, until cancelled; ready after the first look.

    An outage leaves the old catalogue. While AWS refuses the bucket, nothing is ready and the
    looks become rare. Raises `FatalError` if there is no such bucket.
    """
    refused = timedelta()
    while True:
        pause = every
        try:
            await catalogue.refresh()
        except TransientError:
            log.warning("model bucket cannot be read, the catalogue is old", exc_info=True)
            if health.reason is not None:
                pause = FIRST_LOOK_PAUSE
        except FatalError as error:
            if error.details.get("code") == "NoSuchBucket":
                raise
            log.exception("model bucket is refused", extra=error.details)
            await health.not_ready(str(error))
            refused = pause = max(min(2 * refused, LONGEST_PAUSE), REFUSAL_PAUSE)
        else:
            refused = timedelta()
            await health.ready()
        await asyncio.sleep(pause.total_seconds())
