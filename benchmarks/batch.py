"""Time and memory of `two-tower batch-recommend`, by users, movies, batch and workers.

    PYTHONPATH=. python benchmarks/batch.py --users 100000 --movies 50000

The model has the trainer's own towers, index and user store with random weights,
since time does not depend on what was learned: timelines of log-normal length, movies
by a power law. It is exported once; each measurement is a command of its own.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import os
import platform
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any, Final

import numpy as np

RESULTS: Final = Path(__file__).parent / "results" / "batch.json"
_WINDOW: Final = 100
_TOKENS: Final = 8
_ATTRIBUTES: Final = (8, 3, 22)
_SECONDS_FROM: Final = 880_000_000
_KIB_PER_MIB: Final = 1024


def main() -> None:
    """Makes the model if it is not there, and measures the commands."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--users", type=int, default=100_000)
    parser.add_argument("--movies", type=int, default=50_000)
    parser.add_argument("--index", default="auto")
    parser.add_argument("--batch-sizes", type=int, nargs="+", default=[256])
    parser.add_argument("--workers", type=int, nargs="+", default=[1])
    parser.add_argument("--sample", type=int, help="users that are asked; else all")
    parser.add_argument("--serving-dir", type=Path, help="a model that is there")
    parser.add_argument("--scratch", type=Path, default=Path(tempfile.gettempdir()))
    parser.add_argument("--results", type=Path, default=RESULTS)
    options = parser.parse_args()
    serving = options.serving_dir
    if serving is None:
        name = f"batch-{options.users}-{options.movies}-{options.index}"
        serving = options.scratch / name
    if not serving.exists():
        # In a process of its own, whose memory does not count.
        code = (
            "import sys; from benchmarks.batch import export; "
            "export(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), sys.argv[4])"
        )
        sizes = (str(options.users), str(options.movies), options.index)
        command = [sys.executable, "-c", code, str(serving / "1"), *sizes]
        subprocess.run(command, check=True)
    for batch_size in options.batch_sizes:
        for workers in options.workers:
            row = _measure(serving, batch_size, workers, options.sample)
            print(json.dumps(row), flush=True)
            rows = (
                json.loads(options.results.read_text())
                if options.results.exists()
                else []
            )
            options.results.write_text(json.dumps([*rows, row], indent=2) + "\n")


def _measure(
    serving: Path, batch_size: int, workers: int, sample: int | None
) -> dict[str, Any]:
    """Runs the command; returns seconds, users a second and peak memory."""
    with tempfile.TemporaryDirectory(dir=serving.parent) as folder:
        arguments = ["--out", f"{folder}/out", "--serving-dir", str(serving), "--json"]
        if sample:
            users = "".join(f"u{number}\n" for number in range(sample))
            Path(folder, "users").write_text(users)
            arguments += ["--users", f"{folder}/users"]
        arguments += ["--batch-size", str(batch_size), "--workers", str(workers)]
        load = os.getloadavg()[0]
        begun, before = time.monotonic(), resource.getrusage(resource.RUSAGE_CHILDREN)
        done = subprocess.run(
            [sys.executable, "-m", "pipeline", "batch-recommend", *arguments],
            stdout=subprocess.PIPE,
            check=True,
        )
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        answer = json.loads(done.stdout)
        size = sum(path.stat().st_size for path in Path(folder, "out").iterdir())
    info = json.loads(next(serving.glob("*/assets.extra/model_info.json")).read_text())
    return {
        "movies": info["corpus_size"],
        "index": info.get("index", {}).get("kind"),
        "users": answer["users"],
        "batch_size": batch_size,
        "workers": workers,
        "seconds": round(answer["seconds"], 2),
        "users_per_second": round(answer["users"] / answer["seconds"]),
        "command_seconds": round(time.monotonic() - begun, 1),
        "cpu_seconds": round(
            after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime, 1
        ),
        "peak_mib": after.ru_maxrss // _KIB_PER_MIB,
        "output_mb": round(size / 1e6, 1),
        "load_before": round(load, 1),
        "cpus": os.cpu_count(),
        "python": platform.python_version(),
    }


