"""How pages are drawn: templates, and how values look in them."""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from starlette.requests import Request
from starlette.responses import HTMLResponse

from darkroom_client import Cost, Money

HERE: Final = Path(__file__).parent
_MINUTE: Final = 60
_HOUR: Final = 3600
_UNIT: Final = 1024


def is_part(request: Request) -> bool:
    """Whether a page asks for a part of itself, by htmx."""
    return "hx-request" in request.headers


def render(
    request: Request, template: str, *, status: int = 200, **values: Any
) -> HTMLResponse:
    """A page, or the live part of it if that is what is asked for."""
    text = _TEMPLATES.get_template(template).render(
        request=request,
        layout="part.html" if is_part(request) else "page.html",
        here=f"{request.url.path}?{request.url.query}".rstrip("?"),
        **values,
    )
    return HTMLResponse(text, status_code=status, headers={"vary": "hx-request"})


def said(request: Request, *sentences: str, refresh: bool = True) -> HTMLResponse:
    """What an action has done, for the page that asked for it, which then looks again."""
    answer = render(request, "said.html", page="", sentences=sentences)
    if refresh:
        answer.headers["hx-trigger"] = "refresh"
    return answer


def moment(time: datetime | None) -> str:
    """A moment as clocks on this machine show it."""
    return time.astimezone().strftime("%d %b %H:%M:%S") if time else "-"


def lasting(seconds: float | None) -> str:
    """How long something takes, in two units at most."""
    if seconds is None:
        return "-"
    if seconds < _MINUTE:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), _MINUTE)
    if seconds < _HOUR:
        return f"{minutes} min {rest} s"
    return f"{minutes // _MINUTE} h {minutes % _MINUTE} min"


def between(first: datetime | None, last: datetime | None) -> str:
    """How long it is from one moment to another; to now if there is no other yet."""
    if first is None:
        return "-"
    return lasting(((last or datetime.now(UTC)) - first).total_seconds())


def size(count: float) -> str:
    """A number of bytes."""
    for unit in ("B", "KB", "MB"):
        if count < _UNIT:
            return f"{count:.0f} {unit}"
        count /= _UNIT
    return f"{count:.1f} GB"


def money(cost: Cost | Money | None) -> str:
    """An amount of money, if there is one."""
    if cost is None or cost.amount is None:
        return "-"
    return f"{cost.amount} {cost.currency}"


def pretty(value: Any) -> str:
    """JSON for people."""
    return json.dumps(value, indent=2, ensure_ascii=False)


def sparkline(counts: Sequence[float], width: int = 120, height: int = 24) -> str:
    """The points of a line through some counts, for SVG."""
    most = max([1, *counts])
    step = width / max(1, len(counts) - 1)
    points = (
        f"{index * step:.1f},{height - 1 - (height - 2) * count / most:.1f}"
        for index, count in enumerate(counts)
    )
    return " ".join(points)


def _environment() -> Environment:
    made = Environment(
        loader=FileSystemLoader(HERE / "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    for show in (between, lasting, moment, money, pretty, size, sparkline):
        made.filters[show.__name__] = show
    return made


_TEMPLATES: Final = _environment()
