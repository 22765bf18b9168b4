"""What was measured, as a table, a file and a plot."""

from __future__ import annotations

import itertools
import json
from pathlib import Path
from typing import Any, Final, NamedTuple

import numpy as np

from benchmarks.quality.protocols import Protocol

# Below it a fit is drawn as if it took as long.
_FASTEST: Final = 0.01
# Of a name from its point, in points of the page: near ones first.
_OFFSETS: Final = sorted(
    itertools.product((6, -6, 20, -20, 50, -50, 80, -80), range(-91, 92, 4)),
    key=lambda offset: abs(offset[0]) + 2 * abs(offset[1] + 3),  # 3: half a letter
)
_BESIDE: Final = 2  # to the right and to the left
_SEARCH_UNFINISHED: Final = (
    "\\* There was no search for settings on the validation split, or it is not "
    "finished: it may be better than this."
)
RESULTS: Final = Path(__file__).resolve().parents[1] / "results"


class Row(NamedTuple):
    """One ranker.

    Attributes:
      name: As in the table.
      values: Metric -> its value for each seed.
      error: Metric -> standard error over users, of the first seed.
      seconds: Of fitting, for each seed.
      settings: What it was fitted with.
      missing: Why there is no value; empty if there is one.
      measured: Where, see `benchmarks.quality.environment`.
      numbers: Numbers that it has learned: its size; None if that was not counted.
      unfinished: Why settings better than these may exist, see `peer_settings.Found`.
    """

    name: str
    values: dict[str, list[float]]
    error: dict[str, float]
    seconds: list[float]
    settings: dict[str, Any]
    missing: str = ""
    measured: str = ""
    numbers: int | None = None
    unfinished: str = ""


def as_markdown(protocol: Protocol, rows: list[Row]) -> str:
    """The table, best first: means over seeds, with their standard deviation."""
    metrics = protocol.metrics
    lines = [
        f"{protocol.title}.",
        "",
        f"| | {' | '.join(metrics)} | training, s | parameters, 1000s | seeds |",
        f"|---|{'---|' * (len(metrics) + 3)}",
    ]
    present = [row for row in rows if not row.missing]
    present.sort(key=lambda row: -float(np.mean(row.values[metrics[0]])))
    for row in present:
        cells = [_cell(row.values[metric]) for metric in metrics]
        seconds = f"{np.mean(row.seconds):.1f}"
        size = _size(row.numbers)
        name = f"{row.name} \\*" if row.unfinished else row.name
        cells = [name, *cells, seconds, size, str(len(row.seconds))]
        lines.append(f"| {' | '.join(cells)} |")
    lines += [f"| {row.name} | missing: {row.missing} |" for row in rows if row.missing]
    lines += _unfinished(present)
    if present:
        errors = ", ".join(f"{m} {present[0].error[m]:.4f}" for m in metrics)
        lines += ["", f"Standard errors over users, of the first row: {errors}.", ""]
        lines += _measured(present)
    return "\n".join(lines) + "\n"


def _unfinished(rows: list[Row]) -> list[str]:
    """Whose settings may not be the best that its grid has."""
    lines = [f"- {row.name}: {row.unfinished}." for row in rows if row.unfinished]
    return ["", _SEARCH_UNFINISHED, "", *lines] if lines else []


def _size(numbers: int | None) -> str:
    if numbers is None:
        return ""
    return f"{numbers / 1000:,.0f}"


def _measured(rows: list[Row]) -> list[str]:
    """Where rows were measured, a line for those of one environment."""
    names: dict[str, list[str]] = {}
    for row in rows:
        if row.measured:
            # The load is that of the row before, mostly; the file has it.
            parts = [p for p in row.measured.split(", ") if not p.startswith("load")]
            names.setdefault(", ".join(parts), []).append(row.name)
    return [f"- {', '.join(of_one)}: {text}." for text, of_one in names.items()]


def _cell(values: list[float]) -> str:
    mean = f"{np.mean(values):.4f}"
    return f"{mean} ± {np.std(values, ddof=1):.4f}" if len(values) > 1 else mean


def write(protocol: Protocol, row: Row) -> None:
    """Puts a row into the table, values and plot of `benchmarks/results/`.

    Rows of other rankers that stand there already are kept.
    """
    RESULTS.mkdir(exist_ok=True)
    base = RESULTS / f"quality-{protocol.name}"
    rows = _merged(base.with_suffix(".json"), row)
    base.with_suffix(".md").write_text(as_markdown(protocol, rows))
    content = [row._asdict() for row in rows]
    base.with_suffix(".json").write_text(json.dumps(content, indent=1) + "\n")
    if present := [row for row in rows if not row.missing]:
        _plot(protocol, present, base.with_suffix(".svg"))


def table_of(protocol: Protocol) -> str:
    """The table as it stands in `benchmarks/results/`."""
    return (RESULTS / f"quality-{protocol.name}.md").read_text()


def _merged(path: Path, new: Row) -> list[Row]:
    """The rows of the file and the new one, in place of that of its name."""
    before = json.loads(path.read_text()) if path.exists() else []
    merged = {row["name"]: Row(**row) for row in before} | {new.name: new}
    return list(merged.values())


def _plot(protocol: Protocol, rows: list[Row], path: Path) -> None:
    """Quality against training time."""
    from matplotlib import rc_context
    from matplotlib.figure import Figure
    from matplotlib.transforms import Bbox

    metric = protocol.metrics[0]
    figure = Figure(figsize=(8, 6), layout="constrained")
    axes = figure.subplots()
    points = sorted(
        (
            -float(np.mean(row.values[metric])),
            float(np.mean(row.seconds)),
            row.name,
        )
        for row in rows
    )
    slowest = max(seconds for _, seconds, _ in points)
    axes.set(xscale="log", xlabel="training, seconds", ylabel=metric)
    axes.set_xlim(_FASTEST / 2, 12 * slowest)  # room for the last names
    axes.set_ylim(0, -1.1 * points[0][0])
    axes.set_title(protocol.title, fontsize=10)
    axes.grid(alpha=0.3)
    places = {name: (max(s, _FASTEST), -negative) for negative, s, name in points}
    taken: list[Any] = []
    for name, place in places.items():
        color = "tab:red" if name.startswith("ours") else "tab:blue"
        axes.plot(*place, "o", color=color)
        x, y = axes.transData.transform(place)
        taken.append(Bbox.from_bounds(x - 4, y - 4, 8, 8))
    for name, place in places.items():
        taken.append(_label(axes, name, place, taken))
    # Else every drawing of one table is another file.
    with rc_context({"svg.hashsalt": protocol.name}):
        figure.savefig(path, metadata={"Date": None})


def _label(axes: Any, name: str, place: tuple[float, float], taken: list[Any]) -> Any:
    """Writes a name near its point, inside the axes and where no other stands.

    A line leads to the point from a name that is not right beside it.
    """
    label = axes.annotate(name, place, textcoords="offset points", xytext=(0, 0))
    inside = axes.get_window_extent()
    for offset in _OFFSETS:
        label.set(ha="left" if offset[0] > 0 else "right", position=offset)
        extent = label.get_window_extent()
        is_inside = inside.x0 < extent.x0 and extent.x1 < inside.x1
        if is_inside and not any(extent.overlaps(other) for other in taken):
            break
    if offset not in _OFFSETS[:_BESIDE]:
        line = {"arrowstyle": "-", "color": "0.6", "linewidth": 0.6, "shrinkA": 0}
        x, y = offset
        axes.annotate("", place, (x, y + 3), "data", "offset points", arrowprops=line)
    return extent
