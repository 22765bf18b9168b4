"""`LocalDagRunner` that tells, step by step, what happens. Importing it imports TFX."""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Mapping
from typing import Any

from ml_metadata.proto import metadata_store_pb2
from tfx.dsl.compiler import constants
from tfx.orchestration import metadata
from tfx.orchestration.local import local_dag_runner, runner_utils
from tfx.orchestration.portable import (
    launcher,
    partial_run_utils,
    runtime_parameter_utils,
)
from tfx.proto.orchestration import pipeline_pb2
from tfx.types import standard_artifacts

from components.report_gen.step_times import step_properties
from pipeline.local.failures import explain
from pipeline.runs import headlines as figures
from trainer import progress

_Execution = metadata_store_pb2.Execution
_PUSHED_MODEL = standard_artifacts.PushedModel.TYPE_NAME
_STATES = {_Execution.COMPLETE: "done", _Execution.CACHED: "cached"}


class StepError(Exception):
    """A step failed without raising: TFX had only logged why."""


class ProgressDagRunner(local_dag_runner.LocalDagRunner):
    """Runs the nodes of a pipeline one after another and emits `step` events.

    Unlike the stock runner it fails where TFX only logs an error (inputs that cannot
    be resolved, a node that is skipped), and it uses the run id of the command line.
    """

    def __init__(self, run_id: str, until: str | None = None) -> None:
        """Makes a runner for one run.

        Args:
          run_id: Recorded in ML Metadata as the pipeline run.
          until: Node after which the run ends, with all that it waits for and nothing
            else; None for the whole pipeline.
        """
        super().__init__()
        self._run_id = run_id
        self._until = until

    def run_with_ir(
        self,
        pipeline: pipeline_pb2.Pipeline,
        run_options: pipeline_pb2.RunOptions | None = None,
        **kwargs: Any,
    ) -> None:
        """Runs the nodes in order.

        Args:
          pipeline: Compiled pipeline.
          run_options: Must be None: see `until` for what is offered in their place.
          **kwargs: Must be empty.

        Raises:
          Exception: Whatever a step raised, after its `step` and `error` events.
        """
        if run_options is not None or kwargs:
            raise ValueError("ProgressDagRunner takes no options; see its `until`")
        runtime_parameter_utils.substitute_runtime_parameter(
            pipeline, {constants.PIPELINE_RUN_ID_PARAMETER_NAME: self._run_id}
        )
        if self._until:
            partial_run_utils.mark_pipeline(pipeline, to_nodes=[self._until])
        nodes = [
            node.pipeline_node
            for node in pipeline.nodes
            if not node.pipeline_node.execution_options.HasField("skip")
        ]
        progress.emit("pipeline", nodes=[node.node_info.id for node in nodes])
        for node in nodes:
            self._run_step(pipeline, node)

    def _run_step(
        self, pipeline: pipeline_pb2.Pipeline, node: pipeline_pb2.PipelineNode
    ) -> None:
        step = node.node_info.id
        progress.emit("step", id=step, state="running")
        start = time.monotonic()
        try:
            fields = self._launch(pipeline, node)
        except Exception as error:
            seconds = time.monotonic() - start
            progress.emit("step", id=step, state="failed", seconds=seconds)
            failure = explain(error)
            progress.emit(
                "error", step=step, cause=failure.cause, remedy=failure.remedy
            )
            raise
        progress.emit("step", id=step, seconds=time.monotonic() - start, **fields)

    def _launch(
        self, pipeline: pipeline_pb2.Pipeline, node: pipeline_pb2.PipelineNode
    ) -> dict[str, Any]:
        """Runs one node and returns the fields of its last `step` event."""
        deployment = runner_utils.extract_local_deployment_config(pipeline)
        connection = getattr(
            deployment.metadata_connection_config,
            deployment.metadata_connection_config.WhichOneof("connection_config"),
        )
        step = node.node_info.id
        if _pushes(node):
            with metadata.Metadata(connection) as handle:
                if _newest_push_is_gone(handle.store):
                    node.execution_options.caching_options.enable_cache = False
        start = time.monotonic()
        execution = launcher.Launcher(
            pipeline_node=node,
            mlmd_connection=metadata.Metadata(connection),
            pipeline_info=pipeline.pipeline_info,
            pipeline_runtime_spec=pipeline.runtime_spec,
            executor_spec=runner_utils.extract_executor_spec(deployment, step),
            custom_driver_spec=runner_utils.extract_custom_driver_spec(
                deployment, step
            ),
        ).launch()
        if execution is None or execution.execution_id is None:
            raise StepError("TFX skipped the step: its inputs were not there")
        seconds = time.monotonic() - start
        with metadata.Metadata(connection) as handle:
            state = _state(handle.store, execution.execution_id)
            if state == "done":
                properties = step_properties(step, seconds, self._run_id)
                _set_properties(handle.store, execution.execution_id, properties)
            outputs = _outputs(handle.store, execution.execution_id)
        return {
            "state": state,
            "figure": _figure(step, outputs),
            "outputs": {key: vars(output) for key, output in outputs.items()},
        }


