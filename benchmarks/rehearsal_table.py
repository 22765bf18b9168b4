"""Prints the result of `two-tower rehearse` as Markdown, and keeps its JSON.

python -m benchmarks.rehearsal_table workspace/rehearsals/ml-100k-6
"""

from __future__ import annotations

import argparse
import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

RESULTS = Path(__file__).parent / "results"


def table(result: dict[str, Any]) -> Iterator[str]:
    """Yields the lines of both tables."""
    rankers, costs = list(result["overall"]), list(result["cost"])
    metric = result["metrics"][0]
    heads = ["span", "ratings", "users", *rankers, *(f"{c}, s" for c in costs)]
    yield _row(heads)
    yield _row(["---"] * len(heads))
    for span in result["spans"]:
        values = [f"{span['quality'][r][metric][0]:.3f}" for r in rankers]
        seconds = [
            f"{span['cost'][c]['train_seconds']:.1f}" if c in span["cost"] else ""
            for c in costs
        ]
        counts = [f"{span['ratings']:,}", f"{span['users']:,}"]
        yield _row([span["name"], *counts, *values, *seconds])
    yield ""
    yield _row(["all spans", *result["metrics"]])
    yield _row(["---"] * (1 + len(result["metrics"])))
    for ranker, values in result["overall"].items():
        yield _row([ranker, *(_interval(values[m], "") for m in result["metrics"])])
    for row in result["differences"]:
        cells = [_interval(row[m]["value"], "+") for m in result["metrics"]]
        yield _row([f"{row['first']} - {row['second']}", *cells])
    yield ""
    for policy, cost in result["cost"].items():
        seconds, trainings = cost["train_seconds"], cost["trainings"]
        yield f"{policy}: {seconds:.1f} s in {trainings} trainings"


def _row(cells: list[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _interval(values: list[float | None], sign: str) -> str:
    value, low, high = ("-" if v is None else f"{v:{sign}.4f}" for v in values)
    return f"{value} ({low} to {high})"


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--keep", action="store_true", help="Copy the JSON to results.")
    options = parser.parse_args()
    source = options.folder / "rehearsal.json"
    print("\n".join(table(json.loads(source.read_text(encoding="utf-8"))["result"])))
    if options.keep:
        shutil.copy(source, RESULTS / f"rehearsal-{options.folder.name}.json")
