"""Makes the split of one protocol: `python -m benchmarks.quality.prepare WORK.json`."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any, Final

import numpy as np

from benchmarks.quality.prepared import Prepared, configuration
from benchmarks.quality.protocols import PROTOCOLS, Protocol
from benchmarks.quality.split import PADDING, Array, Events, Queries, Split, last_times
from trainer import features as f

# Of the events of a random split, as many as `holdout_fraction` holds out of what the
# train split is.
_VALIDATION_SHARE: Final = 0.1


def main() -> None:
    """See the module's docstring."""
    work = json.loads(Path(sys.argv[1]).read_text())
    protocol = PROTOCOLS[work["protocol"]]
    prepared = Prepared(Path(work["folder"]))
    prepared.folder.mkdir(parents=True, exist_ok=True)
    _run_steps(protocol, work, prepared.folder)
    split = _split_of(prepared, protocol)
    temporary = prepared.folder / "unfinished.npz"
    split.save(temporary)
    temporary.rename(prepared.split)


def _run_steps(protocol: Protocol, work: dict[str, Any], folder: Path) -> None:
    """Runs the pipeline as far as Transform."""
    from tfx.orchestration import metadata
    from tfx.orchestration.local.local_dag_runner import LocalDagRunner
    from tfx.orchestration.pipeline import RunOptions

    from pipeline.pipeline import create_pipeline

    pipeline = create_pipeline(
        configuration(protocol),
        pipeline_root=str(folder / "artifacts"),
        input_base=work["input_base"],
        content_fingerprint=work["content_fingerprint"],
        serving_dir=str(folder / "serving"),
        metadata_connection_config=metadata.sqlite_metadata_connection_config(
            str(folder / "metadata.sqlite")
        ),
    )
    LocalDagRunner().run(pipeline, run_options=RunOptions(to_nodes=["Transform"]))


def _split_of(prepared: Prepared, protocol: Protocol) -> Split:
    """Reads the transformed Examples into arrays."""
    import tensorflow_transform as tft

    from trainer.input_pipeline import read_columns

    graph = tft.TFTransformOutput(str(prepared.transform_graph))
    spec = graph.transformed_feature_spec()

    def columns(split: str, *names: str) -> dict[str, Any]:
        files = [f"{prepared.transformed}/Split-{split}/*"]
        return read_columns(files, spec, names)

    train = columns(
        f.TRAIN_SPLIT,
        *(f.USER_ID, f.MOVIE_INDICES, f.RATINGS),
        *(f.TIMESTAMPS, f.NUM_CONTEXT, f.WINDOW_INDEX),
    )
    asked = columns(
        f.EVAL_SPLIT,
        *(f.USER_ID, f.SEEN_MOVIE_INDICES),
        *(f.HELD_OUT_MOVIE_INDICES, f.HELD_OUT_TIMESTAMPS),
    )
    num_movies = len(columns(f.CORPUS_SPLIT, f.MOVIE_INDEX)[f.MOVIE_INDEX])
    user_ids = np.unique(train[f.USER_ID])
    events = _events(train, user_ids, num_movies)
    order = np.argsort(asked[f.USER_ID])
    queries = Queries(
        np.searchsorted(user_ids, asked[f.USER_ID][order]).astype(np.int32),
        asked[f.SEEN_MOVIE_INDICES].padded(PADDING)[order].astype(np.int32),
        asked[f.HELD_OUT_MOVIE_INDICES].padded(PADDING)[order].astype(np.int32),
    )
    if not np.array_equal(user_ids[queries.user], asked[f.USER_ID][order]):
        raise ValueError("A user of the eval split has no training event")
    first = asked[f.HELD_OUT_TIMESTAMPS].padded(0)[order, 0]
    events.request_time[queries.user] = first
    return Split(events, _validation(events, protocol), queries)


def _events(train: dict[str, Any], user_ids: Array, num_movies: int) -> Events:
    """Takes the windows apart: every target once, each user's in time order."""
    movies, context = train[f.MOVIE_INDICES], train[f.NUM_CONTEXT]
    row = np.repeat(np.arange(len(context)), movies.lengths)
    place = np.arange(len(row)) - movies.splits[row]
    kept = np.flatnonzero(place >= context[row])
    user = np.searchsorted(user_ids, train[f.USER_ID])[row[kept]]
    order = np.lexsort((place[kept], train[f.WINDOW_INDEX][row[kept]], user))
    kept = kept[order]
    users, times = user[order].astype(np.int32), train[f.TIMESTAMPS].values[kept]
    return Events(
        users,
        movies.values[kept].astype(np.int32),
        train[f.RATINGS].values[kept].astype(np.float32),
        times,
        len(user_ids),
        num_movies,
        last_times(users, times, len(user_ids)),
    )


def _validation(events: Events, protocol: Protocol) -> Array:
    """Each user's last event; of a random split a random share of the events."""
    if configuration(protocol).data.split == "random":
        return np.random.default_rng(0).random(len(events.user)) < _VALIDATION_SHARE
    is_last = np.append(np.diff(events.user) != 0, True)
    is_only = np.bincount(events.user)[events.user] == 1
    return is_last & ~is_only


if __name__ == "__main__":
    main()
