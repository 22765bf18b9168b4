"""`two-tower runs`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from pipeline.cli.data_cell import data_cell
from pipeline.cli.options import json_option, workspace_option
from pipeline.cli.tables import echo, number, print_json, print_table
from pipeline.runs.metadata_store import MetadataStoreReader
from pipeline.runs.run_record import RunRecord
from pipeline.runs.served_models import ServedModels
from pipeline.runs.workspace import Workspace

_COLUMNS = (
    *("run", "state", "data", "hit_rate@10>", "ndcg@10>"),
    *("lift>", "blessed", "version", "steps>", "seconds>"),
)


@click.command()
@json_option
@workspace_option
def runs(as_json: bool, workspace: Path) -> None:
    """List the runs of a workspace, as ML Metadata recorded them, oldest first.

    A version that is not served any more is marked as withdrawn, by `two-tower
    rollback`, or as removed. Metrics stay when `two-tower clean` has removed the
    artifacts.

    \b
    Examples:
      two-tower runs
      two-tower runs --json | jq '.runs[] | select(.blessed) | .run'
    """
    served = ServedModels(str(Workspace.open(workspace).serving_dir))
    found = [_row(run, served) for run in MetadataStoreReader.open(workspace).runs()]
    if as_json:
        print_json(
            {"runs": found, "live": served.live, "incomplete": served.incomplete}
        )
    else:
        print_table(_COLUMNS, [_cells(row) for row in found])
        live = f"version {served.live}" if served.live else "nothing"
        echo(f"\nLive: {live}")
        for version, file in served.incomplete.items():
            echo(
                f"Version {version} is being copied, or damaged: no complete {file}. "
                f"`two-tower rollback --to VERSION` withdraws what is newer."
            )


def _row(run: RunRecord, served: ServedModels) -> dict[str, Any]:
    outcome = served.outcome(run)
    evaluation = run.evaluation
    metrics = evaluation.get("candidate", {})
    return {
        "run": run.run_id,
        "started": run.started.isoformat(timespec="seconds"),
        "state": run.state,
        "step": run.running.id if run.running else None,
        "data": run.data.get("format"),
        "spans": run.data.get("spans", []),
        "hit_rate@10": metrics.get("hit_rate@10"),
        "ndcg@10": metrics.get("ndcg@10"),
        "lift": (evaluation.get("popularity_lift") or {}).get("ndcg@10"),
        "blessed": evaluation.get("blessed"),
        "version": outcome.version,
        "removed_version": None if outcome.version else outcome.pushed,
        "awaits_approval": outcome.awaits_approval,
        "withdrawn": outcome.is_withdrawn,
        "steps_run": sum(step.state == "done" for step in run.steps.values()),
        "steps_cached": sum(step.state == "cached" for step in run.steps.values()),
        "seconds": round(sum(step.seconds for step in run.steps.values()), 1),
    }


def _cells(row: dict[str, Any]) -> list[str]:
    blessed = {True: "yes", False: "no"}.get(row["blessed"], "-")
    return [
        row["run"],
        f"{row['state']}: {row['step']}" if row["step"] else row["state"],
        data_cell(row["data"], row["spans"]),
        number(row["hit_rate@10"]),
        number(row["ndcg@10"]),
        number(row["lift"], 2),
        blessed,
        _version(row),
        f"{row['steps_run']} + {row['steps_cached']} cached",
        number(row["seconds"], 1),
    ]


def _version(row: dict[str, Any]) -> str:
    """The version that is served, or what became of it."""
    if removed := row["removed_version"]:
        return f"{removed} {'withdrawn' if row['withdrawn'] else 'removed'}"
    waits = "awaiting approval" if row["awaits_approval"] else "-"
    return row["version"] or waits
