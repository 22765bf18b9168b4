"""DataGate: nothing is trained on data that is not fit for it."""

from __future__ import annotations

from tfx import types
from tfx.dsl.components.base import base_component, executor_spec
from tfx.types import component_spec, standard_artifacts

from components.data_gate.executor import Executor


class DataReport(types.Artifact):
    """What DataGate found: the file `data_report.json`."""

    # Kubeflow's runner finds the class again by this name: see `components`.
    TYPE_NAME = "components.DataReport"


class DataGateSpec(types.ComponentSpec):
    """Parameters, inputs and output of DataGate."""

    PARAMETERS = {
        "min_rows": component_spec.ExecutionParameter(type=str),
        "max_drift": component_spec.ExecutionParameter(type=str),
        "max_skew": component_spec.ExecutionParameter(type=str),
        "serving_dir": component_spec.ExecutionParameter(type=str),
        "code_hash": component_spec.ExecutionParameter(type=str),
    }
    INPUTS = {
        "examples": component_spec.ChannelParameter(type=standard_artifacts.Examples),
        "statistics": component_spec.ChannelParameter(
            type=standard_artifacts.ExampleStatistics
        ),
        "anomalies": component_spec.ChannelParameter(
            type=standard_artifacts.ExampleAnomalies
        ),
        "schema": component_spec.ChannelParameter(type=standard_artifacts.Schema),
    }
    OUTPUTS = {"report": component_spec.ChannelParameter(type=DataReport)}


class DataGate(base_component.BaseComponent):
    """Fails the run when the data is not fit for training.

    It fails when the validator found anomalies, a split is empty or too small, ids
    are blank, doubled, outside the corpus or leaked, or values are distributed unlike
    those that the live model was trained on. ExampleValidator itself only
    reports, and calls an empty split valid. What is to wait for the gate names it as an
    upstream node.
    """

    SPEC_CLASS = DataGateSpec
    EXECUTOR_SPEC = executor_spec.ExecutorClassSpec(Executor)

    def __init__(
        self,
        *,
        examples: types.BaseChannel,
        statistics: types.BaseChannel,
        anomalies: types.BaseChannel,
        schema: types.BaseChannel,
        min_rows: str,
        max_drift: str,
        max_skew: str,
        serving_dir: str,
        code_hash: str,
    ) -> None:
        """Makes the node.

        Args:
          examples: `Examples` with the splits train, eval and corpus.
          statistics: `ExampleStatistics` of the examples.
          anomalies: `ExampleAnomalies` of the statistics.
          schema: The `Schema` that they were validated against.
          min_rows: JSON object, split -> rows that it must have.
          max_drift: JSON object, feature -> divergence of the train split from that of
            the live version.
          max_skew: JSON object, feature -> divergence of the eval from the train split.
          serving_dir: Where Pusher puts the versions.
          code_hash: Fingerprint of this component's source, for the cache.
        """
        super().__init__(
            spec=DataGateSpec(
                examples=examples,
                statistics=statistics,
                anomalies=anomalies,
                schema=schema,
                min_rows=min_rows,
                max_drift=max_drift,
                max_skew=max_skew,
                serving_dir=serving_dir,
                code_hash=code_hash,
                report=types.Channel(type=DataReport),
            )
        )
