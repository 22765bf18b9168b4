"""New users and new movies: `python -m benchmarks.quality.cold_start [--data-dir F]`.

* Users: in each of four folds the model is trained without a quarter of the users. They
  are then queries with the last five events of their timeline and no user id; the
  others are queries as usual. Both by HR@10, with what they have seen excluded.
* Movies: in each of ten folds the model is trained without any event of a tenth of the
  movies. Events of these are then to be found, among the movies without events (as on a
  shelf of new ones) and among the whole corpus, against chance. One fold says little:
  a few popular movies decide it.
"""

from __future__ import annotations

import argparse
import dataclasses
import tempfile
from pathlib import Path
from typing import Final, NamedTuple

import numpy as np
import tensorflow as tf
import tensorflow_transform as tft

from benchmarks.quality.prepared import Prepared, configuration, prepare
from benchmarks.quality.protocols import PROTOCOLS
from benchmarks.quality.split import Array
from pipeline.workspace import Workspace
from trainer import features as f
from trainer.input_pipeline import (
    PADDING,
    Columns,
    Corpus,
    Ragged,
    read_columns,
    read_corpus,
    take_rows,
)
from trainer.model import TwoTowerModel
from trainer.preprocessing import USER_VOCABULARY
from trainer.ranking import rank_held_out
from trainer.training import train_model
from trainer.unrated import embed_corpus
from trainer.windows import Windows, make_windows

_USER_FOLDS: Final = 4
_MOVIE_FOLDS: Final = 10
_SHORT_HISTORY: Final = 5
_K: Final = 10
_BATCH: Final = 128


class Trained(NamedTuple):
    """A model, and its corpus: see `trainer.unrated.embed_corpus`."""

    model: TwoTowerModel
    embeddings: Array


class World:
    """The data of one protocol and the usual configuration."""

    def __init__(self, prepared: Prepared) -> None:
        """Reads what Transform made."""
        graph = tft.TFTransformOutput(str(prepared.transform_graph))
        spec = graph.transformed_feature_spec()
        self.config = configuration(PROTOCOLS["ml-100k"])
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
        config = {
            "model": dataclasses.asdict(self.config.model),
            "train": dataclasses.asdict(self.config.train),
            "data": {"window_length": self.length},
        }
        with tempfile.TemporaryDirectory() as folder:
            model, _ = train_model(train, corpus, self.num_users, config, folder)
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
        batch = {n: tf.constant(c[part]) for n, c in windows._asdict().items()}
        retrieval = trained.model(batch)
        scores = tf.matmul(retrieval.queries, corpus, transpose_b=True)
        if only is not None:
            scores = tf.where(only, scores, -np.inf)
        ranking = rank_held_out(scores, seen[part], retrieval.targets[:, None], 1)
        found.append(ranking.rank[:, 0])
    return np.concatenate(found)


def new_users(world: World) -> None:
    """Prints HR@10 of known users and of users that training never saw."""
    fold_of = np.random.default_rng(1).integers(0, _USER_FOLDS, world.num_users)
    hits: dict[str, list[Array]] = {"known": [], "new": []}
    for fold in range(_USER_FOLDS):
        kept = np.flatnonzero(fold_of[world.train[f.USER_INDEX]] != fold)
        model = world.fit(take_rows(world.train, kept), world.corpus)
        is_new = fold_of[world.queries[f.USER_INDEX]] == fold
        seen = world.queries[f.SEEN_MOVIE_INDICES].padded(PADDING).astype(np.int32)
        for name, chosen, length in (
            ("known", ~is_new, world.length - 1),
            ("new", is_new, _SHORT_HISTORY),
        ):
            rows = np.flatnonzero(chosen)
            windows = world.histories(rows, length, known=name == "known")
            hits[name].append(ranks(model, windows, seen[rows]) <= _K)
    known, new = (float(np.concatenate(hits[name]).mean()) for name in hits)
    print(
        f"HR@{_K} of known users {known:.4f}, of new ones {new:.4f}: {new / known:.2f}"
    )


