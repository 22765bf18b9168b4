"""Renders the content of a report as an HTML page."""

from __future__ import annotations

import datetime
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import jinja2
import yaml

from components.report_gen import charts
from components.report_gen.facts import Facts

_TEMPLATE: Final = "report.html.jinja"
HEADLINE: Final = ("hit_rate@10", "ndcg@10", "mrr", "coverage@10")
_SLICE_METRIC: Final = "ndcg@10"
# Height of a chart's title and axis, in slices.
_CHART_FRAME: Final = 4
# Slices by who a user is: a difference between these is a matter of fairness.
_FAIRNESS: Final = ("gender", "age_group", "occupation", "activity", "user_kind")


def render(facts: Facts) -> str:
    """Returns the page, which loads nothing from elsewhere."""
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(Path(__file__).parent),
        autoescape=True,  # titles and ids are untrusted
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=jinja2.StrictUndefined,
    )
    environment.filters |= {"number": _number, "date": _date}
    summary = facts.evaluation
    rows = _metric_rows(summary)
    return environment.get_template(_TEMPLATE).render(
        facts=facts,
        summary=summary,
        headline=[name for name in HEADLINE if name in summary["candidate"]],
        rows=rows,
        headline_rows=[row for row in rows if row["name"].endswith(("mrr", "@10"))],
        charts=_charts(facts),
        slice_metric=_slice_metric(summary),
        fairness=_fairness(summary),
        tail=_tail(summary),
        slowest=max((step.seconds for step in facts.steps), default=0.0) or 1.0,
        config=yaml.safe_dump(facts.config, sort_keys=False, allow_unicode=True),
    )


def headline_values(summary: Mapping[str, Any]) -> dict[str, float]:
    """Returns the headline metrics, and how they compare to popularity and live model.

    Args:
      summary: `retrieval_summary.json`.

    Returns:
      Name, such as `ndcg@10 lift over popularity` -> value, where there is one.
    """
    groups = {
        "": summary["candidate"],
        " lift over popularity": summary["popularity_lift"],
        " gain over live model": summary["live_gain"] or {},
    }
    return {
        f"{name}{suffix}": values[name]
        for suffix, values in groups.items()
        for name in HEADLINE
        if values.get(name) is not None
    }


def _charts(facts: Facts) -> dict[str, Any]:
    """Returns name -> SVG or SVGs; `slices` has two columns of feature and SVG."""
    summary = facts.evaluation
    if not summary["queries"]:
        cutoffs, by_slice = [], []
    else:
        cutoffs = [
            charts.metric_by_cutoff(metric, summary)
            for metric in ("hit_rate", "ndcg")
            if any(name.startswith(f"{metric}@") for name in summary["candidate"])
        ]
        by_slice = _slice_charts(summary)
    return {
        "training": charts.training_curve(facts.training),
        "cutoffs": cutoffs,
        "slices": by_slice,
    }


def _slice_charts(summary: Mapping[str, Any]) -> list[list[tuple[str, str]]]:
    """Returns feature and SVG of each chart, in two columns of about equal height."""
    metric = _slice_metric(summary)
    groups: dict[str, list[Mapping[str, Any]]] = {}
    for part in summary["slices"]:
        if part["queries"]:
            (feature,) = part["features"]
            groups.setdefault(feature, []).append(part)
    ends = [
        part["intervals"]["candidate"][metric][1]
        for parts in groups.values()
        for part in parts
    ]
    axis_end = min(max(ends, default=1.0) * 1.03, 1.0)
    columns: tuple[list[tuple[str, str]], ...] = ([], [])
    heights = [0, 0]
    for feature, parts in sorted(groups.items(), key=lambda item: -len(item[1])):
        if len(parts) > 1:
            shorter = heights.index(min(heights))
            heights[shorter] += len(parts) + _CHART_FRAME
            chart = charts.slices(feature, metric, parts, axis_end)
            columns[shorter].append((feature, chart))
    return [column for column in columns if column]


def _slice_metric(summary: Mapping[str, Any]) -> str:
    """Returns NDCG@10, or the first metric where that is not computed."""
    names = list(summary["candidate"])
    return _SLICE_METRIC if _SLICE_METRIC in names or not names else names[0]


def _metric_rows(summary: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Returns a row for each metric, of values with intervals or None."""
    groups = ("candidate", "popularity", "popularity_lift", "baseline", "live_gain")
    return [
        {"name": name, **{group: _cell(summary, group, name) for group in groups}}
        for name in summary["candidate"]
    ]


def _cell(summary: Mapping[str, Any], group: str, name: str) -> dict[str, Any] | None:
    value = (summary[group] or {}).get(name)
    if value is None:
        return None
    low, high = summary["intervals"][group][name]
    return {"value": value, "low": low, "high": high}


def _fairness(summary: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Compares the best and the worst slice by each attribute of users."""
    metric = _slice_metric(summary)
    found = []
    for feature in _FAIRNESS:
        parts = [
            part
            for part in summary["slices"]
            if feature in part["features"] and part["queries"]
        ]
        if len(parts) > 1:
            worst, *_, best = sorted(parts, key=lambda part: part["candidate"][metric])
            found.append({"feature": feature, **_compare(feature, metric, worst, best)})
    return found


def _tail(summary: Mapping[str, Any]) -> dict[str, Any] | None:
    """Returns the metric for held-out movies of tail and head, if both exist."""
    parts = {
        part["features"]["held_out_popularity"]: part
        for part in summary["slices"]
        if "held_out_popularity" in part["features"] and part["queries"]
    }
    if not {"tail", "head"} <= set(parts):
        return None
    metric = _slice_metric(summary)
    return {name: _cell(parts[name], "candidate", metric) for name in ("tail", "head")}


def _compare(
    feature: str, metric: str, worst: Mapping[str, Any], best: Mapping[str, Any]
) -> dict[str, Any]:
    def described(part: Mapping[str, Any]) -> dict[str, Any]:
        name, queries = part["features"][feature], part["queries"]
        return {"name": name, "queries": queries, **_cell(part, "candidate", metric)}  # type: ignore[dict-item]

    low, high = described(worst), described(best)
    return {"worst": low, "best": high, "is_apart": low["high"] < high["low"]}


def _number(value: float | None, digits: int = 4, sign: str = "") -> str:
    return "–" if value is None else f"{value:{sign},.{digits}f}"


def _date(seconds: int | None) -> str:
    if seconds is None:
        return "–"
    return datetime.datetime.fromtimestamp(seconds, datetime.timezone.utc).strftime(
        "%Y-%m-%d %H:%M UTC"
    )
