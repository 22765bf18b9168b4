"""Approves the model of a run: pushes it, and records that in ML Metadata."""

from __future__ import annotations

import os
from pathlib import Path

from components.pusher import AWAITING_APPROVAL, PUSHED, PUSHED_DESTINATION
from components.pusher import PUSHED_VERSION as VERSION
from components.pusher.approval import Approval, approve
from pipeline.runs.metadata_store import MetadataStoreReader, connect
from pipeline.runs.run_record import Artifact, RunRecord
from pipeline.runs.workspace import Workspace
from trainer.errors import UserError


def approve_run(
    workspace: Workspace, name: str, *, reason: str = "", force: bool = False
) -> tuple[RunRecord, Approval]:
    """Pushes what a run with manual approval evaluated.

    Args:
      workspace: The workspace; the caller holds its lock.
      name: The id of the run, the beginning of one, or "latest".
      reason: Why, for the audit.
      force: See `components.pusher.approval.approve`.

    Returns:
      The run and what was done.

    Raises:
      UsageError: There is no such run.
      UserError: Its model cannot be approved.
    """
    run = MetadataStoreReader.open(workspace.root).run(name)
    model = _model(run)
    serving_dir = str(workspace.serving_dir)
    done = approve(model.uri, serving_dir, reason=reason, force=force)
    store = connect(workspace, writable=True)
    [artifact] = store.get_artifacts_by_id([model.id])
    properties = artifact.custom_properties
    properties[AWAITING_APPROVAL].int_value = 0
    properties[PUSHED].int_value = 1
    properties[VERSION].string_value = done.version
    destination = os.path.join(serving_dir, done.version)
    properties[PUSHED_DESTINATION].string_value = destination
    store.put_artifacts([artifact])
    return run, done


def _model(run: RunRecord) -> Artifact:
    """Returns the model that waits, or that was approved before.

    Raises:
      UserError: There is none.
    """
    model = run.output("pushed_model")
    if model is not None and AWAITING_APPROVAL in model.properties:
        if Path(model.uri).is_dir():
            return model
        raise UserError(
            f"The model of the run {run.run_id} was removed by `two-tower clean`",
            "Run the pipeline again.",
        )
    raise UserError(
        f"The run {run.run_id} has no model that waits for approval: {_why(run)}",
        "`two-tower runs` lists the state of every run.",
    )


def _why(run: RunRecord) -> str:
    if run.is_running:
        return run.progress
    if run.evaluation and not run.evaluation.get("blessed"):
        reasons = run.evaluation.get("reasons") or ["it was not blessed"]
        return f"it was not blessed ({reasons[0]})"
    if run.serving_faults:
        return f"it is not servable ({run.serving_faults[0]})"
    if run.version:
        return f"it was pushed as version {run.version}"
    if run.output("pushed_model") is not None:
        return "it had been pushed before and taken away"
    return f"it did not come to the push ({run.state})"
