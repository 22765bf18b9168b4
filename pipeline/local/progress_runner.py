"""`LocalDagRunner` that emits progress events. Importing it imports TFX."""

from __future__ import annotations

import logging
import tempfile
import threading
import time
from collections.abc import Collection, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

from tfx.dsl.compiler import constants
from tfx.orchestration import metadata
from tfx.orchestration.local import local_dag_runner, runner_utils
from tfx.orchestration.portable import (
    launcher,
    partial_run_utils,
    runtime_parameter_utils,
)
from tfx.proto.orchestration import pipeline_pb2

from components.report_gen.step_times import step_properties
from pipeline.engines.config import EngineConfig
from pipeline.engines.operator import operators
from pipeline.local.failures import explain
from pipeline.runs.headlines import headline
from pipeline.runs.metadata_store import MetadataStoreReader
from pipeline.runs.run_record import Step
from trainer import progress


class StepError(Exception):
    """A step failed without an exception: TFX only logged why."""


class _SharedConnection(metadata.Metadata):
    """ML Metadata for the steps that run side by side: one at a time reads or writes.

    TFX opens the database anew for each of its accesses; this keeps it open.
    """

    def __init__(self, connection: Any) -> None:
        super().__init__(connection)
        self._lock = threading.RLock()

    def __enter__(self) -> _SharedConnection:
        self._lock.acquire()
        if self._store is None:
            super().__enter__()
        return self

    def __exit__(self, *error: object) -> None:
        self._lock.release()


