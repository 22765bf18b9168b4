"""Compares the chains of two policies, fit by fit and user by user."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np

METRICS = ("recall@10", "ndcg@10")
_COSTS = ("train_seconds", "cpu_seconds", "epochs")


def compare(results: Path, cold: str, warm: str) -> dict[str, Any]:
    """Compares all fits that both policies have.

    Args:
      results: Folder of `fit`.
      cold: A policy.
      warm: The policy that is compared with it.

    Returns:
      `summary`, `spans` and `fits`. Two intervals of the differences: over pairs of a
      user and a span, after the seeds were averaged; and over fits, the pairs of a span
      and a seed, which vary by what training draws.
    """
    pairs = [
        (_read(path.parents[1] / cold / path.name), _read(path))
        for path in sorted(results.glob(f"seed-*/{warm}/*.json"))
        if (path.parents[1] / cold / path.name).exists()
    ]
    by_user: dict[tuple[str, str], list[Any]] = {}
    by_span: dict[str, list[tuple[Any, Any]]] = {}
    for one, other in pairs:
        by_span.setdefault(one["span"], []).append((one, other))
        for user, values in other["by_user"].items():
            difference = np.subtract(values, one["by_user"][user])
            by_user.setdefault((user, one["span"]), []).append(difference)
    users = np.array([np.mean(found, axis=0) for found in by_user.values()])
    fits = np.array([_difference(*pair) for pair in pairs])
    summary: dict[str, Any] = {
        "spans": len(by_span),
        "seeds": len({one["seed"] for one, _ in pairs}),
        "fits": len(pairs),
        "users_times_spans": len(users),
    }
    for i, name in enumerate(METRICS):
        summary[name] = {
            "cold": _mean(name, [one for one, _ in pairs]),
            "warm": _mean(name, [other for _, other in pairs]),
            "difference": round(float(users[:, i].mean()), 4),
            "interval_95_of_users": _interval(users[:, i]),
            "interval_95_of_fits": _interval(fits[:, i]),
        }
    for name in _COSTS:
        spent = [
            sum(rows)
            for rows in zip(*((a[name], b[name]) for a, b in pairs), strict=True)
        ]
        summary[name] = {
            "cold": round(spent[0], 2),
            "warm": round(spent[1], 2),
            "share": round(spent[1] / spent[0], 3),
        }
    spans = [_of_span(name, rows) for name, rows in by_span.items()]
    rows = [
        {k: v for k, v in row.items() if k != "by_user"} for p in pairs for row in p
    ]
    return {"summary": summary, "spans": spans, "fits": rows}


def _of_span(name: str, pairs: list[tuple[Any, Any]]) -> dict[str, Any]:
    cold, warm = zip(*pairs, strict=True)
    found: dict[str, Any] = {"span": name, "users": cold[0]["users"]}
    for metric in METRICS:
        found[metric] = {"cold": _mean(metric, cold), "warm": _mean(metric, warm)}
    return found


def _difference(cold: Any, warm: Any) -> list[float]:
    return [warm[name] - cold[name] for name in METRICS]


def _mean(name: str, rows: Any) -> float:
    return round(float(np.mean([row[name] for row in rows])), 4)


def _interval(values: Any) -> list[float]:
    """Returns the 95 % interval of a mean, by Student's t for few values."""
    error = values.std(ddof=1) / np.sqrt(len(values))
    # Close to Student's quantile from five values on.
    width = error * (1.96 + 2.4 / max(len(values) - 2, 1))
    return [round(float(values.mean() + sign * width), 4) for sign in (-1, 1)]


def _read(path: Path) -> dict[str, Any]:
    content: dict[str, Any] = json.loads(path.read_text("utf-8"))
    return content
