"""New users and new movies: `python -m benchmarks.quality.cold_start [PROTOCOL]`.

* Users: in each of four folds the model is trained without a quarter of the users. They
  are then queries with the last five events of their timeline and no user id; the
  others are queries as usual. Both by HR@10, with what they have seen excluded.
* Movies: in each of ten folds the model is trained without any event of a tenth of the
  movies. Events of these are then to be found, among the movies without events (as on a
  shelf of new ones) and among the whole corpus, against chance. One fold says little:
  a few popular movies decide it. `--movie-folds` and `--user-folds` measure only the
  first of them: ten folds of MovieLens-1M take hours.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Final

import numpy as np

from benchmarks.quality.cold_world import Trained, World, ranks, without
from benchmarks.quality.prepared import configuration, prepare
from benchmarks.quality.protocols import PROTOCOLS
from benchmarks.quality.split import Array
from pipeline.runs.workspace import Workspace
from trainer import features as f
from trainer.input_pipeline import take_rows
from trainer.ranking import PADDING
from trainer.validation import standard_error
from trainer.windows import Windows, make_windows

_USER_FOLDS: Final = 4
_MOVIE_FOLDS: Final = 10
_SHORT_HISTORY: Final = 5
_K: Final = 10


def new_users(world: World, folds: int) -> None:
    """Prints HR@10 of known users and of users that training never saw."""
    fold_of = np.random.default_rng(1).integers(0, _USER_FOLDS, world.num_users)
    hits: dict[str, list[Array]] = {"known": [], "new": []}
    for fold in range(folds):
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


def new_movies(world: World, folds: int) -> None:
    """Prints how often the target is found among the movies without ratings."""
    rng = np.random.default_rng(1)
    num_movies = len(world.corpus.movie_ids)
    fold_of = rng.permutation(num_movies) % _MOVIE_FOLDS
    gains: dict[str, list[float]] = {}
    for fold in range(folds):
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
        error = standard_error(np.array(of_folds))
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
    return world.fit(without(world.train, keep), corpus)


def _events_of(world: World, is_new: Array, rng: np.random.Generator) -> Windows:
    """Each window with an event of the new movies, with one of these as the target.

    Other new movies of the window are "unknown": the model has never seen them.
    """
    windows = make_windows(world.train, world.length)
    of_new = (windows.movies >= 0) & is_new[np.maximum(windows.movies, 0)]
    rows = np.flatnonzero((of_new & windows.is_target).any(axis=1))
    queries, hidden = windows.take(rows), of_new[rows]
    position = [
        rng.choice(np.flatnonzero(row)) for row in hidden & windows.is_target[rows]
    ]
    target = np.arange(world.length) == np.array(position)[:, None]
    shown = np.where(hidden & ~target, len(is_new), queries.movies).astype(np.int32)
    return queries._replace(movies=shown, is_target=target)


def main() -> None:
    """See the module's docstring."""
    parser = argparse.ArgumentParser(prog="benchmarks.quality.cold_start")
    parser.add_argument("protocol", nargs="?", choices=PROTOCOLS, default="ml-100k")
    parser.add_argument("--workspace", type=Path, default=Path("workspace"))
    parser.add_argument("--data-dir", type=Path)
    parser.add_argument("--user-folds", type=int, default=_USER_FOLDS)
    parser.add_argument("--movie-folds", type=int, default=_MOVIE_FOLDS)
    options = parser.parse_args()
    workspace = Workspace.open(options.workspace, create=True)
    protocol = PROTOCOLS[options.protocol]
    prepared = prepare(protocol, workspace, options.data_dir)
    world = World(prepared, configuration(protocol))
    if options.user_folds:
        new_users(world, min(options.user_folds, _USER_FOLDS))
    if options.movie_folds:
        new_movies(world, min(options.movie_folds, _MOVIE_FOLDS))


if __name__ == "__main__":
    main()
