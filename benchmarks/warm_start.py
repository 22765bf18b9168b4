"""Compares warm starts with cold starts, span by span, on the events that follow.

Both policies retrain on the same spans. Each model is then measured on the next span,
which neither has seen: a user's events there in the order of time, each with all that
came before it as history. Run it twice:

  python -m benchmarks.warm_start prepare WORKSPACE --data-dir SPANS
  python -m benchmarks.warm_start fit WORKSPACE --seeds 3 --out results.json

`prepare` runs the pipeline up to Transform for each span; `fit` trains in one process.
"""

from __future__ import annotations

import argparse
import collections
import dataclasses
import json
import tempfile
from pathlib import Path
from types import SimpleNamespace
from typing import Any, NamedTuple

import numpy as np
import tensorflow as tf
import tensorflow_transform as tft

from pipeline.cli.tables import make_console
from pipeline.config import PipelineConfig
from pipeline.config.loading import load
from pipeline.local.run_view import RunView
from pipeline.local.session import run_pipeline
from pipeline.runs.metadata_store import MetadataStoreReader
from trainer import features as f
from trainer.cold_start import embed_corpus
from trainer.config import to_json
from trainer.input_pipeline import (
    TrainingData,
    files_of_split,
    read_columns,
    read_training_data,
)
from trainer.model import TwoTowerModel, embed_events
from trainer.ranking import OUT_OF_CORPUS, PADDING, rank_held_out
from trainer.towers import Timelines
from trainer.trained_events import TrainedEvents
from trainer.training import Trained, train_model
from trainer.warm_start import MODEL_CONFIG, BaseModel, Start, weight_names

_INDEX = "warm_start.json"
_TARGETS_PER_USER = 20
_BATCH = 256
_Z = 1.96


class Span(NamedTuple):
    """The data of one retraining.

    Attributes:
      name: The newest span of it.
      end: Timestamp of its last event.
      data: What it trains on.
    """

    name: str
    end: int
    data: TrainingData


class Events(NamedTuple):
    """All events of one user, oldest first: ids, ratings, timestamps."""

    movies: list[bytes]
    ratings: list[float]
    times: list[int]


def prepare(options: argparse.Namespace) -> None:
    """Makes the training data of each span."""
    names = sorted(path.name for path in options.data_dir.iterdir() if path.is_dir())
    names.sort(key=lambda name: [int(p) for p in name.split("-") if p.isdigit()])
    index = []
    for name in names[options.first - 1 :]:
        last = name.removeprefix("span-")
        config = load(
            [], [*options.set, f"data.last_span={last}"], options.data_dir.name
        )
        run_pipeline(
            config,
            options.workspace,
            RunView(make_console()),
            data_dir=options.data_dir,
            no_cache=False,
            until="Transform",
        )
        run = MetadataStoreReader.open(options.workspace).runs()[0]
        graph, rows = (
            run.output(k) for k in ("transform_graph", "transformed_examples")
        )
        assert graph is not None and rows is not None
        end = run.data["last_timestamp"]
        index.append({"name": name, "end": end, "graph": graph.uri, "rows": rows.uri})
        text = json.dumps(index, indent=2)
        (options.workspace / _INDEX).write_text(text, "utf-8")


def fit(options: argparse.Namespace) -> None:
    """Trains by each policy and seed, and writes what was measured."""
    config = load([], options.set)
    index = json.loads((options.workspace / _INDEX).read_text("utf-8"))
    index = index[options.first - 1 : options.last]
    spans = [_read(entry, config) for entry in index]
    users = _timelines(index[-1])
    values: dict[str, dict[Any, Any]] = collections.defaultdict(dict)
    rows = []
    for seed in range(options.seeds):
        base: BaseModel | None = None
        for number, (span, after) in enumerate(zip(spans, spans[1:], strict=False)):
            for policy in ("cold", "warm"):
                if policy == "warm" and base is None:
                    continue
                from_model = base if policy == "warm" else None
                trained = _train(span.data, config, seed, from_model)
                if policy == "warm" or base is None:
                    continued = trained
                found = _measure(trained.model, span, after, users, config)
                for user, metrics in found.items():
                    values[policy][user, number, seed] = metrics
                row = {
                    "policy": policy if base else "first",
                    "span": span.name,
                    "seed": seed,
                    "users": len(found),
                    "recall@10": float(np.mean([m[0] for m in found.values()])),
                    "ndcg@10": float(np.mean([m[1] for m in found.values()])),
                    "train_seconds": round(trained.report.train_seconds, 2),
                    "epochs": len(trained.report.loss),
                    "best_epoch": trained.report.best_epoch,
                }
                rows.append(row)
                print(json.dumps(row), flush=True)
            base = _as_base(continued, span.data, base, config)
    result = {"config": options.set, "runs": rows, "summary": _compare(values, rows)}
    print(json.dumps(result["summary"], indent=2))
    if options.out:
        options.out.write_text(json.dumps(result, indent=2) + "\n", "utf-8")