def _pushes(node: pipeline_pb2.PipelineNode) -> bool:
    specs = node.outputs.outputs.values()
    return any(spec.artifact_spec.type.name == _PUSHED_MODEL for spec in specs)


def _newest_push_is_gone(store: Any) -> bool:
    """Whether somebody took away the model that was pushed last.

    TFX looks whether a cached artifact is still there, and not whether what was pushed
    with it is: the step would stay cached, and nothing would be served.
    """
    destinations = {
        artifact.id: artifact.custom_properties["pushed_destination"].string_value
        for artifact in store.get_artifacts_by_type(_PUSHED_MODEL)
        if "pushed_destination" in artifact.custom_properties
    }
    return bool(destinations) and not os.path.exists(destinations[max(destinations)])


def _state(store: Any, execution_id: int) -> str:
    """State of an execution as ML Metadata has it: done or cached.

    The launcher's own answer cannot tell a cached step, whose outputs it names wrongly,
    from one that ran or one whose inputs could not be resolved.
    """
    [execution] = store.get_executions_by_id([execution_id])
    if execution.last_known_state not in _STATES:
        raise StepError("TFX could not resolve the inputs of the step")
    return _STATES[execution.last_known_state]


def _output_artifacts(
    store: Any, execution_id: int
) -> dict[str, metadata_store_pb2.Artifact]:
    """Output key -> artifact of an execution."""
    keys = {
        event.artifact_id: event.path.steps[0].key
        for event in store.get_events_by_execution_ids([execution_id])
        if event.type == metadata_store_pb2.Event.OUTPUT
    }
    artifacts = store.get_artifacts_by_id(sorted(keys))
    return {keys[artifact.id]: artifact for artifact in artifacts}


def _set_properties(
    store: Any, execution_id: int, properties: Mapping[str, str | float]
) -> None:
    """Sets custom properties of all output artifacts of an execution."""
    artifacts = list(_output_artifacts(store, execution_id).values())
    for artifact in artifacts:
        for name, value in properties.items():
            kind = "string_value" if isinstance(value, str) else "double_value"
            setattr(artifact.custom_properties[name], kind, value)
    store.put_artifacts(artifacts)


def _outputs(store: Any, execution_id: int) -> dict[str, figures.Output]:
    return {
        key: figures.Output(artifact.uri, _properties(artifact))
        for key, artifact in _output_artifacts(store, execution_id).items()
    }


def _figure(step: str, outputs: figures.Outputs) -> str:
    """The step's figure; a step that went well must not fail for want of one."""
    try:
        return figures.figure(outputs)
    except Exception:
        logging.exception("No figure for %s", step)
        return ""


def _properties(artifact: metadata_store_pb2.Artifact) -> dict[str, Any]:
    values = [*artifact.properties.items(), *artifact.custom_properties.items()]
    return {
        name: getattr(value, value.WhichOneof("value"))
        for name, value in values
        if value.WhichOneof("value") in ("int_value", "double_value", "string_value")
    }
