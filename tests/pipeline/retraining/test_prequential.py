"""Every event of a span is predicted from what came before it, and nothing else."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf

from pipeline.config import DataConfig
from pipeline.retraining import span_queries
from pipeline.retraining.prequential import METRICS, POPULARITY, measure
from pipeline.retraining.span_queries import SpanData
from tests.fixtures.span_world import (
    MIN_RATING,
    OUTSIDE,
    Event,
    oracle_queries,
    oracle_values,
    random_events,
    save_model,
    user_embeddings,
    write_spans,
)
from trainer import features as f
from trainer.errors import UserError

CONFIG = DataConfig(min_rating=MIN_RATING, window_length=5, window_stride=5)


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_spans(tmp_path_factory.mktemp("spans"), random_events())


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_model(tmp_path_factory.mktemp("serving") / "1")


def test_values_are_those_of_the_definition(base: Path, model: Path) -> None:
    events = random_events()
    found = measure({"own": model}, SpanData.read(base, CONFIG, "2").queries())
    assert found.rankers == ("own", POPULARITY)
    for metric in METRICS:
        expected = oracle_values(events, 2, metric)
        users = [user.decode() for user in found.user_ids]
        assert sorted(users) == sorted(expected)
        for column, ranker in enumerate(found.rankers):
            np.testing.assert_allclose(
                found.of(metric, ranker), [expected[user][column] for user in users]
            )
            own_mean = np.mean([pair[column] for pair in expected.values()])
            estimate = found.mean(metric, ranker)
            assert estimate.value == pytest.approx(own_mean)
            assert estimate.low <= own_mean <= estimate.high
    unknown = set(users) - set(user_embeddings())
    assert found.unknown_users == {"own": len(unknown)}
    queries = oracle_queries(events, 2)
    outside = sum(query.event.movie == OUTSIDE for query in queries)
    assert outside > 0
    assert found.unknown_movies == {"own": outside, POPULARITY: 0}
    assert found.trained_on == {"own": 0}


def test_a_row_holds_what_came_before_its_event(
    base: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Late events, those rated low and those of the same span included."""
    monkeypatch.setattr(span_queries, "_EVENTS_PER_BATCH", 20)  # several batches
    queries = SpanData.read(base, CONFIG, "2").queries()
    rows = [row for batch in queries.batches() for row in batch.rows]
    found = {}
    for row in rows:
        feature = tf.train.Example.FromString(row).features.feature
        user, history, seen, held_out = (
            [value.decode() for value in feature[name].bytes_list.value]
            for name in (
                *(f.USER_ID, f.MOVIE_IDS, f.SEEN_MOVIE_IDS),
                f.HELD_OUT_MOVIE_IDS,
            )
        )
        found[user[0], held_out[0]] = (history, seen)
    expected = {
        (query.event.user, query.event.movie): (query.history[-5:], query.seen)
        for query in oracle_queries(random_events(), 2)
    }
    assert found == expected
    assert len(rows) == len(expected) == queries.num_events
    assert ("u7", OUTSIDE) in found


def test_a_span_can_be_measured_after_newer_ones_came(base: Path, model: Path) -> None:
    then = measure({"own": model}, SpanData.read(base, CONFIG, "2").queries())
    now = measure({"own": model}, SpanData.read(base, CONFIG).queries(2))
    np.testing.assert_array_equal(now.values, then.values)


def test_of_many_events_some_are_taken_evenly(
    base: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(span_queries, "MAX_EVENTS_OF_USER", 2)
    monkeypatch.setattr(span_queries, "MAX_USERS", 4)
    queries = SpanData.read(base, CONFIG, "2").queries()
    assert len(queries.user_ids) == 4
    assert len(queries) <= 8
    whole = {query.event.user for query in oracle_queries(random_events(), 2)}
    assert queries.num_users == len(whole)
    np.testing.assert_array_equal(span_queries._evenly(5, 3), [0, 2, 4])


def test_a_span_without_an_event_to_predict_has_no_values(
    tmp_path: Path, model: Path
) -> None:
    events = [
        Event(1, "u1", "m01", 4.0, 10),
        Event(2, "u1", "m02", 0.5, 20),
        Event(2, "u1", "m01", 4.0, 30),
    ]
    base = write_spans(tmp_path / "spans", events)
    found = measure({"own": model}, SpanData.read(base, CONFIG).queries())
    assert found.num_queries == 0
    assert np.isnan(found.mean("mrr", "own").value)


def test_a_model_without_the_function_is_refused(base: Path, tmp_path: Path) -> None:
    tf.saved_model.save(tf.Module(), str(tmp_path / "other"))
    with pytest.raises(UserError, match="has no function evaluate"):
        measure({"own": tmp_path / "other"}, SpanData.read(base, CONFIG).queries())


def test_without_times_nothing_comes_before(base: Path) -> None:
    config = dataclasses.replace(CONFIG, split="random", columns={"timestamp": None})
    with pytest.raises(UserError, match="no event comes before another"):
        SpanData.read(base, config)
