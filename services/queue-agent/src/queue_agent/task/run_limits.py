"""How long a run may take, from the work that its task asks for. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Final

from contracts.kinds import TaskType

MEGA: Final = 1e6
_STEPS: Final = 50.0  # SD WebUI's own default through its API
_SIDE: Final = 512.0
_HIRES_SCALE: Final = 2.0
_EXTRAS_SCALE: Final = 2.0


@dataclass(frozen=True, slots=True, kw_only=True)
class RunLimits:
    """The bounds of a run's time and what a step on a million pixels may take."""

    floor: timedelta
    cap: timedelta
    per_megapixel_step: timedelta


def run_timeout(
    tasktype: TaskType, content: Mapping[str, Any], override: float | None, limits: RunLimits
) -> timedelta:
    """The time limit of a run.

    `override` is in seconds and counts instead of the work; only the cap is above it. A body
    whose numbers are none is taken by the runtime's defaults: it is not ours to refuse it.
    """
    if override is not None:
        return min(timedelta(seconds=override), limits.cap)
    seconds = _megapixel_steps(tasktype, content) * limits.per_megapixel_step.total_seconds()
    longest = limits.cap.total_seconds()
    return max(min(timedelta(seconds=min(seconds, longest)), limits.cap), limits.floor)


def _megapixel_steps(tasktype: TaskType, content: Mapping[str, Any]) -> float:
    match tasktype:
        case TaskType.TEXT_TO_IMAGE | TaskType.IMAGE_TO_IMAGE:
            return _generation(content)
        case TaskType.EXTRA_SINGLE_IMAGE | TaskType.EXTRA_BATCH_IMAGES:
            return _extras(content)
        case TaskType.PIPELINE:
            return _graph(content)


def _generation(content: Mapping[str, Any]) -> float:
    steps = _number(content, "steps", _STEPS)
    width, height = _number(content, "width", _SIDE), _number(content, "height", _SIDE)
    images = _number(content, "batch_size", 1) * _number(content, "n_iter", 1)
    work = steps * width * height
    if content.get("enable_hr") is True:
        scale = _number(content, "hr_scale", _HIRES_SCALE)
        wide = _number(content, "hr_resize_x", width * scale)
        high = _number(content, "hr_resize_y", height * scale)
        work += _number(content, "hr_second_pass_steps", steps) * wide * high
    return images * work / MEGA


def _extras(content: Mapping[str, Any]) -> float:
    listed = content.get("imageList")
    images = len(listed) if isinstance(listed, list) else 1
    return images * _number(content, "upscaling_resize", _EXTRAS_SCALE) ** 2


def _graph(content: Mapping[str, Any]) -> float:
    """The work if every sampler of a graph works on the largest picture that it names."""
    inner = content.get("prompt")
    graph = inner if isinstance(inner, Mapping) and "class_type" not in inner else content
    nodes = [node.get("inputs") for node in graph.values() if isinstance(node, Mapping)]
    inputs = [one for one in nodes if isinstance(one, Mapping)]
    steps = sum(_number(one, "steps", 0) for one in inputs)
    pixels = max(
        (
            _number(one, "width", _SIDE)
            * _number(one, "height", _SIDE)
            * _number(one, "batch_size", 1)
            * _number(one, "length", 1)
            for one in inputs
        ),
        default=_SIDE * _SIDE,
    )
    return steps * pixels / MEGA


def _number(fields: Mapping[str, Any], name: str, default: float) -> float:
    """A positive number; 0 is how the runtimes say `your default`."""
    value = fields.get(name)
    if isinstance(value, int | float) and not isinstance(value, bool) and value > 0:
        return float(min(value, MEGA))
    return default
