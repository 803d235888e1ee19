"""The checkpoints of an SD WebUI: what a job asks for, and how it is found and loaded."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any, Final

from queue_agent.domain import Job, TaskFailedError
from queue_agent.runtimes.http import RuntimeHttp
from queue_agent.runtimes.sdwebui.checkpoints import Checkpoint, chosen, not_found

LOAD_BUDGET: Final = timedelta(minutes=15)  # the run's own time limit ends it earlier
_KEY: Final = "sd_model_checkpoint"
_OVERRIDES: Final = "override_settings"
_SECOND: Final = ("refiner_checkpoint", "hr_checkpoint_name")
_NO_SECOND: Final = frozenset({"", "None", "none", "Use same checkpoint"})


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckpointShelf:
    """The checkpoints of one server; `listed` is kept for names that can mean one only."""

    http: RuntimeHttp
    api: str
    listed: list[Checkpoint] = field(default_factory=list)

    async def find(self, name: str) -> Checkpoint:
        """A checkpoint; the server looks at its folder again if it does not list it.

        Raises `TaskFailedError` with the codes `model_not_found` and `model_ambiguous`.
        """
        for one in self.listed:
            if name in {one.title, one.path, one.filename}:
                return one
        found = chosen(await self._list(), name)
        if found is None:
            await self.http.post(f"{self.api}/refresh-checkpoints", budget=LOAD_BUDGET)
            found = chosen(await self._list(), name)
        if found is None:
            raise not_found(self.listed, name)
        return found

    async def load(self, checkpoint: Checkpoint) -> None:
        """Have the server load it; nothing is done if it is loaded already."""
        options = await self.http.get(f"{self.api}/options")
        if isinstance(options.body, dict) and options.body.get(_KEY) == checkpoint.title:
            return
        wanted = {_KEY: checkpoint.title}
        answer = await self.http.post(f"{self.api}/options", json=wanted, budget=LOAD_BUDGET)
        if not answer.ok:
            raise answer.failure("the runtime could not load the checkpoint", retryable=True)

    async def made(self, checkpoint: Checkpoint, info: Mapping[str, Any]) -> bool:
        """Whether a run's `info` says that this checkpoint made the image.

        A server computes a hash when it first loads the file, so the list may know it only now.
        """
        if checkpoint.hash or not info.get("sd_model_hash"):
            return checkpoint.made(info)
        listed = [one for one in await self._list() if one.filename == checkpoint.filename]
        return all(one.made(info) for one in [checkpoint, *listed])

    async def _list(self) -> list[Checkpoint]:
        answer = await self.http.get(f"{self.api}/sd-models")
        if not answer.ok or not isinstance(answer.body, list):
            raise answer.failure("the runtime did not list its checkpoints", retryable=True)
        self.listed[:] = [Checkpoint.read(one) for one in answer.body]
        return self.listed


def asked_checkpoint(job: Job) -> str | None:
    """The checkpoint that a job asks for: its body's own before the message's."""
    return next(in_body(job.content), job.checkpoint)


def in_body(content: Mapping[str, Any]) -> Iterator[str]:
    """The checkpoints that a body asks for; more than one are to be the same."""
    for name in (_OVERRIDES, "alwayson_scripts"):
        inner = content.get(name)
        asked = inner.get(_KEY) if isinstance(inner, Mapping) else None
        if isinstance(asked, str) and asked:
            yield asked


async def exact(
    job: Job, checkpoint: Checkpoint | None, shelf: CheckpointShelf
) -> dict[str, Any]:
    """The body with `checkpoint` asked for by its title, which means no other one.

    Raises `TaskFailedError` as `find` does, and for a job that asks for another checkpoint.
    """
    changed = without_routing(job.content)
    for name in _SECOND:
        second = changed.get(name)
        if isinstance(second, str) and second not in _NO_SECOND:
            changed[name] = (await shelf.find(second)).title
    if checkpoint is None:
        return changed
    told = [job.checkpoint] if job.checkpoint else []
    for asked in [*told, *in_body(job.content)]:
        if (await shelf.find(asked)).title != checkpoint.title:
            raise TaskFailedError(
                f"'{checkpoint.title}' is to be used, and the task asks for '{asked}'",
                code="model_not_found",
            )
    overrides = changed.get(_OVERRIDES)
    given = overrides if isinstance(overrides, Mapping) else {}
    return {**changed, _OVERRIDES: {**given, _KEY: checkpoint.title}}


def without_routing(content: Mapping[str, Any]) -> dict[str, Any]:
    """The body without the checkpoint among its scripts, which the server would refuse."""
    scripts = content.get("alwayson_scripts")
    if not isinstance(scripts, Mapping) or not isinstance(scripts.get(_KEY), str):
        return dict(content)
    kept = {key: value for key, value in scripts.items() if key != _KEY}
    return {**content, "alwayson_scripts": kept}
