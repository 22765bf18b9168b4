"""The charts of the history page, in the style of the report's."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from typing import Any, Final

import matplotlib as mpl
from matplotlib import dates
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from components.report_gen.charts import COLOURS, STYLE, svg
from pipeline.retraining.outcome import Status
from pipeline.runs.history_entry import Entry

_WIDTH: Final = 6.4  # inches
_MAX_MARKED: Final = 60  # points, with their intervals; of more only the lines
_UNKNOWN: Final = (math.nan, math.nan)  # leaves a gap
_LINES: Final = {"popularity": "s", "live": "D", "candidate": "o"}
_COLOUR_OF: Final = {"live": "baseline"}
_OUTCOMES: Final = {
    Status.PUSHED.value: "good",
    Status.AWAITING_APPROVAL.value: "candidate",
    Status.NOTHING_TO_DO.value: "muted",
    "succeeded": "muted",
    "running": "candidate",
    Status.NOT_BLESSED.value: "popularity",
    Status.REFUSED.value: "bad",
    Status.FAILED.value: "bad",
    Status.LOCKED.value: "popularity",
    "stopped": "popularity",
    "rollback": "baseline",
    "restore": "baseline",
    "promote": "baseline",
    "pin": "baseline",
    "unknown": "muted",
}


def quality(metric: str, entries: Sequence[Entry], worse: Collection[str]) -> str:
    """Returns a metric over time as an SVG; empty without two evaluations.

    Args:
      metric: Its full name.
      entries: Oldest first.
      worse: Names of the entries in which it became worse.
    """
    shown = [entry for entry in entries if entry.candidate.get(metric) is not None]
    if len(shown) < 2:  # noqa: PLR2004
        return ""
    with mpl.rc_context(STYLE):
        figure, axes = _panel(2.9)
        for group, marker in _LINES.items():
            _draw(axes, group, marker, metric, shown)
        _mark(axes, metric, [entry for entry in shown if entry.name in worse])
        axes.set_ylabel(metric)
        axes.set_ylim(bottom=0)
        _legend(figure, axes)
        return svg(figure, f"history {metric}", f"{metric} over time, by model")


def _draw(
    axes: Axes, group: str, marker: str, metric: str, shown: Sequence[Entry]
) -> None:
    points = [
        (entry, value)
        for entry in shown
        if (value := getattr(entry, group).get(metric)) is not None
    ]
    if not points:
        return
    colour = COLOURS[_COLOUR_OF.get(group, group)]
    times: Any = [entry.started for entry, _ in points]  # matplotlib converts them
    values = [value for _, value in points]
    is_few = len(points) <= _MAX_MARKED
    axes.plot(
        times,
        values,
        marker=marker if is_few else None,
        color=colour,
        linewidth=1.2,
        markersize=4,
        label={"live": "live model", "candidate": "new model"}.get(group, group),
    )
    if group == "candidate":
        bounds = [entry.interval(group, metric) or _UNKNOWN for entry, _ in points]
        low, high = zip(*bounds, strict=True)
        axes.fill_between(times, low, high, color=colour, alpha=0.15, linewidth=0)


def _mark(axes: Axes, metric: str, marked: Sequence[Entry]) -> None:
    if marked:
        times: Any = [entry.started for entry in marked]
        values: Any = [entry.candidate[metric] for entry in marked]
        axes.plot(
            times,
            values,
            "x",
            color=COLOURS["bad"],
            markersize=9,
            markeredgewidth=2,
            label="worse beyond noise",
        )


def cost(entries: Sequence[Entry]) -> str:
    """Returns wall time and training time over time as an SVG; empty without two."""
    lines = {
        "whole command": [(e.started, e.wall_seconds) for e in entries if e.steps],
        "cold training": _training(entries, "cold"),
        "warm training": _training(entries, "warm"),
    }
    return _lines("cost", "seconds", lines, ("muted", "baseline", "candidate"))


def _training(entries: Sequence[Entry], start: str) -> list[tuple[Any, float | None]]:
    return [(e.started, e.train_seconds) for e in entries if e.start == start]


def steps(entries: Sequence[Entry]) -> str:
    """Returns the time of the slowest steps over time as an SVG."""
    totals: dict[str, float] = {}
    for entry in entries:
        for step, seconds in entry.steps.items():
            totals[step] = totals.get(step, 0.0) + seconds
    colours = ("candidate", "baseline", "popularity", "good")
    slowest = sorted(totals, key=lambda step: -totals[step])[: len(colours)]
    lines = {
        step: [(e.started, e.steps[step]) for e in entries if step in e.steps]
        for step in slowest
    }
    return _lines("steps", "seconds", lines, colours)


def _lines(
    name: str,
    unit: str,
    lines: Mapping[str, Sequence[tuple[Any, float | None]]],
    colours: Sequence[str],
) -> str:
    if max((len(points) for points in lines.values()), default=0) < 2:  # noqa: PLR2004
        return ""
    with mpl.rc_context(STYLE):
        figure, axes = _panel(2.9)
        for (label, given), colour in zip(lines.items(), colours, strict=False):
            points = [(time, value) for time, value in given if value is not None]
            if points:
                axes.plot(
                    [time for time, _ in points],
                    [value for _, value in points],
                    marker="o" if len(points) <= _MAX_MARKED else None,
                    markersize=3.5,
                    linewidth=1.2,
                    color=COLOURS[colour],
                    label=label,
                )
        axes.set_ylabel(unit)
        axes.set_ylim(bottom=0)
        _legend(figure, axes)
        return svg(figure, f"history {name}", f"{name} over time, in {unit}")


def outcomes(entries: Sequence[Entry]) -> str:
    """Returns how each run and retraining ended, over time, as an SVG."""
    names = [name for name in _OUTCOMES if any(e.outcome == name for e in entries)]
    if not names:
        return ""
    with mpl.rc_context(STYLE):
        figure, axes = _panel(max(1.6, 0.9 + 0.28 * len(names)))
        for row, name in enumerate(names):
            times: Any = [e.started for e in entries if e.outcome == name]
            axes.plot(
                times,
                [row] * len(times),
                "|" if len(entries) > _MAX_MARKED else "s",
                color=COLOURS[_OUTCOMES[name]],
                markersize=9,
                markeredgewidth=1.4,
            )
        axes.set_yticks(range(len(names)), [name.replace("_", " ") for name in names])
        axes.set_ylim(len(names) - 0.5, -0.5)
        axes.grid(visible=False, axis="x")
        return svg(figure, "history outcomes", "outcomes over time")


def _panel(height: float) -> tuple[Figure, Axes]:
    figure = Figure(figsize=(_WIDTH, height), layout="constrained")
    axes = figure.subplots()
    locator: Any = dates.AutoDateLocator(maxticks=8)  # type: ignore[no-untyped-call]
    concise: Any = dates.ConciseDateFormatter(locator)  # type: ignore[no-untyped-call]
    axes.xaxis.set_major_locator(locator)
    axes.xaxis.set_major_formatter(concise)
    return figure, axes


def _legend(figure: Figure, axes: Axes) -> None:
    handles, labels = axes.get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside upper left", ncols=4, fontsize=9)
