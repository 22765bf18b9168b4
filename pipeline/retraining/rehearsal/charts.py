"""The charts of a rehearsal: SVG in the style of the report's."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from components.report_gen.charts import COLOURS, STYLE, svg
from pipeline.retraining.prequential import POPULARITY
from pipeline.retraining.rehearsal.folder import COLD, NEVER, WARM

LABELS: Final = {
    WARM: "retrained warm",
    COLD: "retrained cold",
    NEVER: "never retrained",
    POPULARITY: "popularity",
}
_COLOURS: Final = {
    WARM: COLOURS["candidate"],
    COLD: COLOURS["baseline"],
    NEVER: COLOURS["ink"],
    POPULARITY: COLOURS["popularity"],
}
_MARKERS: Final = {WARM: "o", COLD: "D", NEVER: "^", POPULARITY: "s"}
_WIDTH: Final = 10.0  # inches; the page scales it
_MAX_TICKS: Final = 16
_SPACING: Final = 0.08  # between policies, of the distance of two spans


def quality(metric: str, spans: Sequence[Mapping[str, Any]]) -> str:
    """Returns a metric by span and policy, with intervals, as an SVG.

    Args:
      metric: Its name.
      spans: See `pipeline.retraining.rehearsal.results.summarize`.
    """
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(_WIDTH, 3.4), layout="constrained")
        axes = figure.subplots()
        for index, ranker in enumerate(LABELS):
            points = [span["quality"][ranker][metric] for span in spans]
            _draw(axes, points, ranker, (index - 1.5) * _SPACING)
        axes.set_ylabel(metric)
        axes.set_ylim(bottom=0)
        _name_spans(axes, spans)
        figure.legend(loc="outside upper left", ncols=len(LABELS))
        return svg(figure, f"quality-{metric}", f"{metric} by span, for each policy")


def differences(metric: str, spans: Sequence[Mapping[str, Any]]) -> str:
    """Returns paired differences by span, with intervals, as an SVG."""
    pairs = {(WARM, COLD): WARM, (COLD, NEVER): COLD}
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(_WIDTH, 3.0), layout="constrained")
        axes = figure.subplots()
        axes.axhline(0, color=COLOURS["muted"], linewidth=1)
        for index, (pair, colour) in enumerate(pairs.items()):
            points = [_of_pair(span, pair, metric) for span in spans]
            label = f"{LABELS[pair[0]]} − {LABELS[pair[1]]}"
            _draw(axes, points, colour, (index - 0.5) * _SPACING, label=label)
        axes.set_ylabel(f"difference in {metric}")
        _name_spans(axes, spans)
        figure.legend(loc="outside upper left", ncols=len(pairs))
        name = f"differences-{metric}"
        return svg(figure, name, f"Paired differences in {metric} by span")


def cost(spans: Sequence[Mapping[str, Any]]) -> str:
    """Returns the seconds of training, by span and cumulated, as an SVG."""
    trained = [span for span in spans if span["cost"]]
    if not trained:
        return ""
    positions = np.arange(len(trained))
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(_WIDTH, 4.4), layout="constrained")
        each, total = figure.subplots(2, sharex=True)
        for index, policy in enumerate((WARM, COLD)):
            seconds = np.array([s["cost"][policy]["train_seconds"] for s in trained])
            style = {"color": _COLOURS[policy], "label": LABELS[policy]}
            each.bar(positions + (index - 0.5) * 0.36, seconds, 0.34, **style)
            marker = _MARKERS[policy]
            total.plot(positions, np.cumsum(seconds), marker=marker, **style)
        each.set_ylabel("seconds of training")
        total.set_ylabel("cumulated")
        total.set_ylim(bottom=0)
        each.legend(loc="upper left")
        _name_spans(total, trained, "newest span that was trained on")
        return svg(figure, "cost", "Seconds of training by span, and cumulated")


def _of_pair(
    span: Mapping[str, Any], pair: tuple[str, str], metric: str
) -> list[float | None]:
    for found in span["differences"]:
        if (found["first"], found["second"]) == pair:
            return list(found[metric]["value"])
    return [None, None, None]


def _draw(
    axes: Axes,
    points: Sequence[Sequence[float | None]],
    ranker: str,
    offset: float,
    label: str | None = None,
) -> None:
    """Draws values with intervals, joined by a line; None is a gap."""
    known = [(x, *p) for x, p in enumerate(points) if None not in p]
    if not known:
        return
    x, value, low, high = np.array(known, dtype=float).T
    axes.errorbar(
        x + offset,
        value,
        yerr=[np.maximum(value - low, 0), np.maximum(high - value, 0)],
        fmt=f"-{_MARKERS[ranker]}",
        color=_COLOURS[ranker],
        markersize=5,
        linewidth=1.4,
        elinewidth=1.0,
        label=label or LABELS[ranker],
    )


def _name_spans(
    axes: Axes,
    spans: Sequence[Mapping[str, Any]],
    label: str = "span that was predicted",
) -> None:
    """Labels some spans on the x axis, so that the labels do not overlap."""
    step = -(-len(spans) // _MAX_TICKS)
    shown = range(0, len(spans), step)
    is_date = any("-" in spans[index]["name"] for index in shown)
    axes.set_xticks(
        list(shown),
        [spans[index]["name"] for index in shown],
        rotation=30 if is_date else 0,
        ha="right" if is_date else "center",
    )
    axes.set_xlim(-0.5, len(spans) - 0.5)
    axes.set_xlabel(label)
    axes.grid(visible=False, axis="x")
