"""How fast the served model answers, by index and size of the corpus.

    PYTHONPATH=. python benchmarks/serving.py workspace/serving/VERSION

Asks a SavedModel whose query tower, users and timelines are those of the given version,
and whose corpus is larger: each movie is a mean of two random movies of the version,
weighted by a Beta(1/2, 1/2), plus normal noise of half the standard deviation of each
coordinate, bias included. So the queries are real ones, and movies lie in clusters that
differ in size, length and bias. A fresh process loads the SavedModel and measures, in
turn with faiss-cpu's IVF on the same embeddings and queries, with as many threads.

Each case is added to the results when it is done; what is there is not measured again.
"""

from __future__ import annotations

import argparse
import copy
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import numpy as np
import tensorflow as tf

from trainer.config import IndexConfig
from trainer.retrieval_index import Attributes, RetrievalIndex, make_index

RESULTS: Final = Path(__file__).parent / "results" / "serving-index.json"
K, BATCH, SEEN = 10, 32, 100
PROBES: Final = (4, 8, 16, 32, 64, 128)
THREADS: Final = 2
_CHUNK: Final = 1 << 17
SECONDS: Final = 1.0  # of asking in each case
MIN_CALLS: Final = 5


def spread(embeddings: np.ndarray, num_movies: int) -> np.ndarray:
    """float32 `[num_movies + 1, dim]`: see above; the last row is the unknown movie."""
    rng = np.random.default_rng(0)
    movies = np.empty((num_movies + 1, embeddings.shape[1]), np.float32)
    noise = 0.5 * embeddings.std(axis=0)
    for start in range(0, num_movies + 1, _CHUNK):
        part = movies[start : start + _CHUNK]
        one, other = rng.integers(0, len(embeddings), (2, len(part)))
        weight = rng.beta(0.5, 0.5, (len(part), 1)).astype(np.float32)
        part[:] = weight * embeddings[one] + (1 - weight) * embeddings[other]
        part += noise * rng.standard_normal(part.shape, dtype=np.float32)
    return movies


class Version:
    """The version whose towers and users are asked."""

    def __init__(self, path: str) -> None:
        self.model = tf.saved_model.load(path)
        assets = Path(path, "assets")
        self.users, movies = (
            next(assets.glob(f"{name}*")).read_text().splitlines()
            for name in ("user_id", "movie_id")
        )
        embed = self.model.signatures["candidate_embedding"]
        self.embeddings = np.concatenate(
            [
                embed(movie_id=tf.constant(movies[at : at + 500]))["embedding"].numpy()
                for at in range(0, len(movies), 500)
            ]
        )
        query = self.model.signatures["query_embedding"]
        self.queries = query(user_id=tf.constant(self.users[:900]))["embedding"].numpy()


def save(version: Version, movies: np.ndarray, config: IndexConfig, path: str) -> dict:
    """Writes the SavedModel, with one function for each number of probes."""
    num_movies = len(movies) - 1
    rows = np.arange(num_movies, dtype=np.int32)
    attributes = Attributes(1 << (rows % 19), 1950 + rows % 70)
    start = time.perf_counter()
    index = make_index(movies, attributes, config, seed=42)
    seconds = time.perf_counter() - start
    module = tf.Module()
    module.version, module.index = version.model, index
    embed = version.model.signatures["query_embedding"]
    spec = [
        tf.TensorSpec([None], tf.string),
        tf.TensorSpec([None, SEEN], tf.int32),
        tf.TensorSpec([], tf.int32),
    ]

    def asks(searched: RetrievalIndex) -> Any:
        def recommend(users: tf.Tensor, seen: tf.Tensor, k: tf.Tensor) -> Any:
            return searched.best(embed(user_id=users)["embedding"], seen, k)

        return tf.function(recommend, input_signature=spec, autograph=False)

    module.ask = {}
    for probes in PROBES if index.kind == "ivf" else (0,):
        # A function is traced again when it is saved: each has an index of its own,
        # which shares the variables.
        searched = copy.copy(index)
        searched._probes = min(probes, index.parameters.get("leaves", 0))
        module.ask[str(probes)] = asks(searched)
    tf.saved_model.save(module, path)
    size = sum(file.stat().st_size for file in Path(path).rglob("*") if file.is_file())
    return {
        "parameters": dict(index.parameters),
        "build_seconds": round(seconds, 1),
        "size_mib": round(size / 2**20, 1),
    }


def median_ms(ask: Callable[[int], Any]) -> dict[str, float]:
    """Asks again and again: median and lower quartile of a call, in milliseconds."""
    for warm in range(3):
        ask(warm)
    took: list[float] = []
    end = time.perf_counter() + SECONDS
    while time.perf_counter() < end or len(took) < MIN_CALLS:
        start = time.perf_counter()
        ask(len(took))
        took.append(1000 * (time.perf_counter() - start))
    quartile, median = np.percentile(took, [25, 50])
    return {"p25_ms": round(quartile, 3), "p50_ms": round(median, 3)}


def recall(found: np.ndarray, best: np.ndarray) -> float:
    """Share of the best movies that were found."""
    shared = [len(set(a) & set(b)) for a, b in zip(found, best, strict=True)]
    return round(sum(shared) / best.size, 4)


