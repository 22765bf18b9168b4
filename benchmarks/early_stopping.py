"""What validation and early stopping cost, against training all epochs.

    python -m benchmarks.early_stopping ml-100k --data-dir DIR --seeds 1 2 3 4 5 6 7 8
    python -m benchmarks.early_stopping ml-1m --data-dir DIR --set train.epochs=16

For each seed, three models: `rule` as configured; `never`, with the same queries held
out, but trained for all epochs and with the weights of the last; `whole`, which trains
on the queries, too. All are measured on the newest rating of each user, which none has
seen. Results are added to `benchmarks/results/early-stopping.json`, from which the
table beside it is made.
"""

from __future__ import annotations

import argparse
import json
import math
from collections.abc import Iterator
from itertools import groupby
from pathlib import Path
from typing import Any, Final

import numpy as np

from benchmarks.held_out import (
    Fitted,
    Split,
    held_out_ranks,
    hits,
    ndcgs,
    read_split,
    train,
)
from pipeline.config import PipelineConfig
from pipeline.config.loading import load
from trainer import validation

_RESULTS: Final = Path(__file__).parent / "results" / "early-stopping.json"
_HEAD: Final = """\
| edition | settings | seeds | epochs trained, kept (of) | HR@10 | NDCG@10 \
| rule - never | rule - whole | queries, of targets |
|---|---|---|---|---|---|---|---|---|"""


def main() -> None:
    """Measures what the command line asks for, and makes the table."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("dataset", help="MovieLens edition")
    parser.add_argument("--data-dir", type=Path, required=True)
    parser.add_argument("--seeds", type=int, nargs="+", default=[1])
    parser.add_argument("--set", action="append", default=[], dest="changes")
    options = parser.parse_args()
    config = load([], [f"data.dataset={options.dataset}", *options.changes])
    split = read_split(options.data_dir, config)
    for seed in options.seeds:
        rows = json.loads(_RESULTS.read_text()) if _RESULTS.exists() else []
        about = {"dataset": options.dataset, "settings": options.changes, "seed": seed}
        rows += [about | row for row in measure(split, config, seed)]
        _RESULTS.write_text("[\n" + ",\n".join(map(json.dumps, rows)) + "\n]\n")
        _RESULTS.with_suffix(".md").write_text(table(rows))
        print(json.dumps(rows[-3:]), flush=True)


def measure(split: Split, config: PipelineConfig, seed: int) -> list[dict[str, Any]]:
    """Trains and measures the three models of a seed."""
    rule = train(split, config, seed=seed)
    rows = [{"arm": "rule", **_measured(rule, split, config)}]
    epochs = config.train.epochs
    if rule.report.best_epoch == epochs:  # the same steps with the same draws
        rows.append(rows[0] | {"arm": "never"})
    else:
        usual = validation._BEYOND_NOISE
        validation._BEYOND_NOISE = math.inf  # type: ignore[misc]  # Final
        never = train(split, config, seed=seed)
        validation._BEYOND_NOISE = usual  # type: ignore[misc]  # Final
        rows.append({"arm": "never", **_measured(never, split, config)})
    whole = train(split, config, seed=seed, validation_queries=0)
    return [*rows, {"arm": "whole", **_measured(whole, split, config)}]


def _measured(fitted: Fitted, split: Split, config: PipelineConfig) -> dict[str, Any]:
    report = fitted.report
    ranks = held_out_ranks(fitted.model, split, config)
    return {
        "hit_rate@10": round(float(hits(ranks).mean()), 4),
        "ndcg@10": round(float(ndcgs(ranks).mean()), 4),
        "epochs": config.train.epochs,
        "trained": len(report.loss),
        "kept": report.best_epoch,
        "queries": report.num_queries,
        "targets": report.num_targets,
        "validation_ndcg": np.round(report.ndcg, 4).tolist(),
        "validation_recall@10": np.round(report.recall, 4).tolist(),
        "cpu_seconds": round(fitted.cpu_seconds, 1),
    }


def table(rows: list[dict[str, Any]]) -> str:
    """Returns the table: means over seeds, and paired differences with their error."""
    return "\n".join([_HEAD, *_lines(rows), ""])


def _lines(rows: list[dict[str, Any]]) -> Iterator[str]:
    def group(row: dict[str, Any]) -> tuple[str, str]:
        return row["dataset"], ", ".join(row["settings"]) or "default"

    for (dataset, settings), found in groupby(sorted(rows, key=group), group):
        arms: dict[str, list[dict[str, Any]]] = {}
        for row in found:
            arms.setdefault(row["arm"], []).append(row)
        rule = arms["rule"]
        ends = sorted({(row["trained"], row["kept"]) for row in rule})
        cells = [
            *(dataset, settings, str(len(rule))),
            f"{'; '.join(f'{a}, {b}' for a, b in ends)} ({rule[0]['epochs']})",
            *(
                f"{np.mean([r[m] for r in rule]):.4f}"
                for m in ("hit_rate@10", "ndcg@10")
            ),
            *(_difference(rule, arms[arm]) for arm in ("never", "whole")),
            f"{rule[0]['queries']:,} of {arms['whole'][0]['targets']:,}",
        ]
        yield f"| {' | '.join(cells)} |"


def _difference(mine: list[dict[str, Any]], other: list[dict[str, Any]]) -> str:
    """Mean differences of HR@10 and NDCG@10, by seed, with their standard errors."""
    parts = []
    for metric in ("hit_rate@10", "ndcg@10"):
        lost = np.array(
            [a[metric] - b[metric] for a, b in zip(mine, other, strict=True)]
        )
        error = ""
        if len(lost) > 1:
            error = f" ± {lost.std(ddof=1) / math.sqrt(len(lost)):.4f}"
        parts.append(f"{lost.mean():+.4f}{error}")
    return " / ".join(parts)


if __name__ == "__main__":
    main()
