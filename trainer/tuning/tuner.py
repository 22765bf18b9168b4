"""`tuner_fn` of the Tuner: trains one model for each trial, as the Trainer would."""

from __future__ import annotations

import dataclasses
import logging
import math
import time
from typing import Any, Final

import keras
import keras_tuner
from keras_tuner.engine.trial import Trial
from pydantic import ValidationError
from tfx.components.tuner.component import TunerFnResult

from trainer import progress
from trainer.config import from_json
from trainer.devices import read_cluster
from trainer.errors import UserError
from trainer.input_pipeline import TrainingData, read_training_data
from trainer.train_report import FitReport
from trainer.training import train_model
from trainer.tuning.config import TunerConfig
from trainer.tuning.hyperparameters import from_keras_tuner
from trainer.tuning.search_space import make_oracle
from trainer.validation import MONITORED
from trainer.windows import num_validated

# The value by which KerasTuner's Hyperband sets the epochs of a trial.
_HYPERBAND_EPOCHS: Final = "tuner/epochs"
# Of a fifth of the users, `train.validation_queries=auto`: no trial is served, so that
# a search may hold out more than training does, to see smaller differences.
_FEWEST_QUERIES: Final = 200


def tuner_fn(fn_args: Any) -> TunerFnResult:
    """Prepares a search over the train split.

    Args:
      fn_args: TFX's `FnArgs`. `custom_config` is a `TunerConfig` as JSON;
        `working_dir` is for KerasTuner's own files.

    Raises:
      UserError: If there are several workers or no validation slice, or a split is
        empty.
    """
    if read_cluster().num_workers > 1:
        raise UserError(
            "TF_CONFIG names several workers, but the Tuner runs on one machine only",
            "Unset TF_CONFIG for this step",
        )
    config = from_json(TunerConfig, fn_args.custom_config)
    if not config.trainer.train.validation_queries:
        raise UserError(
            "train.validation_queries is 0, so that trials cannot be compared",
            "Set it: --set train.validation_queries=1000.",
        )
    return TunerFnResult(
        tuner=RetrievalTuner(
            read_training_data(fn_args, config.trainer.model),
            config,
            fn_args.working_dir,
        ),
        fit_kwargs={"verbose": 0},  # no terminal tables in the log
    )


@dataclasses.dataclass(frozen=True)
class Outcome:
    """The result of a trial.

    Attributes:
      trial: Its number, from 1.
      values: Configuration key to value.
      ndcg: NDCG without a cut-off of the validation slice; None if it failed.
      standard_error: Of that NDCG.
      recall: Recall@10 of the validation slice; None if it failed.
      queries: Queries of the slice, `n`.
      epochs: Epochs that it was trained for.
      seconds: Duration in seconds.
      error: Why it failed, in one line; empty if it did not.
    """

    trial: int
    values: dict[str, Any]
    ndcg: float | None = None
    standard_error: float | None = None
    recall: float | None = None
    queries: int = 0
    epochs: int = 0
    seconds: float = 0.0
    error: str = ""


class RetrievalTuner(keras_tuner.Tuner):
    """KerasTuner's search loop around `trainer.training.train_model`.

    A trial's score is the NDCG of the weights that training would keep, by which
    `trainer.validation` compares epochs, too. Every
    trial has the same seed, hence the same validation slice.

    Args:
      data: What the models are trained on.
      config: The search, and the configuration that it starts from.
      directory: Folder of KerasTuner's own files.

    Attributes:
      outcomes: The result of each trial, in the order in which they ran.
    """

    def __init__(self, data: TrainingData, config: TunerConfig, directory: str) -> None:
        self.outcomes: list[Outcome] = []
        self._data = data
        self._trainer_config = config.trainer
        self._tune = config.tune
        self._deadline = math.inf
        super().__init__(
            oracle=make_oracle(config),
            directory=directory,
            project_name="search",
            overwrite=True,
        )

    def on_search_begin(self) -> None:
        """Starts the clock."""
        if self._tune.max_seconds:
            self._deadline = time.monotonic() + self._tune.max_seconds

    def run_trial(self, trial: Trial, *args: Any, **kwargs: Any) -> dict[str, float]:
        """Trains a model with the trial's values.

        Returns:
          Its objective.

        Raises:
          FailedTrialError: If it cannot be trained with them; the search goes on.
        """
        started = time.monotonic()
        values = from_keras_tuner(trial.hyperparameters.values)
        outcome = Outcome(len(self.outcomes) + 1, values)
        self._report(outcome, state="running")
        try:
            report = self._train(trial, values)
            if not report.recall:
                raise UserError(
                    "no user has enough events to validate on",
                    "A search needs users with three events and more.",
                )
        except Exception as error:
            logging.exception("Trial %d failed", outcome.trial)
            reason = next(iter(str(error).splitlines()), type(error).__name__)
            outcome = dataclasses.replace(outcome, error=reason)
            raise keras_tuner.errors.FailedTrialError(reason) from error
        else:
            kept = report.best_epoch - 1
            outcome = dataclasses.replace(
                outcome,
                ndcg=report.ndcg[kept],
                standard_error=report.ndcg_error,
                recall=report.recall[kept],
                queries=report.num_queries,
                epochs=len(report.recall),
            )
        finally:
            seconds = round(time.monotonic() - started, 2)
            outcome = dataclasses.replace(outcome, seconds=seconds)
            self.outcomes.append(outcome)
            self._report(outcome, state="failed" if outcome.error else "done")
            keras.utils.clear_session()
        return {MONITORED: outcome.ndcg or 0.0}

    def on_trial_end(self, trial: Trial) -> None:
        """Ends the search after `tune.max_seconds`."""
        super().on_trial_end(trial)
        if time.monotonic() > self._deadline:
            self.oracle.max_trials = len(self.oracle.trials)

    def on_search_end(self) -> None:
        """Checks that at least one trial succeeded.

        Raises:
          UserError: If every trial failed.
        """
        if all(outcome.error for outcome in self.outcomes):
            raise UserError(
                f"All {len(self.outcomes)} trials of the Tuner failed, the last with: "
                f"{self.outcomes[-1].error}",
                "Correct tune.space; the log has the traceback of each trial.",
            )

    def _train(self, trial: Trial, values: dict[str, Any]) -> FitReport:
        epochs = trial.hyperparameters.values.get(_HYPERBAND_EPOCHS)
        epochs = epochs or self._tune.epochs
        if epochs:
            values = {**values, "train.epochs": epochs}
        if self._trainer_config.train.validation_queries == "auto":
            queries = num_validated(self._data.num_users, 5, _FEWEST_QUERIES)
            values = {**values, "train.validation_queries": queries}
        try:
            config = self._trainer_config.with_values(values)
        except ValidationError as error:
            reason = error.errors()[0]["msg"].removeprefix("Value error, ")
            raise ValueError(reason) from error
        log_dir = self.get_trial_dir(trial.trial_id)
        return train_model(self._data, config, log_dir).report

    def _report(self, outcome: Outcome, state: str) -> None:
        trials = self._tune.trials
        content = dataclasses.asdict(outcome)
        progress.emit("trial", state=state, trials=trials, **content)
        if state != "running":
            logging.info("Trial %d of at most %d: %s", outcome.trial, trials, content)
