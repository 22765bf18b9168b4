"""Reads runs, steps and artifacts from ML Metadata, without importing TFX.

Runs are what TFX recorded; nothing is recorded a second time. ML Metadata's filter
queries are not used: not every build supports them.
"""

from __future__ import annotations

import contextlib
import datetime
import functools
import re
import sqlite3
import urllib.parse
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Final

from components.pusher import PUSHED_VERSION
from pipeline.local.live_run import LiveRun
from pipeline.local.system_errors import full_disk, is_full
from pipeline.runs.run_record import Artifact, RunRecord, Step, read_record
from pipeline.runs.running import running_run
from pipeline.runs.workspace import Workspace
from trainer.errors import UsageError, UserError
from trainer.text import escaped

# ML Metadata's Execution.State -> state of a step.
_STATES: Final = {
    "RUNNING": "running",
    "COMPLETE": "done",
    "CACHED": "cached",
    "FAILED": "failed",
    "CANCELED": "failed",
}
# Of ML Metadata's Event.Type.
_OUTPUT: Final = ("OUTPUT", "DECLARED_OUTPUT")
_INPUT: Final = ("INPUT", "DECLARED_INPUT")
_VALUE_TYPES: Final = ("int_value", "double_value", "string_value")


class NoRunError(UserError):
    """No run was recorded in a workspace yet."""


def connect(workspace: Workspace, *, writable: bool = False) -> Any:
    """Opens the ML Metadata store of a workspace.

    Raises:
      NoRunError: No run was recorded yet.
      UserError: The file is locked or damaged.
    """
    path = workspace.metadata_db
    if not path.exists() or not check_file(path):
        raise NoRunError(
            f"No run was recorded in {workspace.root} yet",
            "Run `two-tower run` first.",
        )
    from ml_metadata.metadata_store import metadata_store
    from ml_metadata.proto import metadata_store_pb2

    connection = metadata_store_pb2.ConnectionConfig()
    sqlite = connection.sqlite
    sqlite.filename_uri = str(path)
    sqlite.connection_mode = sqlite.READWRITE if writable else sqlite.READONLY
    try:
        return _Store(metadata_store.MetadataStore(connection), path)
    except RuntimeError as error:
        raise _unreadable(path, error) from error


class _Store:
    """An ML Metadata store whose errors name the file and what to do."""

    def __init__(self, store: Any, path: Path) -> None:
        self._store = store
        self._path = path

    def __getattr__(self, name: str) -> Any:
        """Returns a method of the store that raises `UserError` where that fails."""
        from ml_metadata import errors

        method = getattr(self._store, name)

        @functools.wraps(method)
        def call(*args: Any, **kwargs: Any) -> Any:
            try:
                return method(*args, **kwargs)
            except (errors.StatusError, RuntimeError) as error:
                raise _unreadable(self._path, error) from error

        return call


def check_file(path: Path) -> bool:
    """Checks that a file is an SQLite database which can be read now.

    ML Metadata waits 46 seconds for a lock, and quotes an SQL statement where it fails.

    Returns:
      Whether ML Metadata has written to it.

    Raises:
      UserError: It is damaged, or locked for longer than 5 seconds.
    """
    try:
        try:
            return _has_tables(path, "ro")
        except sqlite3.OperationalError as error:
            if "readonly" not in str(error):
                raise
            # A process was killed in a transaction: whoever may write undoes it.
            return _has_tables(path, "rw")
    except sqlite3.Error as error:
        raise _unreadable(path, error) from error


def _has_tables(path: Path, mode: str) -> bool:
    address = f"file:{urllib.parse.quote(str(path))}?mode={mode}"
    with contextlib.closing(sqlite3.connect(address, uri=True)) as database:
        table = "SELECT 1 FROM sqlite_master WHERE name = 'Type'"
        return database.execute(table).fetchone() is not None


def _unreadable(path: Path, error: Exception) -> UserError:
    """Explains an error of SQLite or ML Metadata."""
    if re.search("locked|Concurrent writes", str(error)):
        return UserError(
            f"{path} is locked by another process",
            "Try again when that has finished writing.",
        )
    if is_full(path):
        return full_disk([path])
    cause = escaped(str(error)) if isinstance(error, sqlite3.Error) else ""
    return UserError(
        f"{path} cannot be read or is damaged{cause and f': {cause}'}",
        "Restore it from a backup, or move it away to begin a new record; models that "
        "were pushed stay.",
    )


