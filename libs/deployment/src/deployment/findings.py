"""What a check of the configuration file says."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from enum import StrEnum

Path = tuple[str | int, ...]
"""Where something is: `("modelsRuntime", 1, "name")`."""

SHOWN_CHARACTERS = 60


class Level(StrEnum):
    """An error keeps the file from being deployed, a warning does not."""

    ERROR = "error"
    WARNING = "warning"


@dataclass(frozen=True)
class Finding:
    """One thing that is wrong, or that the reader should know."""

    path: Path
    found: str
    allowed: str  # of a warning: what is done, or what to do
    level: Level = Level.ERROR
    line: int | None = None  # from 1; None when the configuration came without a text

    @property
    def key(self) -> str:
        """The path as people write it: `modelsRuntime[1].name`."""
        return written(self.path)

    @property
    def text(self) -> str:
        """One sentence that names the key, what was found and what is allowed."""
        found = f"found {self.found}"
        where = f"{self.key}: " if self.path else ""
        allowed = "allowed: " if self.level is Level.ERROR else ""
        return f"{where}{found}; {allowed}{self.allowed}"

    def as_dict(self) -> dict[str, str | int | None]:
        """The finding as JSON has it."""
        plain = {name: value for name, value in asdict(self).items() if name != "path"}
        return {"key": self.key, **plain, "level": self.level.value, "text": self.text}


def warning(path: Path, found: str, advice: str) -> Finding:
    """A finding that does not keep the file from being deployed."""
    return Finding(path, found, advice, Level.WARNING)


def written(path: Path) -> str:
    """A path as text; a name that is not plain stands in brackets and quotes."""
    text = ""
    for step in path:
        if isinstance(step, int):
            text += f"[{step}]"
        elif step.replace("_", "").replace("-", "").isalnum():
            text += f".{step}" if text else step
        else:
            text += f"[{step!r}]"
    return text


def shown(value: object) -> str:
    """A value as a sentence has it, cut to a readable length."""
    match value:
        case None:
            return "nothing"
        case bool():
            return "true" if value else "false"
        case str():
            cut = value if len(value) <= SHOWN_CHARACTERS else f"{value[:SHOWN_CHARACTERS]}..."
            return repr(cut)
        case dict():
            return f"a mapping with {_count(len(value), 'key')}"
        case list():
            return f"a list with {_count(len(value), 'entry', 'entries')}"
        case _:
            return str(value)[:SHOWN_CHARACTERS]


def _count(number: int, one: str, many: str | None = None) -> str:
    return f"{number} {one if number == 1 else many or one + 's'}"
