"""`tuner_fn` of the Tuner: trains one model for each trial, as the Trainer would."""

from __future__ import annotations

import dataclasses
import logging
import math
import time
from collections.abc import Mapping
from typing import Any

import keras
import keras_tuner
from keras_tuner.engine.trial import Trial
from pydantic import ValidationError
from tfx.components.tuner.component import TunerFnResult

from trainer import progress
from trainer.config import ModelConfig, TrainConfig
from trainer.devices import read_cluster
from trainer.errors import UserError
from trainer.fitting import FitReport
from trainer.inputs import Inputs, read_inputs
from trainer.training import train_model
from trainer.tuning.hyperparameters import decoded, merged
from trainer.tuning.search_space import oracle
from trainer.validation import MONITORED

_HYPERBAND_EPOCHS = "tuner/epochs"


def tuner_fn(fn_args: Any) -> TunerFnResult:
    """Prepares a search over the train split.

    Args:
      fn_args: TFX's `FnArgs`. `custom_config` is that of the Trainer with the fields of
        a `TuneConfig` under `tune`; `working_dir` is for KerasTuner's own files.

    Raises:
      UserError: If there are several workers or no validation slice, or a split is
        empty.
    """
    if read_cluster().num_workers > 1:
        raise UserError(
            "TF_CONFIG names several workers, but the Tuner takes one",
            "Unset TF_CONFIG for this step",
        )
    config = fn_args.custom_config
    if not config["train"]["validation_queries"]:
        raise UserError(
            "train.validation_queries is 0: there is nothing to tell a good trial by",
            "Give --set train.validation_queries=1000.",
        )
    return TunerFnResult(
        tuner=RetrievalTuner(read_inputs(fn_args), config, fn_args.working_dir),
        fit_kwargs={"verbose": 0},  # it would draw tables for a terminal into the log
    )


@dataclasses.dataclass(frozen=True)
class Outcome:
    """What came of a trial.

    Attributes:
      trial: Its number, from 1.
      values: Key of the configuration -> value.
      recall: Recall@10 of the validation slice; None where it failed.
      standard_error: Of that recall, `sqrt(p * (1 - p) / n)`.
      queries: Queries of the slice, `n`.
      epochs: Epochs it was trained for.
      seconds: Time it took, in seconds.
      error: Why it failed, in one line; empty where it did not.
    """

    trial: int
    values: dict[str, Any]
    recall: float | None = None
    standard_error: float | None = None
    queries: int = 0
    epochs: int = 0
    seconds: float = 0.0
    error: str = ""


class RetrievalTuner(keras_tuner.Tuner):
    """KerasTuner's loop around our own training.

    A trial's score is the recall@10 of the weights that training would keep. Every
    trial has the same seed, hence the same validation slice.

    Attributes:
      outcomes: What came of each trial, in the order in which they ran.
    """

    def __init__(self, inputs: Inputs, config: dict[str, Any], directory: str) -> None:
        """Makes a tuner.

        Args:
          inputs: What the models are trained on.
          config: See `tuner_fn`.
          directory: For KerasTuner's own files.
        """
        self.outcomes: list[Outcome] = []
        self._inputs = inputs
        self._config = config
        self._tune: Mapping[str, Any] = config["tune"]
        self._ends = math.inf
        super().__init__(
            oracle=oracle(self._tune, config),
            directory=directory,
            project_name="search",
            overwrite=True,
        )

    def on_search_begin(self) -> None:
        """Starts the clock."""
        if self._tune["max_seconds"]:
            self._ends = time.monotonic() + self._tune["max_seconds"]

    def run_trial(self, trial: Trial, *args: Any, **kwargs: Any) -> dict[str, float]:
        """Trains a model with the trial's values.

        Returns:
          Its objective.

        Raises:
          FailedTrialError: If it cannot be trained with them; the search goes on.
        """
        started = time.monotonic()
        outcome = Outcome(len(self.outcomes) + 1, decoded(trial.hyperparameters.values))
        self._tell(outcome, state="running")
        try:
            report = self._train(trial, outcome.values)
        except Exception as error:
            logging.exception("Trial %d failed", outcome.trial)
            reason = next(iter(str(error).splitlines()), type(error).__name__)
            outcome = dataclasses.replace(outcome, error=reason)
            raise keras_tuner.errors.FailedTrialError(reason) from error
        else:
            outcome = _with_report(outcome, report)
        finally:
            seconds = round(time.monotonic() - started, 2)
            outcome = dataclasses.replace(outcome, seconds=seconds)
            self.outcomes.append(outcome)
            self._tell(outcome, state="failed" if outcome.error else "done")
            keras.utils.clear_session()
        return {MONITORED: outcome.recall or 0.0}

    def on_trial_end(self, trial: Trial) -> None:
        """Lets no trial follow where the time is over."""
        super().on_trial_end(trial)
        if time.monotonic() > self._ends:
            self.oracle.max_trials = len(self.oracle.trials)

    def on_search_end(self) -> None:
        """Refuses a search that found nothing.

        Raises:
          UserError: If every trial failed.
        """
        if all(outcome.error for outcome in self.outcomes):
            raise UserError(
                f"All {len(self.outcomes)} trials of the Tuner failed, the last with: "
                f"{self.outcomes[-1].error}",
                "Mend tune.space; the log has the trace of each.",
            )

    def _train(self, trial: Trial, values: dict[str, Any]) -> FitReport:
        epochs = trial.hyperparameters.values.get(_HYPERBAND_EPOCHS)
        epochs = epochs or self._tune["epochs"]
        if epochs:
            values = {**values, "train.epochs": epochs}
        config = merged(self._config, values)
        _check_together(config)
        log_dir = self.get_trial_dir(trial.trial_id)
        _, report = train_model(*self._inputs, config, log_dir)
        return report

    def _tell(self, outcome: Outcome, state: str) -> None:
        trials = self._tune["trials"]
        content = dataclasses.asdict(outcome)
        progress.emit("trial", state=state, trials=trials, **content)
        if state != "running":
            logging.info("Trial of %d: %s", trials, content)


def _check_together(config: Mapping[str, Any]) -> None:
    """Refuses values of which each is right and which do not go together.

    Raises:
      ValueError: They do not; the message says why.
    """
    try:
        ModelConfig(**config["model"])
        TrainConfig(**config["train"])
    except ValidationError as error:
        reason = error.errors()[0]["msg"].removeprefix("Value error, ")
        raise ValueError(reason) from error


def _with_report(outcome: Outcome, report: FitReport) -> Outcome:
    recall = report.recall[report.best_epoch - 1]
    return dataclasses.replace(
        outcome,
        recall=recall,
        standard_error=math.sqrt(recall * (1 - recall) / report.num_queries),
        queries=report.num_queries,
        epochs=len(report.recall),
    )
