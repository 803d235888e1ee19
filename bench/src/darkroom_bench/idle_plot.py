"""The plot of the benchmark `gpu_idle`: how busy the runtime is, by the latency of AWS."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from typing import Final

import leather

from darkroom_bench.idle_run import Idle

SECONDS: Final = 0.2  # of an image in the plot
COLORS: Final = ("#c0504d", "#1f6fb2", "#6a8f3c")
WIDTH, HEIGHT = 720, 400


def plot(found: Iterable[Idle]) -> str:
    """An SVG with a line for each depth, of the images of `SECONDS` without inputs."""
    lines: dict[int, list[tuple[float, float]]] = defaultdict(list)
    for idle in found:
        if idle.point.seconds == SECONDS and not idle.point.with_input:
            busy = idle.busy_fraction * 100
            lines[idle.point.depth].append((idle.point.latency_ms, busy))
    latencies = sorted({latency for line in lines.values() for latency, _ in line})
    for part in ("title", "legend", "tick", "axis_title"):
        setattr(leather.theme, f"{part}_font_family", "sans-serif")
    chart = leather.Chart(f"How busy one runtime is, images of {SECONDS:g} s")
    chart.add_x_scale(0, max(latencies, default=1))
    chart.add_y_scale(0, 100)
    chart.add_x_axis(
        ticks=latencies,
        name="AWS latency, ms a round trip",
        tick_formatter=lambda value, _, __: f"{value:g}",
    )
    chart.add_y_axis(
        ticks=list(range(0, 101, 20)), tick_formatter=lambda value, _, __: f"{value} %"
    )
    for (depth, line), color in zip(sorted(lines.items()), COLORS, strict=False):
        name = f"depth {depth}" if depth else "depth 0, no overlap"
        chart.add_line(sorted(line), name=name, stroke_color=color)
    return str(chart.to_svg(width=WIDTH, height=HEIGHT))
