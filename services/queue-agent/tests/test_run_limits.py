from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from contracts.kinds import TaskType
from queue_agent.task.run_limits import RunLimits, run_timeout

LIMITS = RunLimits(
    floor=timedelta(seconds=10),
    cap=timedelta(seconds=1000),
    per_megapixel_step=timedelta(seconds=1),
)
LARGE = {"steps": 20, "width": 1000, "height": 1000}
SAMPLER = {"class_type": "KSampler", "inputs": {"steps": 20}}
LATENT = {
    "class_type": "EmptyLatentImage",
    "inputs": {"width": 1000, "height": 1000, "batch_size": 3},
}


@pytest.mark.parametrize(
    ("tasktype", "content", "override", "seconds"),
    [
        ("text-to-image", LARGE, None, 20),
        ("image-to-image", LARGE, None, 20),
        ("text-to-image", {**LARGE, "batch_size": 2, "n_iter": 3}, None, 120),
        ("text-to-image", {**LARGE, "enable_hr": True}, None, 100),
        ("text-to-image", {**LARGE, "enable_hr": True, "hr_second_pass_steps": 5}, None, 40),
        (
            "text-to-image",
            {**LARGE, "enable_hr": True, "hr_resize_x": 1000, "hr_resize_y": 2000},
            None,
            60,
        ),
        ("text-to-image", {"width": 1000, "height": 1000}, None, 50),
        ("text-to-image", {"steps": 1, "width": 64, "height": 64}, None, 10),
        ("text-to-image", {**LARGE, "batch_size": 500}, None, 1000),
        (
            "text-to-image",
            {"steps": "x", "width": None, "height": [], "n_iter": -1},
            None,
            13.1,
        ),
        ("text-to-image", {**LARGE, "batch_size": True}, None, 20),
        ("extra-single-image", {"upscaling_resize": 8}, None, 64),
        ("extra-batch-images", {"imageList": [1, 2, 3]}, None, 12),
        ("pipeline", {"1": SAMPLER, "2": LATENT}, None, 60),
        ("pipeline", {"prompt": {"1": SAMPLER, "2": SAMPLER, "3": LATENT}}, None, 120),
        ("pipeline", {"1": {"inputs": {"steps": ["2", 0]}}, "2": 7}, None, 10),
        ("text-to-image", LARGE, 3, 3),
        ("text-to-image", LARGE, 90.5, 90.5),
        ("text-to-image", LARGE, 86400, 1000),
    ],
)
def test_time_limit_follows_the_work(
    tasktype: str, content: dict[str, Any], override: float | None, seconds: float
) -> None:
    limit = run_timeout(TaskType(tasktype), content, override, LIMITS)

    assert limit.total_seconds() == pytest.approx(seconds, rel=0.01)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=3),
    lambda inner: (
        st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=3), inner, max_size=2)
    ),
    max_leaves=4,
)
NAMES = st.sampled_from(
    ["steps", "width", "height", "n_iter", "prompt", "inputs", "imageList", "hr_scale"]
)


@given(st.sampled_from(list(TaskType)), st.dictionaries(NAMES, JSON))
def test_every_body_has_a_limit_within_the_bounds(
    tasktype: TaskType, content: dict[str, Any]
) -> None:
    assert LIMITS.floor <= run_timeout(tasktype, content, None, LIMITS) <= LIMITS.cap
