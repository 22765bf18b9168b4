"""The charts of the report: SVG inside the page, in its colours and font.

Each colour is drawn as a placeholder that is then replaced by a CSS variable of the
page, so that one drawing fits a light page, a dark page and print.
"""

from __future__ import annotations

import html
import io
import re
from collections.abc import Mapping, Sequence
from typing import Any, Final

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from trainer.text import printable

# CSS variable of the page -> placeholder. No chart uses any other colour.
COLOURS: Final = {
    "ink": "#010101",
    "muted": "#020202",
    "grid": "#030303",
    "candidate": "#040404",
    "popularity": "#050505",
    "baseline": "#060606",
    "good": "#070707",
    "bad": "#080808",
}
STYLE: Final[dict[str, Any]] = {
    "svg.fonttype": "none",  # text stays text: searchable, and in the page's font
    # Genres and occupations are text, whatever the user's own matplotlibrc says.
    "text.parse_math": False,
    "text.usetex": False,
    "axes.formatter.use_mathtext": False,
    "font.size": 10,
    "text.color": COLOURS["ink"],
    "axes.labelcolor": COLOURS["muted"],
    "axes.edgecolor": COLOURS["grid"],
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": COLOURS["grid"],
    "grid.linewidth": 0.6,
    "xtick.color": COLOURS["muted"],
    "ytick.color": COLOURS["muted"],
    "legend.frameon": False,
}
_MAX_LABEL: Final = 40  # characters
# By ranker, in the order in which they are drawn side by side.
_MARKERS: Final = {"candidate": "o", "baseline": "D", "popularity": "s"}


def training_curve(report: Mapping[str, Any]) -> str:
    """Returns the loss of each epoch as an SVG, and below it the validation's metrics.

    Args:
      report: `train_report.json`; without a loss there is no SVG.
    """
    keys = {"loss": "loss", "recall@10": "recall", "NDCG": "ndcg"}
    curves = {name: report.get(key) for name, key in keys.items()}
    drawn = {name: values for name, values in curves.items() if values}
    if not drawn:
        return ""
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(6.4, 0.6 + 2.0 * len(drawn)), layout="constrained")
        panels = figure.subplots(len(drawn), squeeze=False, sharex=True)[:, 0]
        for axes, (name, values) in zip(panels, drawn.items(), strict=True):
            epochs = range(1, len(values) + 1)
            axes.plot(epochs, values, "o-", color=COLOURS["candidate"], markersize=4)
            axes.set_ylabel(name)
            if "recall@10" in drawn:
                axes.axvline(report["best_epoch"], color=COLOURS["muted"], ls="--")
        panels[-1].set_xlabel("epoch")
        panels[-1].xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
        return svg(figure, "training", f"{', '.join(drawn)} by epoch")


def metric_by_cutoff(metric: str, summary: Mapping[str, Any]) -> str:
    """Returns a metric at all its cut-offs, by ranker, as an SVG.

    Args:
      metric: Its name without the cut-off.
      summary: `retrieval_summary.json`.
    """
    names = [n for n in summary["candidate"] if n.startswith(f"{metric}@")]
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(6.4, 2.9), layout="constrained")
        axes = figure.subplots()
        _draw(axes, [(summary, name) for name in names], 0.13, is_horizontal=False)
        axes.set_xticks(range(len(names)), [n.partition("@")[2] for n in names])
        axes.set_xlabel("k")
        axes.set_ylabel(f"{metric}@k")
        axes.set_ylim(bottom=0)
        axes.grid(visible=False, axis="x")
        axes.legend(loc="upper left")
        return svg(figure, metric, f"{metric} at each cut-off, by ranker")


def slices(
    feature: str, metric: str, parts: Sequence[Mapping[str, Any]], axis_end: float
) -> str:
    """Returns a metric in each slice by a feature, as an SVG.

    Args:
      feature: The feature by which the queries are sliced.
      metric: Its full name.
      parts: The slices, as in `retrieval_summary.json`.
      axis_end: End of the axis, the same for all features.
    """
    with mpl.rc_context(STYLE):
        height = 0.75 + 0.34 * len(parts)
        figure = Figure(figsize=(6.4, height), layout="constrained")
        axes = figure.subplots()
        _draw(axes, [(part, metric) for part in parts], 0.2, is_horizontal=True)
        labels = [
            f"{_shortened(part['features'][feature])}  n={part['queries']:,}"
            for part in parts
        ]
        axes.set_yticks(range(len(parts)), labels)
        axes.set_ylim(len(parts) - 0.4, -0.6)
        axes.set_xlim(0, axis_end)
        axes.set_xlabel(metric)
        axes.grid(visible=False, axis="y")
        return svg(figure, feature, f"{metric} in each slice by {feature}")


def _draw(
    axes: Axes,
    groups: Sequence[tuple[Mapping[str, Any], str]],
    spacing: float,
    *,
    is_horizontal: bool,
) -> None:
    """Draws each ranker's values with their intervals, those of a group side by side.

    Args:
      axes: Where to draw; group i is around position i.
      groups: Summary of a slice or of all queries, and the metric to show of it.
      spacing: Between the rankers of a group.
      is_horizontal: Whether the values are on the x axis.
    """
    rankers = [name for name in _MARKERS if groups[0][0][name] is not None]
    for index, ranker in enumerate(rankers):
        positions, values, below, above = [], [], [], []
        for position, (part, metric) in enumerate(groups):
            value = part[ranker].get(metric)
            if value is not None:
                low, high = part["intervals"][ranker][metric]
                offset = index - (len(rankers) - 1) / 2
                positions.append(position + offset * spacing)
                values.append(value)
                below.append(max(value - low, 0.0))  # matplotlib refuses -1e-18
                above.append(max(high - value, 0.0))
        x, y = (values, positions) if is_horizontal else (positions, values)
        axes.errorbar(
            x,
            y,
            xerr=[below, above] if is_horizontal else None,
            yerr=None if is_horizontal else [below, above],
            fmt=_MARKERS[ranker],
            color=COLOURS[ranker],
            markersize=5,
            linewidth=1.4,
            clip_on=False,  # else half of what is 0 is cut off
            label="live model" if ranker == "baseline" else ranker,
        )


def svg(figure: Figure, name: str, description: str) -> str:
    """Returns a figure as SVG for a page; screen readers read `description`."""
    buffer = io.StringIO()
    # A salt for each chart, so that the ids of two charts on a page differ.
    with mpl.rc_context({"svg.hashsalt": name}):
        figure.savefig(buffer, format="svg", transparent=True, metadata={"Date": None})
    text = buffer.getvalue()
    text = text[text.index("<svg") :]
    text = re.sub(r"<metadata>.*?</metadata>", "", text, flags=re.DOTALL)
    text = re.sub(
        r'id="((?:figure|axes|patch|line2d|text|[xy]tick|matplotlib)[^"]*)"', "", text
    )
    for colour, placeholder in COLOURS.items():
        text = text.replace(placeholder, f"var(--{colour})")
    label = html.escape(printable(description))
    return text.replace("<svg ", f'<svg role="img" aria-label="{label}" ', 1)


def _shortened(value: str) -> str:
    """Returns a value for a chart, where a long one would leave no space to draw."""
    text = printable(value)
    return text if len(text) <= _MAX_LABEL else f"{text[: _MAX_LABEL - 1]}…"
