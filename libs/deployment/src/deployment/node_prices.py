"""What an hour of a node costs: the list of the package, and what the configuration says."""

from __future__ import annotations

import json
from collections.abc import Mapping
from importlib import resources
from typing import Any

from deployment.cost import PRICES_FILE


def node_prices(configured: Mapping[str, Any]) -> dict[str, Any]:
    """`currency` and `types`, from `nodePrices` of the configuration.

    A type that is configured replaces that of the list, and another currency all of it.
    """
    listed = json.loads(resources.files("deployment").joinpath(PRICES_FILE).read_text("utf-8"))
    currency = configured.get("currency", listed["currency"])
    known = listed["nodes"] if currency == listed["currency"] else {}
    return {"currency": currency, "types": {**known, **configured.get("types", {})}}
