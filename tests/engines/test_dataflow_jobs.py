"""The jobs that Dataflow would be sent, as far as they are made on this machine.

Each step's executor builds its Beam pipeline from a real run's artifacts, and Beam
translates it. Nothing is staged or sent.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

import pytest

from tests.conftest import Chain
from tests.fixtures.dataflow_jobs import check_job, job_of

pytestmark = pytest.mark.engines

EXECUTORS: Final = {
    "MovieLensExampleGen": "components.movielens_example_gen.executor.Executor",
    "StatisticsGen": "components.statistics_gen.component.Executor",
    "Transform": "components.transform.component.Executor",
    "Evaluator": "components.evaluator.executor.Executor",
}


def execution(workspace: Path, step: str) -> tuple[Any, Any, dict[str, Any]]:
    """Inputs, outputs and properties of a step that has run, by ML Metadata."""
    from ml_metadata import MetadataStore
    from ml_metadata.proto import metadata_store_pb2 as pb
    from tfx.orchestration.metadata import sqlite_metadata_connection_config
    from tfx.types.artifact_utils import deserialize_artifact

    path = str(workspace / "metadata.sqlite")
    store = MetadataStore(sqlite_metadata_connection_config(path))
    types = {item.id: item for item in store.get_artifact_types()}
    (kind,) = (
        item.name for item in store.get_execution_types() if item.name.endswith(step)
    )
    ran = next(
        item
        for item in store.get_executions_by_type(kind)
        if item.last_known_state == pb.Execution.COMPLETE
    )
    inputs: dict[str, list[Any]] = {}
    outputs: dict[str, list[Any]] = {}
    for event in store.get_events_by_execution_ids([ran.id]):
        (artifact,) = store.get_artifacts_by_id([event.artifact_id])
        side = inputs if event.type == pb.Event.INPUT else outputs
        found = deserialize_artifact(types[artifact.type_id], artifact)
        side.setdefault(event.path.steps[0].key, []).append(found)
    properties = {**ran.properties, **ran.custom_properties}
    values = {
        key: getattr(value, value.WhichOneof("value"))
        for key, value in properties.items()
    }
    return inputs, outputs, values


@pytest.mark.parametrize("step", EXECUTORS)
def test_the_step_becomes_a_job(step: str, chain: Chain, tmp_path: Path) -> None:
    from tfx.dsl.components.base.base_beam_executor import BaseBeamExecutor
    from tfx.utils import import_utils

    inputs, outputs, properties = execution(chain.workspace, step)
    for key, artifacts in outputs.items():
        artifacts[0].uri = str(tmp_path / key)

    def run(arguments: list[str]) -> None:
        context = BaseBeamExecutor.Context(
            beam_pipeline_args=arguments, tmp_dir=str(tmp_path / "tmp"), unique_id="1"
        )
        executor = import_utils.import_class_by_path(EXECUTORS[step])(context)
        executor.Do(inputs, outputs, properties)

    check_job(*job_of(run))