def _train(
    data: TrainingData, config: PipelineConfig, seed: int, base: BaseModel | None
) -> Trained:
    train = dataclasses.replace(config.train, seed=seed + 1)
    trainer = dataclasses.replace(config, train=train).trainer_config()
    start = Start("warm", "1", "id", "", base) if base else Start()
    with tempfile.TemporaryDirectory() as folder:
        return train_model(data, trainer, folder, start=start)


def _as_base(
    trained: Trained,
    data: TrainingData,
    before: BaseModel | None,
    config: PipelineConfig,
) -> BaseModel:
    """What a later training starts from."""
    model = trained.model
    earlier = before.trained_events if before else None
    events = TrainedEvents.of(data.train, data.corpus, earlier)
    info = {"dataset": config.data.dataset, MODEL_CONFIG: to_json(config.model)}
    weights = dict(
        zip(weight_names(model), map(np.array, model.variables), strict=True)
    )
    kept = np.array(events.variables[0])[:-1]
    return BaseModel(info, weights, dict(data.vocabularies), kept)


def _read(entry: dict[str, Any], config: PipelineConfig) -> Span:
    fn_args = SimpleNamespace(
        transform_graph_path=entry["graph"],
        train_files=[f"{entry['rows']}/Split-{s}/*" for s in ("train", "corpus")],
    )
    data = read_training_data(fn_args, config.model)
    return Span(entry["name"], entry["end"], data)


def _timelines(entry: dict[str, Any]) -> dict[bytes, Events]:
    """All events of each user, those held out included."""
    output = tft.TFTransformOutput(entry["graph"])
    spec = output.transformed_feature_spec()
    ids = np.append(np.array(output.vocabulary_by_name("movie_id"), bytes), b"")
    files = [f"{entry['rows']}/Split-{s}/*" for s in ("train", "eval")]
    parts = []
    train = read_columns(
        files_of_split(files, "train"),
        spec,
        (f.USER_ID, f.MOVIE_INDICES, f.RATINGS, f.TIMESTAMPS, f.NUM_CONTEXT),
    )
    for i, user in enumerate(train[f.USER_ID]):
        start, end = train[f.MOVIE_INDICES].splits[i : i + 2]
        part = slice(start + train[f.NUM_CONTEXT][i], end)
        columns = (train[k].values[part] for k in (f.MOVIE_INDICES, f.RATINGS))
        parts.append((user, *columns, train[f.TIMESTAMPS].values[part]))
    held = read_columns(
        files_of_split(files, "eval"),
        spec,
        (
            *(f.USER_ID, f.HELD_OUT_MOVIE_INDICES),
            *(f.HELD_OUT_RATINGS, f.HELD_OUT_TIMESTAMPS),
        ),
    )
    names = (f.HELD_OUT_MOVIE_INDICES, f.HELD_OUT_RATINGS, f.HELD_OUT_TIMESTAMPS)
    for i, user in enumerate(held[f.USER_ID]):
        start, end = held[names[0]].splits[i : i + 2]
        parts.append((user, *(held[k].values[start:end] for k in names)))
    users: dict[bytes, list[Any]] = collections.defaultdict(list)
    for user, movies, ratings, times in parts:
        users[user] += zip(times, ids[movies], ratings, strict=True)
    return {
        user: Events(
            [e[1] for e in events], [e[2] for e in events], [e[0] for e in events]
        )
        for user, rows in users.items()
        if (events := sorted(rows, key=lambda row: row[0]))
    }