def new_movies(world: World) -> None:
    """Prints how often the right one of the unrated movies is found."""
    rng = np.random.default_rng(1)
    num_movies = len(world.corpus.movie_ids)
    fold_of = rng.permutation(num_movies) % _MOVIE_FOLDS
    gains: dict[str, list[float]] = {}
    for fold in range(_MOVIE_FOLDS):
        is_new = fold_of == fold
        model = _fit_without(world, is_new)
        queries = _events_of(world, is_new, rng)
        seen = np.where(queries.is_target, PADDING, queries.movies)
        for title, only in (("new movies", is_new), ("all movies", None)):
            found = ranks(model, queries, seen, only)
            size = int(is_new.sum()) if only is not None else num_movies
            for k in (_K, 10 * _K):
                gain = float((found <= k).mean()) * size / k
                gains.setdefault(f"HR@{k} of new movies among {title}", []).append(gain)
    for name, of_folds in gains.items():
        error = np.std(of_folds, ddof=1) / np.sqrt(_MOVIE_FOLDS)
        print(
            f"{name}: {np.mean(of_folds):.2f} +- {error:.2f} x chance, "
            f"{min(of_folds):.1f} to {max(of_folds):.1f} by fold"
        )


def _fit_without(world: World, is_new: Array) -> Trained:
    """Trains without any event of some movies."""
    counts = np.where(is_new, 0, world.corpus.num_ratings)
    features = world.corpus.features._replace(is_rated=np.append(counts > 0, False))
    corpus = world.corpus._replace(num_ratings=counts, features=features)
    keep = ~np.append(is_new, False)[world.train[f.MOVIE_INDICES].values]
    return world.fit(_without(world.train, keep), corpus)


def _events_of(world: World, is_new: Array, rng: np.random.Generator) -> Windows:
    """Each window with an event of the new movies, with one of these as the target.

    Other new movies of the window are "unknown": the model has never seen them.
    """
    windows = make_windows(world.train, world.length)
    of_new = (windows.movies >= 0) & is_new[np.maximum(windows.movies, 0)]
    rows = np.flatnonzero((of_new & windows.is_target).any(axis=1))
    queries, hidden = windows.take(rows), of_new[rows]
    place = [
        rng.choice(np.flatnonzero(row)) for row in hidden & windows.is_target[rows]
    ]
    target = np.arange(world.length) == np.array(place)[:, None]
    shown = np.where(hidden & ~target, len(is_new), queries.movies).astype(np.int32)
    return queries._replace(movies=shown, is_target=target)


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


def _without(columns: Columns, keep: Array) -> Columns:
    """All rows without some events of their timelines; rows left empty go."""
    movies: Ragged = columns[f.MOVIE_INDICES]
    row = np.repeat(np.arange(len(movies.lengths)), movies.lengths)
    place = np.arange(len(row)) - movies.splits[row]
    is_context = place < columns[f.NUM_CONTEXT][row]
    counts = np.bincount(row[keep], minlength=len(movies.lengths))
    context = np.bincount(row[keep & is_context], minlength=len(movies.lengths))
    splits = np.append(0, np.cumsum(counts))
    changed = {
        name: Ragged(columns[name].values[keep], splits)
        for name in (f.MOVIE_INDICES, f.RATINGS, f.TIMESTAMPS)
    }
    kept = np.flatnonzero(counts > context)
    return take_rows({**columns, **changed, f.NUM_CONTEXT: context}, kept)


def main() -> None:
    """See the module's docstring."""
    parser = argparse.ArgumentParser(prog="benchmarks.quality.cold_start")
    parser.add_argument("--workspace", type=Path, default=Path("workspace"))
    parser.add_argument("--data-dir", type=Path)
    options = parser.parse_args()
    workspace = Workspace.open(options.workspace, create=True)
    world = World(prepare(PROTOCOLS["ml-100k"], workspace, options.data_dir))
    new_users(world)
    new_movies(world)


if __name__ == "__main__":
    main()
