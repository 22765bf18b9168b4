"""`train_report.json`: how training went, for readers without TensorFlow."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

# In the Trainer's artifact `model_run`.
TRAIN_REPORT_FILE: Final = "train_report.json"


@dataclass(frozen=True, kw_only=True)
class FitReport:
    """How a fit went.

    Attributes:
      loss: Mean loss of each epoch, in nats.
      recall: Recall@10 of the validation slice after each epoch; empty without one.
      ndcg: The same of NDCG without a cut-off, by which epochs are compared.
      ndcg_error: Standard error of the kept epoch's NDCG.
      best_epoch: The epoch whose weights the model has, from 1.
      num_queries: Queries of the validation slice.
      num_targets: Events that an epoch predicts.
      train_seconds: Seconds of the fit, up to the last checkpoint and since then if it
        was resumed.
      targets_per_second: Events predicted in a second of these.
      epoch_seconds: Seconds of each epoch, with validation and checkpoint; the first
        also traces the training step. Of a resumed fit, the epochs since then.
    """

    loss: list[float]
    recall: list[float]
    best_epoch: int
    num_queries: int
    num_targets: int
    train_seconds: float
    targets_per_second: float
    epoch_seconds: list[float]
    ndcg: list[float] = field(default_factory=list)
    ndcg_error: float = 0.0


@dataclass(frozen=True, kw_only=True)
class TrainReport(FitReport):
    """The content of the file: `TrainReport(**json.loads(text))` reads it.

    Attributes:
      corpus_size: Movies of the corpus.
      workers: Processes that trained together.
      base_version: Version that training started from; None for a cold start.
      start: Why it was a warm or a cold start.
      carried: Vocabulary to how many of its tokens the base knew, and how many it has;
        empty for a cold start.
      tuned: Configuration key to value, for what the Tuner chose; empty without one.
    """

    corpus_size: int
    tuned: Mapping[str, Any]
    workers: int = 1
    base_version: str | None = None
    start: str = "cold"
    carried: Mapping[str, tuple[int, int]] = field(default_factory=dict)