def _measure(
    model: TwoTowerModel,
    span: Span,
    after: Span,
    users: dict[bytes, Events],
    config: PipelineConfig,
) -> dict[bytes, tuple[float, float]]:
    """Recall@10 and NDCG@10 of each user with events in the span that follows."""
    data, length = span.data, config.data.window_length
    row_of = {movie: i for i, movie in enumerate(data.corpus.movie_ids.tolist())}
    user_of = {u: i for i, u in enumerate(data.vocabularies["user_id"].tolist())}
    attributes = dict(
        zip(data.train[f.USER_ID], data.train[f.USER_ATTRIBUTE_INDICES], strict=True)
    )
    queries = []
    for user, events in users.items():
        inside = [i for i, t in enumerate(events.times) if span.end < t <= after.end]
        picked = np.linspace(0, len(inside) - 1, _TARGETS_PER_USER)
        for i in sorted({inside[int(p)] for p in picked} if inside else ()):
            known = [j for j in range(i) if events.movies[j] in row_of]
            queries.append((user, events, known, i))
    embeddings = tf.constant(
        embed_corpus(model, data.corpus.features, data.train, config.trainer_config())
    )
    empty = np.zeros(3, np.int64)
    ranks: dict[bytes, list[int]] = collections.defaultdict(list)
    for at in range(0, len(queries), _BATCH):
        block = queries[at : at + _BATCH]
        size = len(block)
        movies = np.full((size, length), PADDING, np.int32)
        ratings = np.full((size, length), -1, np.float32)
        times = np.zeros((size, length), np.int64)
        seen = np.full((size, max(len(q[2]) for q in block) + 1), PADDING, np.int32)
        held_out = np.full((size, 1), OUT_OF_CORPUS, np.int32)
        for row, (_, events, known, i) in enumerate(block):
            newest = known[-length:]
            movies[row, : len(newest)] = [row_of[events.movies[j]] for j in newest]
            ratings[row, : len(newest)] = [events.ratings[j] for j in newest]
            times[row, : len(newest)] = [events.times[j] for j in newest]
            seen[row, : len(known)] = [row_of[events.movies[j]] for j in known]
            held_out[row, 0] = row_of.get(events.movies[i], OUT_OF_CORPUS)
        timelines = Timelines(
            tf.constant([user_of.get(q[0], data.num_users) for q in block], tf.int32),
            tf.constant([attributes.get(q[0], empty) for q in block], tf.int32),
            embed_events(embeddings, tf.constant(movies), model.embedding_dim),
            tf.constant(ratings),
            tf.constant(times),
        )
        lengths = (movies >= 0).sum(axis=1).astype(np.int32)
        positions = np.stack([np.arange(size, dtype=np.int32), lengths], axis=1)
        query = model.query_tower(timelines, tf.constant(positions))
        scores = tf.matmul(query, embeddings[: model.num_movies], transpose_b=True)
        ranking = rank_held_out(scores, tf.constant(seen), tf.constant(held_out), 1)
        for (user, *_), rank in zip(block, ranking.rank[:, 0].numpy(), strict=True):
            ranks[user].append(int(rank))
    return {user: _metrics(np.array(found)) for user, found in ranks.items()}


def _metrics(ranks: Any) -> tuple[float, float]:
    hit = ranks <= 10  # noqa: PLR2004 - the cut-off in the metrics' names
    return float(hit.mean()), float((hit / np.log2(ranks + 1)).mean())


def _compare(values: Any, rows: Any) -> dict[str, Any]:
    """Paired differences over users and spans; seeds are averaged first."""
    pairs = collections.defaultdict(list)
    for (user, number, seed), warm in values["warm"].items():
        cold = values["cold"][user, number, seed]
        pairs[user, number].append(np.subtract(warm, cold))
    differences = np.array([np.mean(found, axis=0) for found in pairs.values()])
    error = differences.std(axis=0) / np.sqrt(len(differences))
    seconds, means = {}, {}
    for policy in ("warm", "cold"):
        of_policy = [row for row in rows if row["policy"] == policy]
        seconds[policy] = sum(row["train_seconds"] for row in of_policy)
        means[policy] = {
            name: round(float(np.mean([row[name] for row in of_policy])), 4)
            for name in ("recall@10", "ndcg@10")
        }
    return {
        "users_times_spans": len(differences),
        "means": means,
        "warm_minus_cold": {
            name: {
                "mean": round(float(differences[:, i].mean()), 4),
                "interval_95": [
                    round(float(differences[:, i].mean() + sign * _Z * error[i]), 4)
                    for sign in (-1, 1)
                ],
            }
            for i, name in enumerate(("recall@10", "ndcg@10"))
        },
        "train_seconds": seconds,
        "share_of_cold": round(seconds["warm"] / seconds["cold"], 3),
    }


def main() -> None:
    """Parses the command line."""
    parser = argparse.ArgumentParser(prog="benchmarks.warm_start", description=__doc__)
    commands = parser.add_subparsers(required=True)
    for function in (prepare, fit):
        command = commands.add_parser(function.__name__)
        command.set_defaults(function=function)
        command.add_argument("workspace", type=Path)
        command.add_argument("--set", action="append", default=[])
        command.add_argument("--first", type=int, default=1)
        command.add_argument("--last", type=int)
        command.add_argument("--seeds", type=int, default=1)
        command.add_argument("--data-dir", type=Path)
        command.add_argument("--out", type=Path)
    options = parser.parse_args()
    options.function(options)


if __name__ == "__main__":
    main()