def export(path: str, users: int, movies: int, index: str) -> None:
    """Exports a model with random weights to a new folder."""
    import keras
    import tensorflow as tf

    from tests.fixtures.transform_graph import analyze
    from trainer.catalogue import Catalogue
    from trainer.config import IndexConfig, ModelConfig, RequestLimits, TrainConfig
    from trainer.context import ModelContext
    from trainer.held_out_ranking import HeldOutRanking
    from trainer.losses import LossContext, make_loss
    from trainer.model import TwoTowerModel
    from trainer.popularity import PopularityRanking
    from trainer.preprocessing import TransformGraph
    from trainer.query_encoder import QueryEncoder
    from trainer.retrieval_index import make_index
    from trainer.serving_contract import MODEL_INFO_FILE
    from trainer.serving_model import ServingModel
    from trainer.trained_events import TrainedEvents
    from trainer.user_store import TimelineLookup

    keras.utils.set_random_seed(1)
    rng = np.random.default_rng(1)
    corpus = _corpus(rng, movies)
    context = ModelContext(
        ModelConfig(),
        corpus.features,
        users,
        _ATTRIBUTES,
        _WINDOW,
        np.arange(1, 32) * 10_000_000 + _SECONDS_FROM,
        seed=1,
    )
    loss = make_loss(LossContext(TrainConfig(), corpus.num_ratings))
    model = TwoTowerModel(context, loss)
    with tempfile.TemporaryDirectory() as folder:
        output = analyze(Path(folder))
        transform = TransformGraph(output)
        catalogue = Catalogue(corpus)
        embeddings = np.array(model.embed_all_movies())
        found = make_index(
            embeddings, catalogue.attributes, IndexConfig(index=index), 1
        )
        encoder = QueryEncoder(model, found.embeddings_of, _WINDOW)
        store = _store(rng, users, movies)
        limits = RequestLimits()
        serving = ServingModel(
            encoder,
            found,
            catalogue,
            TimelineLookup(store),
            transform,
            held_out_ranking=HeldOutRanking(
                encoder,
                found,
                catalogue,
                transform,
                raw_spec=output.raw_feature_spec(),
                popularity=PopularityRanking(corpus.num_ratings),
                trained_events=TrainedEvents(np.zeros(1, np.int64)),
                top_k=100,
                exclude_seen=True,
            ),
            limits=limits,
        )
        part = f"{path}.part"
        tf.saved_model.save(serving, part, signatures=serving.signatures())
    info = {
        "dataset": "random",
        "corpus_size": movies,
        "num_users": users,
        "max_history": _WINDOW,
        "index": {"kind": found.kind, **found.parameters},
        "limits": dataclasses.asdict(limits) | {"max_k": serving.max_k},
    }
    Path(part, MODEL_INFO_FILE).parent.mkdir(exist_ok=True)
    Path(part, MODEL_INFO_FILE).write_text(json.dumps(info))
    shutil.move(part, path)


def _corpus(rng: np.random.Generator, movies: int) -> Any:
    from trainer.context import CandidateFeatures
    from trainer.input_pipeline import Corpus
    from trainer.movielens import GENRES

    genre = rng.integers(len(GENRES), size=movies + 1)
    return Corpus(
        movie_ids=np.array([b"%d" % number for number in range(movies)]),
        titles=np.array([b"Movie %d (1995)" % number for number in range(movies)]),
        genres=np.array([GENRES[row].encode() for row in genre[:-1]]),
        num_ratings=(1e6 / np.arange(1, movies + 1)).astype(np.int64) + 1,
        features=CandidateFeatures(
            np.eye(len(GENRES), dtype=np.float32)[genre],
            rng.integers(1, 120, movies + 1).astype(np.int32),
            rng.integers(2000, size=(movies + 1, _TOKENS)).astype(np.int32),
            2001,
            np.arange(movies + 1) < movies,
        ),
    )


def _store(rng: np.random.Generator, users: int, movies: int) -> Any:
    """Timelines of about 70 events on average, of which popular movies are most."""
    from trainer.input_pipeline import Ragged
    from trainer.user_store import UserStore

    lengths = np.clip(rng.lognormal(3.8, 1.0, users), 5, 2000).astype(np.int64)
    splits = np.concatenate([[0], np.cumsum(lengths), [lengths.sum()]])
    seen = (movies * rng.random(splits[-1]) ** 3).astype(np.int32)
    kept = np.minimum(lengths, _WINDOW)
    newest = np.arange(splits[-1]) - np.repeat(splits[1:-1] - kept, lengths) >= 0
    kept_splits = np.concatenate([[0], np.cumsum(kept), [kept.sum()]])
    ids = np.array(sorted(b"u%d" % number for number in range(users)))
    columns = [rng.integers(0, size, users + 1) for size in _ATTRIBUTES]
    return UserStore(
        user_ids=ids,
        user_index=np.arange(users + 1, dtype=np.int32),
        attribute_indices=np.stack(columns, axis=1).astype(np.int32),
        movies=Ragged(seen[newest], kept_splits),
        ratings=rng.integers(1, 6, kept.sum()).astype(np.float32),
        timestamps=_SECONDS_FROM + np.arange(kept.sum(), dtype=np.int64),
        seen=Ragged(seen, splits),
    )


if __name__ == "__main__":
    main()
