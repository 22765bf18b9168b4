"""Trains on an edition without a pipeline run, and ranks what is held out of it."""

from __future__ import annotations

import dataclasses
import tempfile
import time
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import tensorflow as tf

from benchmarks.warm_start.measure import rank_events
from benchmarks.warm_start.spans import Edition, Span, cuts, make_span, read_edition
from components.movielens_example_gen.timelines import Events
from pipeline.config import PipelineConfig
from trainer.cold_start import embed_corpus
from trainer.model import TwoTowerModel
from trainer.train_report import FitReport
from trainer.training import train_model

Array = np.ndarray[Any, Any]
_BATCH = 256
_CUTOFF = 10


class Split(NamedTuple):
    """An edition whose users each have their newest rating held out.

    Attributes:
      edition: All events.
      span: What is trained on.
      users: int64 `[queries]`, row of each user in the edition.
      events: int64 `[queries]`, the held-out event of each.
    """

    edition: Edition
    span: Span
    users: Array
    events: Array

    @property
    def ratings(self) -> Array:
        """float32 `[queries]`, the stars of each held-out event."""
        return self.edition.events.ratings[self.events]


def read_split(data_dir: Path, config: PipelineConfig, skip: int = 0) -> Split:
    """Reads an edition, and holds out as `data.split=leave_last_n` with one event.

    Args:
      data_dir: The edition's files.
      config: The section `data` counts.
      skip: How many of each user's newest events to leave out before: with 1 the
        held-out events are those to choose settings by.
    """
    edition = read_edition(data_dir, config)
    edition = edition._replace(events=_without_newest(edition.events, skip))
    span = make_span(edition, cuts(edition, 1, None)[-1], config)
    starts = edition.events.starts
    users = np.flatnonzero(np.diff(starts) >= config.data.min_user_ratings)
    return Split(edition, span, users, starts[users + 1] - 1)


def _without_newest(events: Events, count: int) -> Events:
    """Leaves out the newest events of each user."""
    ends = np.repeat(events.starts[1:], np.diff(events.starts))
    kept = np.arange(len(events)) < ends - count
    lengths = np.maximum(np.diff(events.starts) - count, 0)
    return Events(
        np.concatenate(([0], np.cumsum(lengths))),
        events.movies[kept],
        events.ratings[kept],
        events.timestamps[kept],
        events.kinds[kept],
    )


class Fitted(NamedTuple):
    """A model, how it was trained, and the CPU seconds of that."""

    model: TwoTowerModel
    report: FitReport
    cpu_seconds: float


def train(split: Split, config: PipelineConfig, **changes: Any) -> Fitted:
    """Trains a model; `changes` are fields of `train`."""
    trainer = config.trainer_config()
    settings = dataclasses.replace(trainer.train, **changes)
    before = time.process_time()
    with tempfile.TemporaryDirectory() as folder:
        trained = train_model(
            split.span.data, dataclasses.replace(trainer, train=settings), folder
        )
    return Fitted(trained.model, trained.report, time.process_time() - before)


def held_out_ranks(model: TwoTowerModel, split: Split, config: PipelineConfig) -> Array:
    """Ranks each held-out event among the unseen movies: int32 `[queries]`, from 1."""
    data = split.span.data
    table = embed_corpus(
        model, data.corpus.features, data.train, config.trainer_config()
    )
    embeddings = tf.constant(table)
    queries = np.stack([split.users, split.events])
    found = [
        rank_events(
            model, embeddings, queries[:, i : i + _BATCH], split.span, split.edition
        ).rank[:, 0]
        for i in range(0, queries.shape[1], _BATCH)
    ]
    return np.concatenate(found)


def hits(ranks: Array) -> Array:
    """Returns HR@10 of each query."""
    return (ranks <= _CUTOFF).astype(float)


def ndcgs(ranks: Array) -> Array:
    """Returns NDCG@10 of each query."""
    return np.where(ranks <= _CUTOFF, 1 / np.log2(ranks + 1.0), 0.0)


def top_movies(
    model: TwoTowerModel,
    split: Split,
    config: PipelineConfig,
    user: str,
    count: int = 10,
) -> list[str]:
    """Returns titles of the best unseen movies of a user, with their genres."""
    data, edition = split.span.data, split.edition
    row = int(np.flatnonzero(edition.users == user.encode())[0])
    query = np.flatnonzero(split.users == row)
    block = np.stack([split.users[query], split.events[query]])
    embeddings = tf.constant(
        embed_corpus(model, data.corpus.features, data.train, config.trainer_config())
    )
    best = rank_events(
        model, embeddings, block, split.span, edition, top_k=count
    ).top_ids[0]
    return [
        f"{data.corpus.titles[i].decode()} ({data.corpus.genres[i].decode()})"
        for i in best.numpy()
    ]
