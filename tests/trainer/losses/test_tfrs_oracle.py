"""The in-batch softmax against the `Retrieval` task of TensorFlow Recommenders.

TFRS needs legacy Keras, so it runs in a process of its own: in the environment that
`make bench-quality` makes for the peers.
"""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf

from tests.fixtures import small_model as small
from trainer.losses import LossContext, Retrieval, make_loss

ROOT = Path(__file__).resolve().parents[3]
TFRS_PYTHON = ROOT / "benchmarks/quality/.venv/bin/python"
NUM_MOVIES, NUM_TARGETS, DIM = 50, 64, 8
RNG = np.random.default_rng(5)
COUNTS = RNG.integers(1, 500, NUM_MOVIES)
# More targets than movies: there are accidental hits.
TARGETS = RNG.integers(0, NUM_MOVIES, NUM_TARGETS).astype(np.int32)
QUERIES = RNG.normal(size=(NUM_TARGETS, DIM)).astype(np.float32)
MOVIES = RNG.normal(size=(NUM_MOVIES, DIM)).astype(np.float32)
CASES: list[dict[str, Any]] = [
    {"temperature": temperature, "log_q": log_q, "hits": hits}
    for temperature in (1.0, 0.3)
    for log_q in (False, True)
    for hits in (False, True)
]

TFRS_PROGRAM = """
import json, sys
import numpy as np
import tensorflow_recommenders as tfrs

with np.load(sys.argv[1]) as data:
    for case in json.loads(sys.argv[2]):
        task = tfrs.tasks.Retrieval(
            temperature=case["temperature"], remove_accidental_hits=case["hits"]
        )
        loss = task(
            data["queries"],
            data["candidates"],
            candidate_sampling_probability=data["q"] if case["log_q"] else None,
            candidate_ids=data["ids"] if case["hits"] else None,
        )
        print("LOSS", float(loss))
"""


@pytest.mark.slow
@pytest.mark.skipif(
    not TFRS_PYTHON.exists(), reason="TFRS comes with the peers: make bench-quality"
)
def test_in_batch_softmax_equals_tfrs(tmp_path: Path) -> None:
    expected = tfrs_losses(tmp_path / "data.npz")
    assert len(set(expected)) == len(CASES)  # each option changes it
    np.testing.assert_allclose([our_loss(c) for c in CASES], expected, rtol=1e-5)


def our_loss(case: dict[str, Any]) -> float:
    settings = small.train_config(
        loss="in_batch_softmax",
        loss_reduction="sum",  # as TFRS
        temperature=case["temperature"],
        logq_correction=case["log_q"],
        remove_accidental_hits=case["hits"],
    )
    candidates = tf.constant(MOVIES[TARGETS])
    loss = make_loss(LossContext(settings, COUNTS))(
        Retrieval(
            queries=tf.constant(QUERIES),
            targets=tf.constant(TARGETS),
            positives=candidates,
            candidate_ids=tf.constant(TARGETS),
            candidates=candidates,
        )
    )
    return float(loss)


def tfrs_losses(path: Path) -> list[float]:
    np.savez(
        path,
        queries=QUERIES,
        candidates=MOVIES[TARGETS],
        q=(COUNTS / COUNTS.sum()).astype(np.float32)[TARGETS],
        ids=TARGETS,
    )
    done = subprocess.run(
        [str(TFRS_PYTHON), "-c", TFRS_PROGRAM, str(path), json.dumps(CASES)],
        env={**os.environ, "TF_USE_LEGACY_KERAS": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    lines = [line.split() for line in done.stdout.splitlines()]
    return [float(line[1]) for line in lines if line[:1] == ["LOSS"]]