def measure(path: str, inputs: str) -> dict[str, Any]:
    """What a fresh process measures of a SavedModel."""
    tf.config.threading.set_intra_op_parallelism_threads(THREADS)
    before = _resident()
    model = tf.saved_model.load(path)
    data = np.load(inputs)
    users, best, seen = data["users"], data["best"], tf.constant(data["seen"])
    k = tf.constant(K)
    single = [tf.constant(users[at : at + 1]) for at in range(128)]
    batches = [tf.constant(users[at : at + BATCH]) for at in range(0, 128, BATCH)]
    found: dict[str, Any] = {}
    for probes, ask in model.ask.items():
        rows = [ask(batch, seen, k)[1].numpy() for batch in batches]
        found[probes] = {
            "recall_at_10": recall(np.concatenate(rows), best),
            **median_ms(lambda i, ask=ask: ask(single[i % 128], seen[:1], k)),
            "batch_of_32": median_ms(lambda i, ask=ask: ask(batches[i % 4], seen, k)),
        }
    return {"loaded_mib": round(_resident() - before), "by_probes": found}


def _resident() -> float:
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * resource.getpagesize() / 2**20


def measure_faiss(movies: np.ndarray, queries: np.ndarray, best: np.ndarray) -> Any:
    """The same of faiss's IVF by inner product, without a query tower."""
    import faiss

    faiss.omp_set_num_threads(THREADS)
    dim, lists = movies.shape[1], max(len(movies) // 256, 1)
    start = time.perf_counter()
    quantizer = faiss.IndexFlatIP(dim)
    index = faiss.IndexIVFFlat(quantizer, dim, lists, faiss.METRIC_INNER_PRODUCT)
    index.train(movies[:: max(len(movies) // (40 * lists), 1)])
    index.add(movies[:-1])
    seconds = time.perf_counter() - start
    found: dict[str, Any] = {}
    for probes in PROBES:
        index.nprobe = probes
        found[str(probes)] = {
            "recall_at_10": recall(index.search(queries[:128], K)[1], best),
            **median_ms(lambda i: index.search(queries[i % 128][np.newaxis], K)),
            "batch_of_32": median_ms(
                lambda i: index.search(queries[32 * (i % 4) : 32 * (i % 4) + 32], K)
            ),
        }
    return {"build_seconds": round(seconds, 1), "lists": lists, "by_probes": found}


def exact_best(movies: np.ndarray, queries: np.ndarray, seen: np.ndarray) -> np.ndarray:
    """Int `[queries, K]`: by NumPy, the seen movies of a batch's rows left out."""
    best = []
    for start in range(0, len(queries), BATCH):
        scores = queries[start : start + BATCH] @ movies[:-1].T
        np.put_along_axis(scores, seen[: len(scores)], -np.inf, axis=1)
        best += list(np.argpartition(-scores, K, axis=1)[:, :K])
    return np.stack(best)


def main() -> None:
    """Measures what is not in the results yet."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("version")
    parser.add_argument("--sizes", type=int, nargs="+", default=[100_000, 1_000_000])
    parser.add_argument("--kinds", nargs="+", default=["brute_force", "ivf", "faiss"])
    parser.add_argument("--note", default="", help="what else ran on the machine")
    options = parser.parse_args()
    results = json.loads(RESULTS.read_text()) if RESULTS.exists() else {}
    cases = [(size, kind) for size in options.sizes for kind in options.kinds]
    todo = [each for each in cases if _key(*each) not in results]
    version = Version(options.version)
    made: tuple[int, Any] = (0, None)
    for size, kind in todo:
        if made[0] != size:
            movies = spread(version.embeddings, size)
            seen = np.random.default_rng(1).integers(0, size, (BATCH, SEEN))
            best = exact_best(movies, version.queries[:128], seen)
            made = (size, (movies, seen.astype(np.int32), best))
        movies, seen, best = made[1]
        if kind == "faiss":
            unseen = exact_best(movies, version.queries[:128], seen[:, :0])
            case = measure_faiss(movies, version.queries, unseen)
        else:
            case = _measure_saved(version, movies, seen, best, kind)
        load = round(os.getloadavg()[0], 1)
        results[_key(size, kind)] = case | {"load_average": load, "note": options.note}
        RESULTS.write_text(json.dumps(results, indent=1) + "\n")
        print(_key(size, kind), json.dumps(case), flush=True)


def _key(size: int, kind: str) -> str:
    return f"{size} {kind}"


def _measure_saved(
    version: Version, movies: np.ndarray, seen: np.ndarray, best: np.ndarray, kind: str
) -> dict[str, Any]:
    config = IndexConfig(
        index="brute_force" if kind == "brute_force" else "ivf",
        index_int8=kind == "int8",
    )
    with tempfile.TemporaryDirectory() as folder:
        built = save(version, movies, config, f"{folder}/model")
        np.savez(f"{folder}/in.npz", users=version.users[:128], best=best, seen=seen)
        program = (
            "import json, sys; sys.path.insert(0, sys.argv[1]); import serving; "
            "print(json.dumps(serving.measure(*sys.argv[2:])))"
        )
        files = (str(Path(__file__).parent), f"{folder}/model", f"{folder}/in.npz")
        done = subprocess.run(
            [sys.executable, "-c", program, *files],
            check=True,
            stdout=subprocess.PIPE,
            text=True,
        )
    return built | json.loads(done.stdout.splitlines()[-1])


if __name__ == "__main__":
    main()
