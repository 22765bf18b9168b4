"""What is kept after a retraining: bounded, however many there were."""

from __future__ import annotations

from pipeline.retraining.config import RetrainConfig
from pipeline.runs.cleaning import carry_out, plan
from pipeline.runs.metadata_store import NoRunError
from pipeline.runs.workspace import Workspace


def retain(workspace: Workspace, config: RetrainConfig) -> int:
    """Removes the artifacts, logs and versions of old runs, and what killed ones left.

    Kept are the live version, what the newest runs made or took from the cache, and the
    run that pushed each kept version, with the model that it was compared with.

    Args:
      workspace: The workspace; the caller holds its lock.
      config: How much is kept.

    Returns:
      Bytes that were freed.

    Raises:
      UserError: Something cannot be removed; all else is.
    """
    try:
        found = plan(
            workspace,
            keep=config.keep_runs,
            versions=config.keep_versions,
            others=config.keep_runs,
        )
    except NoRunError:
        return 0
    carry_out(workspace, found)
    return found.size
