"""What ML Metadata knows of the runs of a workspace, read without TFX.

Nothing is kept by hand: runs, steps and artifacts are what TFX recorded, and figures
are read from the artifacts that it names. No query language is used, since not every
build of ML Metadata has it.
"""

from __future__ import annotations

import datetime
from collections.abc import Iterable, Mapping
from typing import Any, Final

from pipeline.runs.headlines import Output
from pipeline.runs.run_record import Artifact, PastRun, Step
from pipeline.runs.workspace import Workspace
from trainer.errors import UsageError, UserError

LATEST: Final = "latest"
# Of ML Metadata's Execution.State.
_STATES: Final = {2: "running", 3: "done", 4: "failed", 5: "cached", 6: "failed"}
# Of ML Metadata's Event.Type: declared or actual.
_OUTPUT_EVENTS: Final = frozenset({1, 4})
_INPUT_EVENTS: Final = frozenset({2, 3})


def connect(workspace: Workspace, *, writes: bool = False) -> Any:
    """Returns the workspace's store of ML Metadata, for reading if not asked otherwise.

    Raises:
      UserError: No run has written any yet.
    """
    path = workspace.metadata_db
    if not path.is_file():
        raise UserError(
            f"No run was recorded in {workspace.root} yet",
            "Run `two-tower run` first.",
        )
    from ml_metadata.metadata_store import metadata_store
    from ml_metadata.proto import metadata_store_pb2

    connection = metadata_store_pb2.ConnectionConfig()
    connection.sqlite.filename_uri = str(path)
    mode = connection.sqlite
    mode.connection_mode = mode.READWRITE if writes else mode.READONLY
    return metadata_store.MetadataStore(connection)


class History:
    """The runs of a workspace, oldest first."""

    def __init__(self, workspace: Workspace) -> None:
        """Opens ML Metadata for reading.

        Raises:
          UserError: No run has written any yet.
        """
        self._workspace = workspace
        self._store = connect(workspace)
        self._types = {t.id: t.name for t in self._store.get_artifact_types()}

    def runs(self) -> list[PastRun]:
        """Returns all runs, oldest first."""
        contexts = self._store.get_contexts_by_type("pipeline_run")
        return [self._run(c) for c in sorted(contexts, key=lambda c: c.name)]

    def run(self, name: str) -> PastRun:
        """Returns the run of that id, or of an id that begins so; or the latest.

        Raises:
          UsageError: No run, or more than one, is meant.
        """
        contexts = self._store.get_contexts_by_type("pipeline_run")
        ids = sorted(context.name for context in contexts)
        found = [i for i in ids if i.startswith(name)] if name != LATEST else ids[-1:]
        if len(found) != 1:
            what = f"{len(found)} runs begin with" if found else "There is no run"
            known = ", ".join(ids[-5:]) or "none"
            raise UsageError(
                f"{what} {name!r} in {self._workspace.root}",
                f"Name one of the newest ({known}), or see `two-tower runs`.",
            )
        return self._run(next(c for c in contexts if c.name == found[0]))

    def upstream(self, version: str) -> list[Step]:
        """Returns the steps that a pushed version came from, in their order.

        Raises:
          UsageError: No such version was pushed.
        """
        pushed = {
            artifact.custom_properties["pushed_version"].string_value: artifact.id
            for artifact in self._store.get_artifacts_by_type("PushedModel")
            if "pushed_version" in artifact.custom_properties
        }
        if version not in pushed:
            known = ", ".join(sorted(pushed)[-5:]) or "none"
            raise UsageError(
                f"No run of {self._workspace.root} pushed version {version!r}",
                f"Versions that were pushed: {known}.",
            )
        return self._made([pushed[version]])

    def runs_with(self, step: Step) -> list[str]:
        """Returns the ids of the runs that ran a step, not from the cache."""
        contexts = self._store.get_contexts_by_execution(step.execution_id)
        names = self._context_types
        return [c.name for c in contexts if names[c.type_id] == "pipeline_run"]

    @property
    def _context_types(self) -> dict[int, str]:
        return {t.id: t.name for t in self._store.get_context_types()}

    def _run(self, context: Any) -> PastRun:
        executions = self._store.get_executions_by_context(context.id)
        return PastRun(
            run_id=context.name,
            started=datetime.datetime.fromtimestamp(
                context.create_time_since_epoch / 1000, datetime.timezone.utc
            ),
            steps=tuple(self._steps(executions)),
        )

    def _made(self, artifact_ids: Iterable[int]) -> list[Step]:
        """Follows artifacts up to the steps that made them, and those steps' inputs."""
        found: dict[int, Step] = {}
        wanted = set(artifact_ids)
        while wanted:
            events = self._store.get_events_by_artifact_ids(sorted(wanted))
            makers = {e.execution_id for e in events if e.type in _OUTPUT_EVENTS}
            executions = [
                execution
                for execution in self._store.get_executions_by_id(sorted(makers))
                if execution.id not in found
                and _STATES.get(execution.last_known_state) == "done"
            ]
            found |= {step.execution_id: step for step in self._steps(executions)}
            ids = [execution.id for execution in executions]
            wanted = {
                event.artifact_id
                for event in self._store.get_events_by_execution_ids(ids)
                if event.type in _INPUT_EVENTS
            }
        return [found[execution_id] for execution_id in sorted(found)]

    def _steps(self, executions: Iterable[Any]) -> list[Step]:
        executions = sorted(executions, key=lambda execution: execution.id)
        events = self._store.get_events_by_execution_ids([e.id for e in executions])
        keys = {
            (event.execution_id, event.artifact_id): event.path.steps[0].key
            for event in events
            if event.type in _OUTPUT_EVENTS
        }
        ids = sorted({artifact_id for _, artifact_id in keys})
        artifacts = {a.id: a for a in self._store.get_artifacts_by_id(ids)}
        return [self._step(execution, keys, artifacts) for execution in executions]

    def _step(
        self,
        execution: Any,
        keys: Mapping[tuple[int, int], str],
        artifacts: Mapping[int, Any],
    ) -> Step:
        outputs = {
            key: Artifact(
                artifact_id,
                self._types[artifacts[artifact_id].type_id],
                key,
                Output(artifacts[artifact_id].uri, _properties(artifacts[artifact_id])),
            )
            for (execution_id, artifact_id), key in keys.items()
            if execution_id == execution.id
        }
        milliseconds = (
            execution.last_update_time_since_epoch - execution.create_time_since_epoch
        )
        return Step(
            id=self._node(execution.id),
            execution_id=execution.id,
            state=_STATES.get(execution.last_known_state, "stopped"),
            seconds=milliseconds / 1000,
            parameters=_properties(execution),
            outputs=outputs,
        )

    def _node(self, execution_id: int) -> str:
        """Node id: its context is named `<pipeline>.<node>`."""
        names = self._context_types
        for context in self._store.get_contexts_by_execution(execution_id):
            if names[context.type_id] == "node":
                return str(context.name).rpartition(".")[2]
        return "?"


def _properties(node: Any) -> dict[str, Any]:
    values = [*node.properties.items(), *node.custom_properties.items()]
    return {
        name: getattr(value, value.WhichOneof("value"))
        for name, value in values
        if value.WhichOneof("value") in ("int_value", "double_value", "string_value")
    }
