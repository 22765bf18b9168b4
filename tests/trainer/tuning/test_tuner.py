"""Searches: real ones, over models of twelve movies."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from tests.fixtures import small_model as small
from trainer.config import TrainerConfig, from_json, to_json
from trainer.errors import UserError
from trainer.input_pipeline import TrainingData
from trainer.progress import LOGGER
from trainer.tuning.config import Dimension, TuneConfig, TunerConfig
from trainer.tuning.tuner import RetrievalTuner, tuner_fn

pytestmark = pytest.mark.slow  # every search trains several models

RATES = {"train.learning_rate": Dimension(values=(1e-6, 0.05))}


def tuner_config(tune: TuneConfig, validation_queries: int = 6) -> TunerConfig:
    train = small.train_config(validation_queries=validation_queries)
    return TunerConfig(trainer=small.trainer_config(train=train), tune=tune)


def searched(folder: Path, tune: TuneConfig) -> RetrievalTuner:
    # As it arrives in the step: from JSON.
    config = from_json(TunerConfig, to_json(tuner_config(tune)))
    tuner = RetrievalTuner(small.training_data(), config, str(folder))
    tuner.search(verbose=0)
    return tuner


def best(tuner: RetrievalTuner) -> dict[str, Any]:
    values: dict[str, Any] = tuner.get_best_hyperparameters()[0].values
    return values


def test_a_search_finds_the_better_value_and_reports_each_trial(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    LOGGER.addHandler(caplog.handler)
    space = {**RATES, "model.recency_decays": Dimension(values=([0.5, 0.8],))}
    tuner = searched(tmp_path, TuneConfig(trials=3, epochs=10, space=space))

    assert best(tuner)["train.learning_rate"] == 0.05
    # The configuration as it is comes first; the space has no third point.
    first, other = tuner.outcomes
    assert first.values == {
        "train.learning_rate": 0.05,
        "model.recency_decays": [0.5, 0.8],
    }
    assert other.values["train.learning_rate"] == 1e-6
    assert (first.ndcg or 0.0) > (other.ndcg or 0.0)
    assert first.standard_error is not None and first.recall is not None
    assert (first.queries, first.epochs) == (6, 10)

    LOGGER.removeHandler(caplog.handler)
    emitted = [record.event for record in caplog.records if record.name == LOGGER.name]
    trials = [event for event in emitted if event["kind"] == "trial"]
    assert [(e["trial"], e["state"]) for e in trials] == [
        (trial, state) for trial in (1, 2) for state in ("running", "done")
    ]
    assert trials[1]["ndcg"] == first.ndcg


def test_a_failed_trial_does_not_end_the_search(tmp_path: Path) -> None:
    dims = Dimension(values=(8, 7))  # which two heads do not divide
    tune = TuneConfig(trials=2, epochs=1, space={"model.embedding_dim": dims})
    good, bad = searched(tmp_path, tune).outcomes
    assert (good.values["model.embedding_dim"], good.error) == (8, "")
    assert "embedding_dim is 7" in bad.error and bad.ndcg is None


def test_a_search_without_a_success_is_an_error(tmp_path: Path) -> None:
    dims = Dimension(values=(5, 7))
    tune = TuneConfig(trials=2, space={"model.embedding_dim": dims})
    with pytest.raises(UserError, match=r"All 2 trials .*failed.*embedding_dim is \d"):
        searched(tmp_path, tune)


def test_no_trial_starts_after_the_time_limit(tmp_path: Path) -> None:
    tune = TuneConfig(trials=9, epochs=1, max_seconds=0.01, space=RATES)
    assert len(searched(tmp_path, tune).outcomes) == 1


def test_hyperband_trains_the_best_for_longer(tmp_path: Path) -> None:
    rates = Dimension(min=1e-4, max=0.1, log=True)
    tune = TuneConfig(
        algorithm="hyperband",
        trials=4,
        epochs=3,
        space={"train.learning_rate": rates},
    )
    outcomes = searched(tmp_path, tune).outcomes
    assert {outcome.epochs for outcome in outcomes} == {1, 3}
    longest = [o.values for o in outcomes if o.epochs == 3]
    assert longest[0] in [o.values for o in outcomes if o.epochs == 1]
    assert set(longest[0]) == {"train.learning_rate"}


def test_the_first_bayesian_trial_is_the_configuration(tmp_path: Path) -> None:
    tune = TuneConfig(algorithm="bayesian", trials=4, epochs=1, space=RATES)
    assert searched(tmp_path, tune).outcomes[0].values == {"train.learning_rate": 0.05}


@pytest.mark.parametrize("users, queries", [(600, 200), (6000, 1200), (30_000, 5000)])
def test_a_search_validates_on_more_users_than_a_training(
    users: int, queries: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = []

    def train_model(data: TrainingData, config: TrainerConfig, log_dir: str) -> None:
        asked.append(config.train.validation_queries)
        raise UserError("enough", "")

    monkeypatch.setattr("trainer.tuning.tuner.train_model", train_model)
    train = small.train_config(validation_queries="auto")
    trainer = small.trainer_config(train=train)
    config = TunerConfig(trainer=trainer, tune=TuneConfig(trials=1, space=RATES))
    data = small.training_data()._replace(num_users=users)
    with pytest.raises(UserError, match="enough"):
        RetrievalTuner(data, config, str(tmp_path)).search(verbose=0)
    assert asked == [queries]


def test_without_validation_there_is_no_search() -> None:
    config = tuner_config(TuneConfig(space=RATES), validation_queries=0)
    with pytest.raises(UserError, match=r"validation_queries is 0"):
        tuner_fn(SimpleNamespace(custom_config=to_json(config)))
