"""Renders the content of a report as an HTML page."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import yaml

from components.report_gen import charts
from components.report_gen.facts import Facts
from components.report_gen.template import environment
from trainer.movielens import RatingScale

HEADLINE: Final = ("hit_rate@10", "ndcg@10", "mrr", "coverage@10")
# Slices by who a user is: a difference between these is a matter of fairness.
_FAIRNESS: Final = ("gender", "age_group", "occupation", "activity", "user_kind")


def render(facts: Facts) -> str:
    """Returns the page, which loads nothing from elsewhere."""
    templates = environment(Path(__file__).parent)
    scale = RatingScale.of(facts.config["data"].get("rating_scale"))
    templates.filters["rating"] = scale.shown
    summary = facts.evaluation
    rows = _metric_rows(summary)
    return templates.get_template("report.html.jinja").render(
        facts=facts,
        summary=summary,
        headline=[name for name in HEADLINE if name in summary["candidate"]],
        rows=rows,
        headline_rows=[row for row in rows if row["name"].endswith(("mrr", "@10"))],
        training_chart=charts.training_curve(facts.training),
        cutoff_charts=_cutoff_charts(summary),
        slice_charts=_slice_charts(summary),
        slice_metric=_slice_metric(summary),
        fairness=_fairness(summary),
        tail=_both(summary, "held_out_popularity", "tail", "head"),
        opinions=_both(summary, "held_out_opinion", "liked", "not_liked"),
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


def _cutoff_charts(summary: Mapping[str, Any]) -> list[str]:
    """Returns the SVGs of the metrics by cut-off, of those that were computed."""
    if not summary["queries"]:
        return []
    return [
        charts.metric_by_cutoff(metric, summary)
        for metric in ("hit_rate", "ndcg")
        if any(name.startswith(f"{metric}@") for name in summary["candidate"])
    ]


def _slice_charts(summary: Mapping[str, Any]) -> list[list[tuple[str, str]]]:
    """Returns feature and SVG of each chart, in two columns of about equal height."""
    metric = _slice_metric(summary)
    groups: dict[str, list[Mapping[str, Any]]] = {}
    axis_end = 0.0
    for part in summary["slices"]:
        if part["queries"]:
            (feature,) = part["features"]
            groups.setdefault(feature, []).append(part)
            axis_end = max(axis_end, part["intervals"]["candidate"][metric][1])
    columns: list[list[tuple[str, str]]] = [[], []]
    heights = [0, 0]
    for feature, parts in sorted(groups.items(), key=lambda item: -len(item[1])):
        if len(parts) > 1:
            shorter = heights.index(min(heights))
            heights[shorter] += len(parts) + 4  # title and axis are as high as 4 slices
            chart = charts.slices(feature, metric, parts, min(axis_end * 1.03, 1.0))
            columns[shorter].append((feature, chart))
    return [column for column in columns if column]


def _slice_metric(summary: Mapping[str, Any]) -> str:
    """Returns NDCG@10, or the first metric where that is not computed."""
    names = list(summary["candidate"])
    return "ndcg@10" if "ndcg@10" in names or not names else names[0]


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
    rows = []
    for feature in _FAIRNESS:
        parts = _parts(summary, feature)
        if len(parts) > 1:
            worst, *_, best = sorted(parts, key=lambda part: part["value"])
            is_apart = worst["high"] < best["low"]
            row = {"feature": feature, "worst": worst, "best": best}
            rows.append({**row, "is_apart": is_apart})
    return rows


def _both(
    summary: Mapping[str, Any], feature: str, *names: str
) -> dict[str, Any] | None:
    """Returns the metric of some slices by a feature, if all of them have queries."""
    parts = {part["name"]: part for part in _parts(summary, feature)}
    return parts if set(names) <= set(parts) else None


def _parts(summary: Mapping[str, Any], feature: str) -> list[dict[str, Any]]:
    """Returns the slices by the feature that have queries: name, number and metric."""
    metric = _slice_metric(summary)
    return [
        {
            "name": part["features"][feature],
            "queries": part["queries"],
            **(_cell(part, "candidate", metric) or {}),
        }
        for part in summary["slices"]
        if feature in part["features"] and part["queries"]
    ]
