"""RetrievalExampleValidator: TFX's ExampleValidator with one environment per split."""

from __future__ import annotations

from tfx import types
from tfx.dsl.components.base import base_component, executor_spec
from tfx.types import component_spec, standard_artifacts

from components.example_validator.executor import Executor


class RetrievalExampleValidatorSpec(types.ComponentSpec):
    """Inputs and output of the stock ExampleValidator, and the code's fingerprint."""

    PARAMETERS = {"code_hash": component_spec.ExecutionParameter(type=str)}
    INPUTS = {
        "statistics": component_spec.ChannelParameter(
            type=standard_artifacts.ExampleStatistics
        ),
        "schema": component_spec.ChannelParameter(type=standard_artifacts.Schema),
    }
    OUTPUTS = {
        "anomalies": component_spec.ChannelParameter(
            type=standard_artifacts.ExampleAnomalies
        )
    }


class RetrievalExampleValidator(base_component.BaseComponent):
    """Validates the statistics of each split in the environment of its name.

    The output has the stock layout, `Split-<name>/SchemaDiff.pb`, so that whatever
    reads TFX's anomalies reads these. Anomalies are no failure here: DataGate decides.
    """

    SPEC_CLASS = RetrievalExampleValidatorSpec
    EXECUTOR_SPEC = executor_spec.ExecutorClassSpec(Executor)

    def __init__(
        self,
        *,
        statistics: types.BaseChannel,
        schema: types.BaseChannel,
        code_hash: str,
    ) -> None:
        """Makes the node `ExampleValidator`.

        Args:
          statistics: `ExampleStatistics` of all splits.
          schema: `Schema` whose environments are the splits' names.
          code_hash: Fingerprint of this component's source, for the cache.
        """
        super().__init__(
            spec=RetrievalExampleValidatorSpec(
                statistics=statistics,
                schema=schema,
                code_hash=code_hash,
                anomalies=types.Channel(type=standard_artifacts.ExampleAnomalies),
            )
        )
        self.with_id("ExampleValidator")