class ProgressDagRunner(local_dag_runner.LocalDagRunner):
    """Runs the nodes of a pipeline and emits `step` events.

    One node runs after another, but for those in the background, which only the nodes
    that read their outputs wait for.

    Unlike its base class it fails where TFX only logs an error (inputs that cannot be
    resolved, a node that is skipped), and it uses the run id of the command line.
    """

    def __init__(
        self,
        run_id: str,
        until: str | None = None,
        engine: EngineConfig | None = None,
        beam_args: Sequence[str] = (),
        background: Collection[str] = (),
    ) -> None:
        """Makes a runner for one run.

        Args:
          run_id: Recorded in ML Metadata as the pipeline run.
          until: Node after which the run ends; only the nodes that it depends on run
            before it. None for the whole pipeline.
          engine: Where Beam runs, whatever Beam arguments the pipeline has; no part of
            the cache key.
          beam_args: More arguments of Beam, no part of the cache key either.
          background: Nodes that mostly wait for a process of their own.
        """
        super().__init__()
        self._run_id = run_id
        self._until = until
        self._engine = engine or EngineConfig()
        self._beam_args = beam_args
        self._background = background
        self._operators: dict[Any, Any] = {}
        self._connection: Any = None

    def run_with_ir(
        self,
        pipeline: pipeline_pb2.Pipeline,
        run_options: pipeline_pb2.RunOptions | None = None,
        **kwargs: Any,
    ) -> None:
        """Runs the nodes in order.

        Args:
          pipeline: Compiled pipeline.
          run_options: Must be None; see `until` instead.
          **kwargs: Must be empty.

        Raises:
          Exception: Whatever a step raised, after its `step` and `error` events.
        """
        if run_options is not None or kwargs:
            raise ValueError(
                "ProgressDagRunner takes no run options; see its argument `until`"
            )
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
        root = pipeline.runtime_spec.pipeline_root.field_value.string_value
        self._operators = operators(self._engine, root, self._beam_args)
        deployment = runner_utils.extract_local_deployment_config(pipeline)
        connection = deployment.metadata_connection_config
        self._connection = _SharedConnection(
            getattr(connection, connection.WhichOneof("connection_config"))
        )
        progress.emit("pipeline", nodes=[node.node_info.id for node in nodes])
        self._run_steps(pipeline, nodes)

    def _run_steps(
        self, pipeline: pipeline_pb2.Pipeline, nodes: list[pipeline_pb2.PipelineNode]
    ) -> None:
        """Runs nodes in order; what runs in the background ends also if another fails.

        Raises:
          Exception: See `run_with_ir`; the first failure in the order of the nodes.
        """
        background: dict[str, Future[None]] = {}
        with ThreadPoolExecutor(max_workers=1) as pool:
            for node in nodes:
                for id_ in background.keys() & set(node.upstream_nodes):
                    background.pop(id_).result()
                id_ = node.node_info.id
                progress.emit("step", id=id_, state="running")
                if id_ in self._background:
                    background[id_] = pool.submit(self._run_step, pipeline, node)
                else:
                    self._run_step(pipeline, node)
            for ended in background.values():
                ended.result()

    def _run_step(
        self, pipeline: pipeline_pb2.Pipeline, node: pipeline_pb2.PipelineNode
    ) -> None:
        """Runs one node and emits the events of its end."""
        id_ = node.node_info.id
        start = time.monotonic()
        try:
            step = self._launch(pipeline, node)
        except Exception as error:
            seconds = time.monotonic() - start
            progress.emit("step", id=id_, state="failed", seconds=seconds)
            root = pipeline.runtime_spec.pipeline_root.field_value.string_value
            folders = [Path(root), Path(tempfile.gettempdir())]
            failure = explain(error, folders)
            progress.emit(
                "error", step=id_, cause=failure.message, remedy=failure.remedy
            )
            raise
        progress.emit(
            "step",
            id=id_,
            state=step.state,
            seconds=time.monotonic() - start,
            figure=_headline(step),
            outputs={
                key: {"uri": artifact.uri, "properties": artifact.properties}
                for key, artifact in step.outputs.items()
            },
        )

    def _launch(
        self, pipeline: pipeline_pb2.Pipeline, node: pipeline_pb2.PipelineNode
    ) -> Step:
        """Runs a node with TFX's launcher; returns what ML Metadata has of it."""
        deployment = runner_utils.extract_local_deployment_config(pipeline)
        id_ = node.node_info.id
        start = time.monotonic()
        execution = launcher.Launcher(
            pipeline_node=node,
            mlmd_connection=self._connection,
            pipeline_info=pipeline.pipeline_info,
            pipeline_runtime_spec=pipeline.runtime_spec,
            executor_spec=runner_utils.extract_executor_spec(deployment, id_),
            custom_driver_spec=runner_utils.extract_custom_driver_spec(deployment, id_),
            custom_executor_operators=self._operators,
        ).launch()
        if execution is None or execution.execution_id is None:
            raise StepError("TFX skipped the step: an input does not exist")
        properties = step_properties(id_, time.monotonic() - start, self._run_id)
        with self._connection as handle:
            return _ended_step(handle.store, execution.execution_id, properties)


def _ended_step(
    store: Any, execution_id: int, properties: Mapping[str, str | float]
) -> Step:
    """Reads a step from ML Metadata.

    The launcher's own result does not distinguish a cached step, whose outputs it names
    wrongly, from one that ran or one whose inputs could not be resolved.

    Args:
      store: ML Metadata.
      execution_id: The step's execution.
      properties: Custom properties to set on the outputs of a step that ran.

    Raises:
      StepError: Its inputs could not be resolved.
    """
    reader = MetadataStoreReader(store)
    step = reader.step(execution_id)
    if step.state not in ("done", "cached"):
        raise StepError("TFX could not resolve the inputs of the step")
    if step.state == "done":
        ids = [artifact.id for artifact in step.outputs.values()]
        artifacts = store.get_artifacts_by_id(ids)
        for artifact in artifacts:
            for name, value in properties.items():
                kind = "string_value" if isinstance(value, str) else "double_value"
                setattr(artifact.custom_properties[name], kind, value)
        store.put_artifacts(artifacts)
        step = reader.step(execution_id)
    return step


def _headline(step: Step) -> str:
    """The step's headline; a step must not fail because there is none."""
    try:
        return headline(step.outputs)
    except Exception:
        logging.exception("No headline for %s", step.id)
        return ""
