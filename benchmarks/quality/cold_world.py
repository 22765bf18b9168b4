"""Trains models without some users or movies, and ranks for them."""

from __future__ import annotations

import tempfile
from typing import Final, NamedTuple

import numpy as np
import tensorflow as tf
import tensorflow_transform as tft

from benchmarks.quality.prepared import Prepared
from benchmarks.quality.split import Array
from pipeline.config import PipelineConfig
from trainer import features as f
from trainer.cold_start import embed_corpus
from trainer.input_pipeline import (
    Columns,
    Corpus,
    Ragged,
    TrainingData,
    read_columns,
    read_corpus,
    take_rows,
)
from trainer.model import TwoTowerModel
from trainer.ranking import rank_held_out
from trainer.serving_contract import USER_VOCABULARY
from trainer.training import train_model
from trainer.windows import Windows, make_windows

_BATCH: Final = 128


class Trained(NamedTuple):
    """A model, and its corpus: see `trainer.cold_start.embed_corpus`."""

    model: TwoTowerModel
    embeddings: Array


class World:
    """The data of one protocol and the usual configuration."""

    def __init__(self, prepared: Prepared, config: PipelineConfig) -> None:
        """Reads what Transform made."""
        graph = tft.TFTransformOutput(str(prepared.transform_graph))
        spec = graph.transformed_feature_spec()
        self.config = config
        self.length = self.config.data.window_length

        def read(split: str) -> Columns:
            return read_columns([f"{prepared.transformed}/Split-{split}/*"], spec, spec)

        self.train, self.queries = read(f.TRAIN_SPLIT), read(f.EVAL_SPLIT)
        self.corpus = read_corpus(
            [f"{prepared.transformed}/Split-{f.CORPUS_SPLIT}/*"],
            spec,
            self.config.model.title_tokens + 1,
        )
        self.num_users = graph.vocabulary_size_by_name(USER_VOCABULARY)

    def fit(self, train: Columns, corpus: Corpus) -> Trained:
        """Trains and embeds the corpus as the pipeline does."""
        config = self.config.trainer_config()
        data = TrainingData(train, corpus, self.num_users)
        with tempfile.TemporaryDirectory() as folder:
            model = train_model(data, config, folder).model
        embeddings = embed_corpus(model, corpus.features, train, config)
        return Trained(model, embeddings)

    def histories(self, rows: Array, length: int, known: bool) -> Windows:
        """Queries as windows whose last event, the held-out one, is the target."""
        newest = {
            name: _newest(self.queries[name], self.queries[held_out], rows, length)
            for name, held_out in (
                (f.MOVIE_INDICES, f.HELD_OUT_MOVIE_INDICES),
                (f.RATINGS, f.HELD_OUT_RATINGS),
                (f.TIMESTAMPS, f.HELD_OUT_TIMESTAMPS),
            )
        }
        user = self.queries[f.USER_INDEX][rows]
        columns = newest | {
            f.USER_INDEX: user if known else np.full_like(user, self.num_users),
            f.USER_ATTRIBUTE_INDICES: self.queries[f.USER_ATTRIBUTE_INDICES][rows],
            f.NUM_CONTEXT: newest[f.MOVIE_INDICES].lengths - 1,
        }
        return make_windows(columns, self.length)


def ranks(
    trained: Trained, windows: Windows, seen: Array, only: Array | None = None
) -> Array:
    """Ranks the one target of each window: int `[windows]`, from 1.

    Args:
      trained: The trained model.
      windows: The queries.
      seen: int32 `[windows, seen]`, padded: no candidates.
      only: bool `[num_movies]`, the movies that are candidates; None for all.
    """
    corpus = trained.embeddings[:-1]
    found = []
    for start in range(0, len(seen), _BATCH):
        part = slice(start, start + _BATCH)
        retrieval = trained.model(windows.take(part).tensors())
        scores = tf.matmul(retrieval.queries, corpus, transpose_b=True)
        if only is not None:
            scores = tf.where(only, scores, -np.inf)
        ranking = rank_held_out(scores, seen[part], retrieval.targets[:, None], 1)
        found.append(ranking.rank[:, 0])
    return np.concatenate(found)


def _newest(lists: Ragged, last: Ragged, rows: Array, length: int) -> Ragged:
    """The newest `length` values of rows, and behind them the first held-out one."""
    parts = [
        np.append(
            lists.values[lists.splits[row] : lists.splits[row + 1]][-length:],
            last.values[last.splits[row]],
        )
        for row in rows
    ]
    lengths = [len(part) for part in parts]
    return Ragged(np.concatenate(parts), np.append(0, np.cumsum(lengths)))


def without(columns: Columns, keep: Array) -> Columns:
    """All rows without some events of their timelines; rows left empty go."""
    movies: Ragged = columns[f.MOVIE_INDICES]
    row = np.repeat(np.arange(len(movies.lengths)), movies.lengths)
    position = np.arange(len(row)) - movies.splits[row]
    is_context = position < columns[f.NUM_CONTEXT][row]
    counts = np.bincount(row[keep], minlength=len(movies.lengths))
    context = np.bincount(row[keep & is_context], minlength=len(movies.lengths))
    splits = np.append(0, np.cumsum(counts))
    changed = {
        name: Ragged(columns[name].values[keep], splits)
        for name in (f.MOVIE_INDICES, f.RATINGS, f.TIMESTAMPS)
    }
    kept = np.flatnonzero(counts > context)
    return take_rows({**columns, **changed, f.NUM_CONTEXT: context}, kept)
