"""Time and memory of the Evaluator on many queries and a large corpus.

    python benchmarks/evaluation.py --queries 100000 --movies 50000
    python benchmarks/evaluation.py --queries 100000 --movies 50000 --live-model

Made-up rows with the default slices, a model of random embeddings, the default metrics
and thresholds, Beam in this process. Writing the rows and the model is not counted.
"""

from __future__ import annotations

import argparse
import json
import resource
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf
from tfx.dsl.components.base import base_beam_executor
from tfx.types import artifact, standard_artifacts

from components.evaluator.config import EvalConfig
from components.evaluator.executor import CONFIG, Executor
from components.evaluator.retrieval_summary import read_summary
from components.parameters import to_parameter
from components.schema_importer import SCHEMA_FILE, curated_schema_text
from pipeline.engines.beam_options import BEAM_ARGS
from tests.fixtures.eval_bench import made
from tests.fixtures.eval_model import EvalModel, save_eval_model
from tests.fixtures.example_rows import Row, to_example
from trainer import features as f

SEEN_PER_USER = 100
GENRES = [b"Action", b"Comedy", b"Drama", b"Horror", b"Romance", b"War"]
DIM = 64


def rows(queries: int, movies: list[bytes]) -> Iterator[Row]:
    """Yields queries with a hundred seen movies and one held out."""
    rng = np.random.default_rng(1)
    for user in range(queries):
        *seen, held_out = (movies[row] for row in rng.integers(0, len(movies), 101))
        yield {
            f.USER_ID: [b"u%d" % user],
            f.ACTIVITY: [b"100-199"],
            f.USER_KIND: [b"warm"],
            f.GENDER: [b"FM"[user % 2 : user % 2 + 1]],
            f.AGE_GROUP: [b"25-34"],
            f.OCCUPATION: [b"writer" if user % 3 else b"artist"],
            f.SEEN_MOVIE_IDS: seen,
            f.HELD_OUT_MOVIE_IDS: [held_out],
            f.HELD_OUT_OPINION: [[b"liked", b"not_liked"][user % 2]],
            f.HELD_OUT_POPULARITY: [[b"head", b"middle", b"tail"][user % 3]],
            f.HELD_OUT_GENRES: [GENRES[user % 6], GENRES[(user + 1) % 6]],
            f.HELD_OUT_DECADES: [b"%d0s" % (195 + user % 7)],
        }


def write_rows(folder: Path, queries: int, movies: list[bytes]) -> artifact.Artifact:
    """Writes the eval split."""
    examples = made(standard_artifacts.Examples, folder)
    examples.split_names = json.dumps([f.EVAL_SPLIT])
    examples.set_string_custom_property("payload_format", "FORMAT_TF_EXAMPLE")
    split = folder / f"Split-{f.EVAL_SPLIT}"
    split.mkdir()
    options = tf.io.TFRecordOptions(compression_type="GZIP", compression_level=1)
    path = str(split / "data_tfrecord-00000-of-00001.gz")
    with tf.io.TFRecordWriter(path, options) as writer:
        for row in rows(queries, movies):
            writer.write(to_example(row).SerializeToString())
    return examples


def write_model(folder: Path, queries: int, movies: list[bytes]) -> artifact.Artifact:
    """Writes a model of random embeddings."""
    rng = np.random.default_rng(2)
    users = rng.normal(size=(queries, DIM)).astype(np.float32)
    table = rng.normal(size=(len(movies), DIM)).astype(np.float32)
    model = EvalModel(
        {b"u%d" % user: vector for user, vector in enumerate(users)},
        dict(zip(movies, table, strict=True)),
        rng.integers(1, 5000, len(movies)).tolist(),
        top_k=100,
        trained_on=[(b"nobody", b"nothing")],
    )
    save_eval_model(model, folder)
    return made(standard_artifacts.Model, folder)


def evaluate(folder: Path, inputs: dict[str, list[Any]]) -> float:
    """Runs the Evaluator; returns the seconds that it took."""
    context = base_beam_executor.BaseBeamExecutor.Context(
        beam_pipeline_args=BEAM_ARGS, tmp_dir=str(folder / "tmp"), unique_id="1"
    )
    outputs = {
        "evaluation": [made(standard_artifacts.ModelEvaluation, folder / "evaluation")],
        "blessing": [made(standard_artifacts.ModelBlessing, folder / "blessing")],
    }
    parameters = {CONFIG: to_parameter(EvalConfig, EvalConfig())}
    started = time.monotonic()
    Executor(context).Do(inputs, outputs, parameters)
    return time.monotonic() - started


def main() -> None:
    """Prints one line of JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--queries", type=int, default=100_000)
    parser.add_argument("--movies", type=int, default=50_000)
    parser.add_argument("--live-model", action="store_true")
    options = parser.parse_args()
    movies = [b"m%d" % row for row in range(options.movies)]
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        examples = write_rows(folder / "examples", options.queries, movies)
        model = write_model(folder / "model", options.queries, movies)
        schema = made(standard_artifacts.Schema, folder / "schema")
        Path(schema.uri, SCHEMA_FILE).write_text(curated_schema_text())
        inputs = {"examples": [examples], "model": [model], "schema": [schema]}
        if options.live_model:
            inputs["baseline_model"] = [model]
        seconds = evaluate(folder, inputs)
        summary = read_summary(str(folder / "evaluation"))
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    result = {**vars(options), "seconds": round(seconds, 1), "peak_gib": round(peak, 2)}
    result["slices"] = len(summary["slices"])
    print(json.dumps(result))


if __name__ == "__main__":
    main()