class MetadataStoreReader:
    """Reads runs and steps from a store."""

    def __init__(
        self,
        store: Any,
        location: str = "ML Metadata",
        running: RunRecord | None = None,
        runs_dir: Path | None = None,
    ) -> None:
        """Reads from an open store.

        Args:
          store: An `ml_metadata` `MetadataStore`; None if nothing was recorded yet.
          location: Where it is, for error messages.
          running: The run that goes on.
          runs_dir: Folder with what is kept of runs whose artifacts were removed.
        """
        self._store = store
        self._runs_dir = runs_dir
        self._location = location
        self._running = running

    @classmethod
    def open(cls, root: Path) -> MetadataStoreReader:
        """Opens the store of a workspace for reading.

        Args:
          root: Folder of the workspace.

        Raises:
          UserError: It is not a workspace, or no run was recorded yet.
        """
        workspace = Workspace.open(root)
        files = running_run(workspace)
        running = LiveRun.of(files) if files else None
        try:
            store = connect(workspace)
        except NoRunError:
            if running is None:
                raise
            store = None  # it still imports TensorFlow and TFX
        return cls(store, str(workspace.root), running, workspace.runs_dir)

    def runs(self) -> list[RunRecord]:
        """Returns all runs, oldest first."""
        nodes = self._nodes()
        return [self._run(name, c, nodes) for name, c in self._run_contexts().items()]

    def run_ids(self) -> list[str]:
        """Returns the ids of all runs, oldest first."""
        return list(self._run_contexts())

    def run(self, name: str) -> RunRecord:
        """Returns one run.

        Args:
          name: Its id, the beginning of its id, or "latest".

        Raises:
          UsageError: No run, or more than one, has that name.
        """
        contexts = self._run_contexts()
        names = list(contexts)
        if name == "latest":
            found = names[-1:]
        else:
            found = [known for known in names if known.startswith(name)]
        if len(found) != 1:
            what = f"{len(found)} runs begin with" if found else "There is no run"
            known = ", ".join(names[-5:]) or "no runs"
            raise UsageError(
                f"{what} {name!r} in {self._location}",
                f"The newest are: {known}. See `two-tower runs` for all.",
            )
        return self._run(found[0], contexts[found[0]])

    def unfinished_executions(self) -> set[int]:
        """Returns the ids of the executions that ended without a result, or not yet."""
        executions = self._store.get_executions()
        return {e.id for e in executions if _state(e) not in ("done", "cached")}

    def step(self, execution_id: int) -> Step:
        """Returns the step of an execution."""
        [step] = self._steps(self._store.get_executions_by_id([execution_id]))
        return step

    def pushed_models(self) -> list[Artifact]:
        """Returns what Pusher recorded of the models that it pushed, oldest first."""
        if self._store is None:
            return []
        found = sorted(
            self._store.get_artifacts_by_type("PushedModel"), key=lambda a: a.id
        )
        artifacts = (_artifact(artifact) for artifact in found)
        return [a for a in artifacts if PUSHED_VERSION in a.properties]

    def upstream(self, version: str) -> list[Step]:
        """Returns the steps that a pushed version was made by, in their order.

        Raises:
          UsageError: No such version was pushed.
        """
        ids = {a.properties[PUSHED_VERSION]: a.id for a in self.pushed_models()}
        if version not in ids:
            known = ", ".join(sorted(ids)[-5:]) or "none"
            raise UsageError(
                f"No run of {self._location} pushed version {version!r}",
                f"Versions that were pushed: {known}.",
            )
        found: dict[Any, Step] = {}  # by execution id
        wanted: set[Any] = {ids[version]}
        while wanted:
            events = self._store.get_events_by_artifact_ids(sorted(wanted))
            makers = {e.execution_id for e in events if _is(e, _OUTPUT)} - set(found)
            executions = [
                execution
                for execution in self._store.get_executions_by_id(sorted(makers))
                if _state(execution) == "done"
            ]
            found |= {step.execution_id: step for step in self._steps(executions)}
            events = self._store.get_events_by_execution_ids([e.id for e in executions])
            wanted = {event.artifact_id for event in events if _is(event, _INPUT)}
        return [found[execution_id] for execution_id in sorted(found)]

    def runs_with(self, step: Step) -> list[str]:
        """Returns the ids of the runs that ran a step and did not take it cached."""
        return self._contexts(step.execution_id, "pipeline_run")

    @functools.cached_property
    def _context_types(self) -> dict[int, str]:
        return {t.id: t.name for t in self._store.get_context_types()}

    def _run_contexts(self) -> dict[str, Any]:
        """Id of each run -> its context, oldest first; None for one that goes on."""
        found = [] if self._store is None else self._get_contexts()
        contexts = {context.name: context for context in found}
        if self._running is not None:
            contexts[self._running.run_id] = None
        return contexts

    def _get_contexts(self) -> list[Any]:
        contexts = self._store.get_contexts_by_type("pipeline_run")
        # Ids rise with every run, whatever the clock said.
        return sorted(contexts, key=lambda context: context.id)

    def _nodes(self) -> dict[int, str]:
        """Id of each execution -> its node: ML Metadata has no index for that."""
        if self._store is None:
            return {}
        return {
            execution.id: context.name
            for context in self._store.get_contexts_by_type("node")
            for execution in self._store.get_executions_by_context(context.id)
        }

    def _run(
        self, name: str, context: Any, nodes: Mapping[int, str] | None = None
    ) -> RunRecord:
        if self._running is not None and name == self._running.run_id:
            return self._running
        executions = self._store.get_executions_by_context(context.id)
        steps = self._steps(executions, nodes)
        started = datetime.datetime.fromtimestamp(
            context.create_time_since_epoch / 1000, datetime.timezone.utc
        )
        return RunRecord(
            context.name,
            started,
            {step.id: step for step in steps},
            kept=read_record(self._runs_dir / context.name) if self._runs_dir else {},
        )

    def _steps(
        self, executions: Iterable[Any], nodes: Mapping[int, str] | None = None
    ) -> list[Step]:
        """Steps in the order in which they began."""
        executions = sorted(executions, key=lambda execution: execution.id)
        ids = [execution.id for execution in executions]
        events = self._store.get_events_by_execution_ids(ids)
        outputs = [event for event in events if _is(event, _OUTPUT)]
        artifacts = {
            artifact.id: _artifact(artifact)
            for artifact in self._store.get_artifacts_by_id(
                sorted({event.artifact_id for event in outputs})
            )
        }
        by_execution: dict[int, dict[str, Artifact]] = {id_: {} for id_ in ids}
        for event in outputs:
            key = event.path.steps[0].key
            by_execution[event.execution_id][key] = artifacts[event.artifact_id]
        if nodes is None:
            names = {id_: self._contexts(id_, "node") for id_ in ids}
            nodes = {id_: found[0] for id_, found in names.items() if found}
        return [
            self._step(e, nodes.get(e.id, "?"), by_execution[e.id]) for e in executions
        ]

    def _step(self, execution: Any, node: str, outputs: Mapping[str, Artifact]) -> Step:
        started = execution.create_time_since_epoch / 1000
        return Step(
            id=node.rpartition(".")[2],  # of `<pipeline>.<node>`
            state=_state(execution),
            started=started,
            seconds=execution.last_update_time_since_epoch / 1000 - started,
            outputs=outputs,
            parameters=_properties(execution),
            execution_id=execution.id,
        )

    def _contexts(self, execution_id: int | None, type_name: str) -> list[str]:
        """Names of the contexts of a type that an execution belongs to."""
        contexts = self._store.get_contexts_by_execution(execution_id)
        types = self._context_types
        return [c.name for c in contexts if types[c.type_id] == type_name]


def _state(execution: Any) -> str:
    from ml_metadata.proto import metadata_store_pb2

    state = metadata_store_pb2.Execution.State.Name(execution.last_known_state)
    return _STATES.get(state, "stopped")


def _is(event: Any, types: tuple[str, ...]) -> bool:
    from ml_metadata.proto import metadata_store_pb2

    return metadata_store_pb2.Event.Type.Name(event.type) in types


def _artifact(artifact: Any) -> Artifact:
    return Artifact(artifact.uri, _properties(artifact), artifact.id)


def _properties(node: Any) -> dict[str, Any]:
    values = [*node.properties.items(), *node.custom_properties.items()]
    return {
        name: getattr(value, value.WhichOneof("value"))
        for name, value in values
        if value.WhichOneof("value") in _VALUE_TYPES
    }
