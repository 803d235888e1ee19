"""The parts of DynamoDB expressions that the ledger's writes are made of."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import datetime
from typing import Any, TypeVar

from contracts.cost import Cost
from ledger.items import DUE_SINCE, write_failure, write_numbers, write_texts, write_time
from ledger.record import Result

V = TypeVar("V")

OPEN = "#state IN (:queued, :running)"
RUNS = "#state = :running AND attempt = :attempt"
STAGED = "attribute_not_exists(started_at)"
# What clients are told is the state, but for what is only staged.
QUEUED = f"(#state = :queued OR (#state = :running AND {STAGED}))"
NEXT = "#sequence = if_not_exists(#sequence, :one) + :one"
COMMON = {":queued": {"S": "queued"}, ":running": {"S": "running"}, ":one": {"N": "1"}}
UNCHARGED = "NOT contains(charged, :charged_attempt)"
YES, NO = {"BOOL": True}, {"BOOL": False}
NAMES = {
    "#state": "state",
    "#error": "error",
    "#sequence": "sequence",
    "#due": DUE_SINCE,
    "#cancel": "cancel_requested",
    **{f"#{name}": name for name in ("currency", "node_type", "capacity")},
}


def mentioned(known: Mapping[str, V], text: str) -> dict[str, V]:
    """Those placeholders that `text` has; DynamoDB refuses the others."""
    return {name: known[name] for name in known if re.search(rf"{re.escape(name)}\b", text)}


def charging(attempt: int, cost: Cost) -> tuple[str, dict[str, Any]]:
    """What sets the cost of one more attempt, and its values; see `UNCHARGED`."""
    sets = [
        "gpu_ms = if_not_exists(gpu_ms, :zero) + :gpu_ms",
        "charged = list_append(if_not_exists(charged, :empty), :charged)",
    ]
    values: dict[str, Any] = {
        ":zero": {"N": "0"},
        ":empty": write_numbers(()),
        ":gpu_ms": {"N": str(cost.gpu_ms)},
        ":charged": write_numbers((attempt,)),
        ":charged_attempt": {"N": str(attempt)},
    }
    if cost.micros is not None:
        sets.append("cost_micros = if_not_exists(cost_micros, :zero) + :micros")
        values[":micros"] = {"N": str(cost.micros)}
    for name in ("currency", "node_type", "capacity"):
        if word := getattr(cost, name):
            sets.append(f"#{name} = :{name}")
            values[f":{name}"] = {"S": word}
    return ", ".join(sets), values


def finishing(result: Result, now: datetime) -> tuple[str, dict[str, Any]]:
    """The change that commits a result, and its values."""
    sets = ["#state = :state", "finished_at = :now", "image_url = :images", NEXT]
    sets += ["callback_due = :yes", "#due = :now"]
    values: dict[str, Any] = {
        ":state": {"S": result.state},
        ":now": {"S": write_time(now)},
        ":images": write_texts(result.image_url),
        ":yes": YES,
    }
    if result.output_url is not None:
        sets.append("output_url = :output")
        values[":output"] = {"S": result.output_url}
    if result.started_at is not None:
        sets.append("started_at = if_not_exists(started_at, :started)")
        values[":started"] = {"S": write_time(result.started_at)}
    if result.error:
        sets.append("#error = :error")
        values[":error"] = write_failure(result.error)
    if result.warnings:
        sets.append("warnings = :warnings")
        values[":warnings"] = write_texts(result.warnings)
    return f"SET {', '.join(sets)} REMOVE progress", values
