"""The checkpoints of an SD WebUI: by which names they go, and how one is loaded."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from pathlib import PurePosixPath
from typing import Any, Final

from queue_agent.domain import Job, TaskFailedError
from queue_agent.runtimes.http import RuntimeHttp

LOAD_BUDGET: Final = timedelta(minutes=15)  # the run's own time limit ends it earlier
_KEY: Final = "sd_model_checkpoint"
_HASH = re.compile(r" \[[0-9a-fA-F]+\]$")


@dataclass(frozen=True, slots=True, kw_only=True)
class Checkpoint:
    """One checkpoint as `GET sd-models` lists it."""

    title: str
    model_name: str
    filename: str

    def answers_to(self, name: str) -> bool:
        """Whether `name` is its file name, title (with or without hash) or model name."""
        plain = _HASH.sub("", name)
        return name == self.title or plain in {
            _HASH.sub("", self.title),
            self.model_name,
            self.filename,
            PurePosixPath(self.filename).name,
        }

    @property
    def run_names(self) -> frozenset[str]:
        """The names by which `info.sd_model_name` may call it."""
        return frozenset({self.model_name, PurePosixPath(self.filename).stem})


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckpointShelf:
    """The checkpoints of one server."""

    http: RuntimeHttp
    api: str

    async def find(self, name: str) -> Checkpoint:
        """A checkpoint; the server looks at its folder again if it does not list it.

        Raises `TaskFailedError` with the code `model_not_found`.
        """
        found = await self._listed(name)
        if found is None:
            await self.http.post(f"{self.api}/refresh-checkpoints", budget=LOAD_BUDGET)
            found = await self._listed(name)
        if found is None:
            raise TaskFailedError("the runtime has no such checkpoint", code="model_not_found")
        return found

    async def load(self, checkpoint: Checkpoint) -> None:
        """Have the server load it; nothing is done if it is loaded already."""
        options = await self.http.get(f"{self.api}/options")
        loaded = options.body.get(_KEY) if isinstance(options.body, dict) else None
        if isinstance(loaded, str) and checkpoint.answers_to(loaded):
            return
        wanted = {_KEY: checkpoint.title}
        answer = await self.http.post(f"{self.api}/options", json=wanted, budget=LOAD_BUDGET)
        if not answer.ok:
            raise answer.failure("the runtime could not load the checkpoint", retryable=True)

    async def _listed(self, name: str) -> Checkpoint | None:
        answer = await self.http.get(f"{self.api}/sd-models")
        if not answer.ok or not isinstance(answer.body, list):
            raise answer.failure("the runtime did not list its checkpoints", retryable=True)
        listed = [_checkpoint(one) for one in answer.body]
        return next((one for one in listed if one.answers_to(name)), None)


def asked_checkpoint(job: Job) -> str | None:
    """The checkpoint that a job asks for: its body's own before the message's."""
    for field in ("override_settings", "alwayson_scripts"):
        inner = job.content.get(field)
        name = inner.get(_KEY) if isinstance(inner, Mapping) else None
        if isinstance(name, str) and name:
            return name
    return job.checkpoint


def without_routing(content: Mapping[str, Any]) -> dict[str, Any]:
    """The body without the checkpoint among its scripts, which the server would refuse."""
    scripts = content.get("alwayson_scripts")
    if not isinstance(scripts, Mapping) or not isinstance(scripts.get(_KEY), str):
        return dict(content)
    kept = {key: value for key, value in scripts.items() if key != _KEY}
    return {**content, "alwayson_scripts": kept}


def _checkpoint(listed: Mapping[str, Any]) -> Checkpoint:
    return Checkpoint(
        title=str(listed.get("title", "")),
        model_name=str(listed.get("model_name", "")),
        filename=str(listed.get("filename", "")),
    )
