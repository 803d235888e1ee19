"""`RecentEnds` on DynamoDB: an item for each place, which the table's TTL removes.

They are read by their keys, so no index has them.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final

from awsio.errors import translated
from contracts.ids import Uid
from ledger.dynamodb_reads import DynamoDbReads
from ledger.recent import Place, joined, places_of
from ledger.usage import Counts

KEPT: Final = timedelta(hours=6)
# The name of a number is a letter and the minute, so that an hour takes little space.
_LETTERS: Final = {
    "t": "tasks", "c": "completed", "f": "failed", "x": "cancelled", "i": "images",
    "g": "gpu_ms",
}  # fmt: skip
_NUMBER: Final = re.compile(f"([{''.join(_LETTERS)}])([0-5][0-9])")


@dataclass(frozen=True, slots=True, kw_only=True)
class DynamoDbRecentEnds:
    """In the table of a ledger."""

    ledger: DynamoDbReads

    async def add(self, place: Place, minutes: Mapping[int, Counts]) -> None:
        numbers = {
            f"{letter}{minute:02}": number
            for minute, counts in minutes.items()
            for letter, name in _LETTERS.items()
            if (number := int(getattr(counts, name)))
        }
        if not numbers:
            return
        end = int((place.hour + KEPT).timestamp())
        with translated("dynamodb.update_item"):
            await self.ledger.client.update_item(
                TableName=self.ledger.table,
                Key={"uid": {"S": _uid(place)}},
                UpdateExpression="SET expires_at = :end ADD "
                + ", ".join(f"{name} :{name}" for name in numbers),
                ExpressionAttributeValues={
                    ":end": {"N": str(end)},
                    **{f":{name}": {"N": str(number)} for name, number in numbers.items()},
                },
            )

    async def last_hour(
        self, tenant: str, runtimes: Sequence[str], now: datetime
    ) -> dict[str, tuple[Counts, ...]]:
        places = {_uid(place): place for place in places_of(tenant, runtimes, now)}
        items = await self.ledger.items([Uid(uid) for uid in places])
        found = {places[item["uid"]["S"]]: _minutes(item) for item in items}
        return joined(found, tenant, runtimes, now)


def _uid(place: Place) -> str:
    return f"recent#{place.tenant}#{place.runtime}#{place.hour:%Y-%m-%dT%H}"


def _minutes(item: Mapping[str, Any]) -> dict[int, Counts]:
    numbers: dict[int, dict[str, int]] = {}
    for attribute, value in item.items():
        if number := _NUMBER.fullmatch(attribute):
            letter, minute = number.groups()
            numbers.setdefault(int(minute), {})[_LETTERS[letter]] = int(value["N"])
    return {minute: Counts(**counts) for minute, counts in numbers.items()}
