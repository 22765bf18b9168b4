"""SearchTuner: TFX's Tuner with an executor that reports more."""

from __future__ import annotations

from tfx import types
from tfx.components.tuner.component import Tuner
from tfx.dsl.components.base import executor_spec
from tfx.proto import trainer_pb2

from components.tuner.executor import Executor
from trainer.config import to_json
from trainer.features import CORPUS_SPLIT, TRAIN_SPLIT
from trainer.tuning.config import TunerConfig


class SearchTuner(Tuner):
    """Searches for hyperparameters on the train split alone.

    Inputs and outputs are those of the stock Tuner; `components.tuner.executor` says
    what the outputs hold in addition.
    """

    EXECUTOR_SPEC = executor_spec.ExecutorClassSpec(Executor)

    def __init__(
        self,
        *,
        examples: types.BaseChannel,
        transform_graph: types.BaseChannel,
        schema: types.BaseChannel,
        config: TunerConfig,
    ) -> None:
        """Makes the node `Tuner`.

        Args:
          examples: Transformed examples.
          transform_graph: The graph that transformed them.
          schema: Schema of the raw examples.
          config: What `trainer.tuning.tuner.tuner_fn` reads.
        """
        splits = [TRAIN_SPLIT, CORPUS_SPLIT]
        super().__init__(
            tuner_fn="trainer.tuning.tuner.tuner_fn",
            examples=examples,
            transform_graph=transform_graph,
            schema=schema,
            train_args=trainer_pb2.TrainArgs(splits=splits),
            # Without splits, TFX would pass the eval split, which no search may read.
            eval_args=trainer_pb2.EvalArgs(splits=splits),
            custom_config=to_json(config),
        )
        self.with_id("Tuner")
