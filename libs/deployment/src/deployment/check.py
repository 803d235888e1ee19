"""Checks a configuration: what is wrong with it, and what its reader should know."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Any

from deployment import built_images, document, original, rules, runtime_rules, schema
from deployment.document import Document
from deployment.findings import Finding, Level

Source = str | bytes | Mapping[str, object]


@dataclass(frozen=True)
class Checked:
    """A configuration after its check; `values` may be deployed when there are no errors."""

    values: dict[str, Any]
    findings: tuple[Finding, ...]

    @property
    def errors(self) -> tuple[Finding, ...]:
        """The findings that keep it from being deployed."""
        return tuple(each for each in self.findings if each.level is Level.ERROR)

    @property
    def warnings(self) -> tuple[Finding, ...]:
        """The findings that do not."""
        return tuple(each for each in self.findings if each.level is Level.WARNING)


def check(
    source: Source,
    region: str | None = None,
    images: Mapping[str, built_images.Image] = MappingProxyType({}),
) -> Checked:
    """The values and findings of a YAML text or a mapping; never raises.

    Without a region, rules about its partition and its name's length are left out. `images` are
    those that were built, by the type of their runtime.
    """
    read = document.read(source)
    values = read.values
    if not isinstance(values, dict) or any(not each.path for each in read.findings):
        return Checked({}, tuple(read.findings))
    built_images.take(values, images)
    unread = {each.path for each in read.findings if each.level is Level.ERROR}
    found = [each for each in _findings(values, region) if each.path not in unread]
    if not any(each.level is Level.ERROR for each in [*read.findings, *found]):
        found += original.replace(values)
    return Checked(values, _in_order([*read.findings, *found], read))


def _findings(values: dict[str, Any], region: str | None) -> Iterator[Finding]:
    yield from original.leave_out(values)
    unlike = schema.findings(values)
    yield from unlike
    yield from rules.of_stack(values, region)
    for path, runtime in original.runtimes(values):
        # Rules within a runtime count on values of the right kind.
        if not any(each.path[: len(path)] == path for each in unlike):
            yield from runtime_rules.of_runtime(runtime, path)


def _in_order(found: list[Finding], read: Document) -> tuple[Finding, ...]:
    """Errors first, then warnings of other keys, each by line."""
    numbered = [replace(each, line=each.line or read.line(each.path)) for each in found]
    numbered.sort(key=lambda each: (each.level is Level.WARNING, each.line or 0))
    wrong = {each.path for each in numbered if each.level is Level.ERROR}
    return tuple(
        each for each in numbered if each.level is Level.ERROR or each.path not in wrong
    )
