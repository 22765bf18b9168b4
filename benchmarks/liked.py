"""Training for what people like: quality on liked held-out movies and on the others.

    python -m benchmarks.liked ml-100k --data-dir DIR --seeds 1 2 --split validation \
        --arm default --arm liked train.target_weight=liked
    python -m benchmarks.liked ml-100k --data-dir DIR --seeds 1 2 3 --user 405 \
        --arm default --arm liked train.target_weight=liked

Of each user the newest rating is held out, or with `--split validation` the one before
it, to choose settings by. The first arm is what the others are compared with, query by
query. `--user` also prints the top ten of a user by each arm.
"""

from __future__ import annotations

import argparse
import json
import math
from pathlib import Path
from typing import Any, Final

import numpy as np
import tensorflow as tf

from benchmarks.held_out import (
    Split,
    held_out_ranks,
    hits,
    ndcgs,
    read_split,
    top_movies,
    train,
)
from pipeline.config import PipelineConfig
from pipeline.config.loading import load
from trainer.movielens import RatingScale

_METRICS: Final = {"hit_rate@10": hits, "ndcg@10": ndcgs}


def main() -> None:
    """Measures what the command line asks for; a line of JSON each."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("dataset", help="MovieLens edition")
    parser.add_argument("--data-dir", type=Path, required=True)
    parser.add_argument("--seeds", type=int, nargs="+", default=[1])
    parser.add_argument("--split", choices=["validation", "eval"], default="eval")
    parser.add_argument("--arm", nargs="+", action="append", required=True)
    parser.add_argument("--user", default="")
    options = parser.parse_args()
    skip = int(options.split == "validation")
    about = {"dataset": options.dataset, "split": options.split}
    split: Split | None = None
    reference: dict[str, Any] = {}
    for name, *settings in options.arm:
        presets = [Path(s) for s in settings if "=" not in s]
        changes = [s for s in settings if "=" in s]
        config = load(presets, [f"data.dataset={options.dataset}", *changes])
        split = split or read_split(options.data_dir, config, skip)
        ranks = np.array(
            [_ranks(split, config, seed, options.user) for seed in options.seeds]
        )
        found = _measured(ranks, split.ratings, config)
        reference = reference or found
        row = about | {"arm": name, "settings": settings, "seeds": options.seeds}
        print(json.dumps(row | _summary(found, reference)), flush=True)


def _ranks(split: Split, config: PipelineConfig, seed: int, user: str) -> Any:
    fitted = train(split, config, seed=seed, validation_queries=0)
    if user:
        print(
            json.dumps(
                {"seed": seed, "top": top_movies(fitted.model, split, config, user)}
            )
        )
    return held_out_ranks(fitted.model, split, config)


def _measured(ranks: Any, ratings: Any, config: PipelineConfig) -> dict[str, Any]:
    """Returns each metric of each group of queries, `[seeds, queries]`."""
    liked = ratings >= RatingScale.of(config.data.rating_scale).liked
    groups = {"liked": liked, "others": ~liked, "all": liked | ~liked}
    return {
        f"{metric} {name}": value(ranks[:, group])
        for metric, value in _METRICS.items()
        for name, group in groups.items()
    }


def _summary(found: dict[str, Any], reference: dict[str, Any]) -> dict[str, Any]:
    """Mean and spread over seeds; paired difference and its standard error.

    The difference of a query is that of its means over the seeds, so that the error is
    that of the choice of queries and contains that of the seeds.
    """
    rows = {}
    for name, values in found.items():
        lost = values.mean(axis=0) - reference[name].mean(axis=0)
        rows[name] = {
            "mean": round(float(values.mean()), 4),
            "by seed": np.round(values.mean(axis=1), 4).tolist(),
            "difference": round(float(lost.mean()), 4),
            "error": round(float(lost.std(ddof=1) / math.sqrt(len(lost))), 4),
        }
    return rows


if __name__ == "__main__":
    tf.random.set_seed(0)
    main()
