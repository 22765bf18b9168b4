"""Which checks are a reason to retrain, and how often they are wrong."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tensorflow_metadata.proto.v0 import statistics_pb2

from pipeline.config import DataConfig, PipelineConfig, RetrainConfig
from pipeline.retraining.span_queries import SpanData
from pipeline.retraining.triggers import (
    Trigger,
    _statistics,
    judge,
    reasons_to_retrain,
)
from tests.fixtures.span_world import MIN_RATING, random_events, save_model, write_spans
from trainer import features as f

DATA = DataConfig(min_rating=MIN_RATING, span_window=1)


def _config(**changes: Any) -> PipelineConfig:
    return PipelineConfig(data=DATA, retrain=RetrainConfig(**changes))


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_spans(tmp_path_factory.mktemp("spans"), random_events())


@pytest.fixture(scope="module")
def serving_dir(tmp_path_factory: pytest.TempPathFactory, base: Path) -> str:
    """A model that comes with the statistics of span 3."""
    folder = tmp_path_factory.mktemp("serving")
    statistics = statistics_pb2.DatasetFeatureStatisticsList()
    features = statistics.datasets.add().features
    for name, own in _statistics(SpanData.read(base, DATA)).items():
        own.path.step.append(name)
        features.append(own)
    save_model(folder / "1", statistics.SerializeToString())
    return str(folder)


def test_all_checks_are_made_and_say_what_they_found(
    base: Path, serving_dir: str
) -> None:
    decision = reasons_to_retrain(_config(), base, serving_dir, trained=1)
    assert [check.trigger for check in decision.checks] == [
        *(Trigger.NEW_RATINGS, Trigger.DRIFT, Trigger.QUALITY)
    ]
    num_old = sum(event.span == 1 for event in random_events())
    num_new = len(random_events()) - num_old
    [reason] = decision.reasons
    assert str(reason) == (
        f"new ratings: {num_new} since the last retraining, {num_new / num_old:.1%} of "
        "those before; 5.0% would be enough"
    )
    drift, quality = decision.why_not
    assert "movie_ids 0.000 (0.15), ratings 0.000 (0.1)" in drift.text
    assert "against popularity on the newest span" in quality.text
    assert "on the first new span" in quality.text


def test_bounds_decide(base: Path, serving_dir: str) -> None:
    config = _config(
        min_new_ratings=1000, min_new_share=None, quality_confidence=None, max_drift={}
    )
    decision = reasons_to_retrain(config, base, serving_dir, trained=1)
    assert decision.reasons == []
    assert "1,000 would be enough" in decision.checks[0].text
    config = _config(max_drift={"movie_ids": 0.001}, quality_confidence=None)
    decision = reasons_to_retrain(config, base, serving_dir, trained=1, span="2")
    assert Trigger.DRIFT in [reason.trigger for reason in decision.reasons]


def test_a_span_that_was_trained_on_is_no_reason_and_is_not_read(
    base: Path, serving_dir: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delattr("pipeline.retraining.span_queries.raw_data.read")
    decision = reasons_to_retrain(_config(), base, serving_dir, trained=3)
    assert decision.reasons == []
    assert "trained on already" in decision.why_not[0].text


def test_a_missing_model_or_record_is_a_reason(
    base: Path, serving_dir: str, tmp_path: Path
) -> None:
    nothing = reasons_to_retrain(_config(), base, str(tmp_path), trained=3)
    assert [reason.trigger for reason in nothing.reasons] == [Trigger.NO_MODEL]
    unknown = reasons_to_retrain(_config(), base, serving_dir, trained=None)
    assert [reason.trigger for reason in unknown.reasons] == [Trigger.NEW_RATINGS]


def test_a_span_is_counted_as_tfdv_counts_it(base: Path) -> None:
    tfdv = pytest.importorskip("tensorflow_data_validation")
    import pandas as pd

    data = SpanData.read(base, DATA)
    events = [e for e in random_events() if e.span == 3 and e.rating >= MIN_RATING]
    frame = pd.DataFrame(
        {
            f.MOVIE_IDS: [[event.movie] for event in events],
            f.RATINGS: [[event.rating] for event in events],
        }
    )
    theirs = tfdv.generate_statistics_from_dataframe(frame, n_jobs=1)
    from tensorflow_metadata.proto.v0 import schema_pb2

    from components.data_gate.divergence import by_name, divergence

    for name, own in _statistics(data).items():
        feature = schema_pb2.Feature(name=name)
        assert divergence(own, by_name(theirs)[name], feature) < 1e-3


def _advantages(rng: np.random.Generator, users: int, mean: float) -> np.ndarray:
    """Differences of two users' recalls over some events, as real ones are."""
    taste = np.clip(rng.normal(mean + 0.08, 0.15, users), 0, 1)
    events = rng.integers(1, 20, users)
    own = rng.binomial(events, taste) / events
    return own - rng.binomial(events, 0.08) / events


@pytest.mark.parametrize("users", [12, 60, 400])
def test_false_alarms_are_as_rare_as_promised(users: int) -> None:
    """The model is as good as it was."""
    rng = np.random.default_rng(users)
    runs = 600
    alarms = sum(
        judge(_advantages(rng, users, 0.1), _advantages(rng, 60, 0.1), 0.95).fired
        for _ in range(runs)
    )
    assert alarms / runs < 0.05 + 3 * (0.05 * 0.95 / runs) ** 0.5


def test_a_real_fall_is_noticed() -> None:
    rng = np.random.default_rng(0)
    found = [
        judge(_advantages(rng, 200, 0.05), _advantages(rng, 200, 0.2), 0.99)
        for _ in range(100)
    ]
    assert sum(check.fired for check in found) > 90
    assert "a fall of +0." in found[0].text
    worse = judge(_advantages(rng, 100, -0.2) - 0.1, None, 0.99)
    assert worse.fired
    assert "from the second new span on" in worse.text


def test_a_span_without_an_event_to_predict_fires_nothing() -> None:
    assert not judge(np.zeros(0), None, 0.99).fired
