"""SearchTuner: TFX's Tuner with an executor that tells more."""

from __future__ import annotations

from typing import Any

from tfx import types
from tfx.components.tuner.component import Tuner
from tfx.dsl.components.base import executor_spec
from tfx.proto import trainer_pb2

from components.tuner.executor import Executor
from trainer.features import CORPUS_SPLIT, TRAIN_SPLIT


class SearchTuner(Tuner):
    """Searches for hyperparameters on the train split alone.

    Inputs, outputs and parameters are those of the stock Tuner; see
    `components.tuner.executor` for what its outputs hold beside that.
    """

    EXECUTOR_SPEC = executor_spec.ExecutorClassSpec(Executor)

    def __init__(
        self,
        *,
        examples: types.BaseChannel,
        transform_graph: types.BaseChannel,
        schema: types.BaseChannel,
        custom_config: dict[str, Any],
    ) -> None:
        """Makes the node `Tuner`.

        Args:
          examples: Transformed examples.
          transform_graph: The graph that transformed them.
          schema: Schema of the raw examples.
          custom_config: See `trainer.tuning.tuner.tuner_fn`.
        """
        splits = [TRAIN_SPLIT, CORPUS_SPLIT]
        super().__init__(
            tuner_fn="trainer.tuning.tuner.tuner_fn",
            examples=examples,
            transform_graph=transform_graph,
            schema=schema,
            train_args=trainer_pb2.TrainArgs(splits=splits),
            # Empty would mean the eval split, which no search may look at.
            eval_args=trainer_pb2.EvalArgs(splits=splits),
            custom_config=custom_config,
        )
        self.with_id("Tuner")
