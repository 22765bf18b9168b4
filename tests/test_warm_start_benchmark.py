"""The benchmark of warm starts: what a span knows, and what it is measured on."""

from __future__ import annotations

import json

import numpy as np
import pytest

from benchmarks.warm_start.compare import compare
from benchmarks.warm_start.measure import _queries
from benchmarks.warm_start.spans import Edition, cuts, make_span
from components.movielens_example_gen.timelines import Events
from pipeline.config import PipelineConfig
from trainer import features as f
from trainer.context import CandidateFeatures
from trainer.input_pipeline import Corpus

# User "a" has events at 0..5, "b" at 10..14, "c" one at 15; movie 3 is new at 12.
TIMES = [0, 1, 2, 3, 4, 5, 10, 11, 12, 13, 14, 15]
MOVIES = [0, 1, 2, 4, 5, 0, 0, 1, 3, 2, 4, 1]


@pytest.fixture(scope="module")
def edition() -> Edition:
    names = np.array([b"m%d" % i for i in range(6)])
    features = CandidateFeatures(
        np.ones((6, 1), np.float32),
        np.arange(6, dtype=np.int32),
        np.zeros((6, 0), np.int32),
        1,
        np.zeros(6, bool),
    )
    events = Events(
        np.array([0, 6, 11, 12]),
        np.array(MOVIES, np.int32),
        np.full(12, 3, np.float32),
        np.array(TIMES, np.int64),
        np.zeros(12, np.int8),
    )
    return Edition(
        np.array([b"a", b"b", b"c"]),
        np.arange(9).reshape(3, 3),
        events,
        Corpus(names, names, names, np.zeros(6, np.int64), features),
        [[b"word"], [b"word"], [b"rare"], [b"new"], [], []],
    )


def test_a_span_trains_on_nothing_that_comes_after_it(edition):
    config = PipelineConfig()
    span = make_span(edition, ("1", 0, 12), config)
    train, ids = span.data.train, span.data.corpus.movie_ids
    movies = train[f.MOVIE_INDICES]
    # "b" has two events by then, too few to train on; the last of "a" is held out.
    assert train[f.USER_ID].tolist() == [b"a"]
    assert ids[movies.values].tolist() == [b"m0", b"m1", b"m2", b"m4", b"m5"]
    assert b"m3" not in ids
    assert span.rows[3] == -1
    assert span.data.vocabularies["title_token"].tolist() == [b"word", b"rare"]
    later = make_span(edition, ("2", 12, 15), config)
    assert later.data.train[f.USER_ID].tolist() == [b"a", b"b"]
    assert later.user_rows.tolist() == [0, 1, 2]
    assert b"m3" in later.data.corpus.movie_ids


def test_windows_and_counts_are_of_trained_events(edition):
    span = make_span(edition, ("2", 0, 20), PipelineConfig())
    corpus = span.data.corpus
    counts = dict(zip(corpus.movie_ids.tolist(), corpus.num_ratings, strict=True))
    assert counts == {b"m0": 2, b"m1": 2, b"m2": 2, b"m3": 1, b"m4": 1, b"m5": 1}
    assert span.data.train[f.NUM_CONTEXT].tolist() == [0, 0]
    assert corpus.features.is_rated.tolist() == [True] * 6 + [False]


def test_a_model_is_measured_on_the_next_span_only(edition):
    assert [event for _, event in _queries(edition, 12, 15)] == [8, 9, 10]
    assert _queries(edition, 15, 16) == [(2, 11)]


def test_spans_are_cut_where_split_spans_cuts(edition):
    assert [cut[1:] for cut in cuts(edition, 2, None)] == [(0, 10), (10, 16)]


def test_differences_are_paired_by_user_span_and_seed(tmp_path):
    for seed in (1, 2):
        for policy, value in (("cold", 0.1), ("warm", 0.1 + 0.1 * seed)):
            for span in ("1", "2"):
                folder = tmp_path / f"seed-{seed}" / policy
                folder.mkdir(parents=True, exist_ok=True)
                row = {
                    **{"span": span, "seed": seed, "users": 1, "epochs": 4},
                    **{"recall@10": value, "ndcg@10": value},
                    **{"train_seconds": 1.0, "cpu_seconds": 2.0 * value},
                    "by_user": {"a": [value, value]},
                }
                (folder / f"{span}.json").write_text(json.dumps(row))
    summary = compare(tmp_path, "cold", "warm")["summary"]
    assert summary["recall@10"]["difference"] == 0.15
    assert summary["recall@10"]["interval_95_of_users"] == [0.15, 0.15]
    low, high = summary["recall@10"]["interval_95_of_fits"]
    assert low < 0.15 < high
    assert summary["cpu_seconds"]["share"] == 2.5
