"""Retrains span by span from scratch and from the model before, and compares.

    python -m benchmarks.warm_start fit RESULTS cold warm --data-dir ml-100k --spans 8
    python -m benchmarks.warm_start compare RESULTS cold warm --out comparison.json

`fit` makes chains of models, one model a span: a chain for each policy and seed. The
policy `cold` starts each model from scratch. Any other starts each from its last one,
the first from the first of `cold`; `NAME:train.warm_epochs=3,...` is one with other
settings. Each model is measured on the span that follows. What is done already is not
done again: with `--minutes`, a long comparison is made of short calls.
"""

from __future__ import annotations

import argparse
import dataclasses
import itertools
import json
import tempfile
import time
from pathlib import Path
from typing import Any, NamedTuple

import keras
import numpy as np

from benchmarks.warm_start.compare import compare
from benchmarks.warm_start.measure import measure
from benchmarks.warm_start.spans import Edition, Span, cuts, make_span, read_edition
from pipeline.config import PipelineConfig
from pipeline.config.loading import load
from trainer.base_model import (
    LAST_TIMESTAMP,
    MODEL_CONFIG,
    BaseModel,
    Start,
    load_base,
    save_base,
)
from trainer.config import to_json
from trainer.trained_events import TrainedEvents
from trainer.training import Trained, train_model
from trainer.warm_start import weight_names

COLD = "cold"
_SHOWN = ("policy", "seed", "span", "recall@10", "ndcg@10", "cpu_seconds", "epochs")


def fit(options: argparse.Namespace) -> None:
    """Trains and measures the chains of some policies, for each seed."""
    deadline = time.monotonic() + options.minutes * 60
    dataset = f"data.dataset={options.dataset or options.data_dir.name}"
    config = load([], [dataset, *options.set])
    edition = read_edition(options.data_dir, config)
    found = cuts(edition, options.spans, options.days)[options.first - 1 :]
    for seed, policy in itertools.product(options.seeds, options.policies):
        name, _, settings = policy.partition(":")
        given = [*options.set, *settings.split(",")] if settings else options.set
        config = load([], [dataset, *given])
        chain = _Chain(options.results / f"seed-{seed}", name, seed, config, given)
        for number, (cut, after) in enumerate(itertools.pairwise(found)):
            if chain.is_done(number):
                continue
            if time.monotonic() > deadline:
                print("out of time: call it again")
                return
            chain.add(number, make_span(edition, cut, config), after, edition)


class _Chain(NamedTuple):
    """The models of one policy and seed.

    Attributes:
      folder: Folder of the seed.
      policy: The policy.
      seed: The seed.
      config: The configuration.
      given: Settings that differ from the defaults.
    """

    folder: Path
    policy: str
    seed: int
    config: PipelineConfig
    given: list[str]

    def is_done(self, number: int) -> bool:
        """Returns whether a model was measured, or is the first of `cold`."""
        is_first = number == 0 and self.policy != COLD
        return is_first or self._path(number, self.policy).exists()

    def add(
        self, number: int, span: Span, after: tuple[str, int, int], edition: Edition
    ) -> None:
        """Trains, measures and records a model."""
        base = None
        if self.policy != COLD:
            before = self._path(number - 1, self.policy if number > 1 else COLD)
            base = load_base(str(before.with_suffix(".npz")))
        trained, cpu = _train(span, self.config, self.seed, base)
        metrics = measure(trained.model, span, after[2], edition, self.config)
        recall, ndcg = np.mean(list(metrics.values()), axis=0).round(4).tolist()
        report = trained.report
        row = {
            "policy": self.policy,
            "seed": self.seed,
            "span": span.name,
            "next_span": after[0],
            "set": self.given,
            "users": len(metrics),
            "recall@10": recall,
            "ndcg@10": ndcg,
            "train_seconds": round(report.train_seconds, 2),
            "cpu_seconds": round(cpu, 2),
            "epochs": len(report.loss),
            "best_epoch": report.best_epoch,
            "validation_queries": report.num_queries,
            "validation_recall": [round(value, 4) for value in report.recall],
            "loss": [round(value, 4) for value in report.loss],
            "events": report.num_targets,
            "carried": dict(trained.carried),
        }
        print(*(row[key] for key in _SHOWN), flush=True)
        path = self._path(number, self.policy)
        path.parent.mkdir(parents=True, exist_ok=True)
        made = _as_base(trained, span, base, self.config)
        save_base(made, str(path.with_suffix(".npz")))
        path.write_text(json.dumps({**row, "by_user": metrics}), "utf-8")

    def _path(self, number: int, policy: str) -> Path:
        return self.folder / policy / f"{number}.json"


def _train(
    span: Span, config: PipelineConfig, seed: int, base: BaseModel | None
) -> tuple[Trained, float]:
    """Returns the model, and the CPU seconds of building and fitting it."""
    train = dataclasses.replace(config.train, seed=seed)
    trainer = dataclasses.replace(config, train=train).trainer_config()
    start = Start("warm", "1", "id", base=base) if base else Start()
    keras.backend.clear_session()
    cpu = time.process_time()
    with tempfile.TemporaryDirectory() as folder:
        trained = train_model(span.data, trainer, folder, start=start)
    return trained, time.process_time() - cpu


def _as_base(
    trained: Trained, span: Span, before: BaseModel | None, config: PipelineConfig
) -> BaseModel:
    """What a later training starts from."""
    model, data = trained.model, span.data
    earlier = before.trained_events if before else None
    events = TrainedEvents.of(data.train, data.corpus, earlier)
    info = {
        "dataset": config.data.dataset,
        MODEL_CONFIG: to_json(config.model),
        LAST_TIMESTAMP: span.end - 1,
    }
    values = map(np.array, model.variables)
    weights = dict(zip(weight_names(model), values, strict=True))
    kept = np.array(events.variables[0])[:-1]
    return BaseModel(info, weights, dict(data.vocabularies), kept)


def show(options: argparse.Namespace) -> None:
    """Prints the comparison, and writes it."""
    found: dict[str, Any] = compare(options.results, options.cold, options.warm)
    text = json.dumps(found, indent=2) + "\n"
    print(json.dumps(found["summary"], indent=2))
    if options.out:
        options.out.write_text(text, "utf-8")


def main() -> None:
    """Parses the command line."""
    parser = argparse.ArgumentParser(prog="benchmarks.warm_start", description=__doc__)
    commands = parser.add_subparsers(required=True)
    command = commands.add_parser("fit")
    command.set_defaults(function=fit)
    command.add_argument("results", type=Path)
    command.add_argument("policies", nargs="+")
    command.add_argument("--data-dir", type=Path, required=True)
    command.add_argument("--dataset")
    command.add_argument("--spans", type=int)
    command.add_argument("--days", type=int)
    command.add_argument("--first", type=int, default=1)
    command.add_argument("--seeds", type=int, nargs="+", default=[1, 2, 3])
    command.add_argument("--set", action="append", default=[])
    command.add_argument("--minutes", type=float, default=60)
    command = commands.add_parser("compare")
    command.set_defaults(function=show)
    command.add_argument("results", type=Path)
    command.add_argument("cold")
    command.add_argument("warm")
    command.add_argument("--out", type=Path)
    options = parser.parse_args()
    options.function(options)


if __name__ == "__main__":
    main()
