"""`two-tower report`."""

from __future__ import annotations

import webbrowser
from pathlib import Path
from typing import Final

import click

from pipeline.cli.options import json_option, workspace_option
from pipeline.cli.tables import make_console, print_facts, print_json
from pipeline.runs.metadata_store import MetadataStoreReader
from pipeline.runs.run_record import RunRecord
from pipeline.runs.served_models import ServedModels
from pipeline.runs.workspace import Workspace
from trainer.errors import UserError
from trainer.tuning.hyperparameters import format_values

_WHY_NO_PAGE: Final = {
    "failed": "it failed",
    "stopped": "it was stopped",
    "cleaned": "it was removed by `two-tower clean`",
}


@click.command()
@click.argument("run", default="latest")
@click.option("--open", "opens", is_flag=True, help="Open the page in a web browser.")
@json_option
@workspace_option
def report(run: str, opens: bool, as_json: bool, workspace: Path) -> None:
    """Show why a run's model was or was not blessed, and the path of its report.

    RUN is the id of a run or the beginning of one; the default is the latest run.

    \b
    Examples:
      two-tower report --open
      two-tower report 20260301
    """
    record = MetadataStoreReader.open(workspace).run(run)
    page = record.report_page
    if page is None:
        reason, remedy = _why_no_page(record)
        raise UserError(f"The run {record.run_id} has no report: {reason}", remedy)
    outcome = ServedModels(str(Workspace.open(workspace).serving_dir)).outcome(record)
    blessed = record.evaluation.get("blessed")
    reasons = record.evaluation.get("reasons") or []
    if as_json:
        print_json(
            {
                "run": record.run_id,
                "report": str(page),
                "blessed": blessed,
                "version": record.version,
                "awaits_approval": outcome.awaits_approval,
                "reasons": reasons,
            }
        )
    else:
        facts = [
            ("Run", record.run_id),
            ("Blessed", "yes" if blessed else "no"),
            *(("", reason) for reason in reasons),
            ("Pushed", record.version or outcome.text),
            ("Report", str(page)),
        ]
        print_facts(make_console(), facts)
    if opens:
        webbrowser.open(page.as_uri())


def _why_no_page(run: RunRecord) -> tuple[str, str]:
    """Why a run has no page, and what to do."""
    if run.state == "running":
        return run.progress, "Ask again when it has ended."
    if run.state == "tuned":
        best = run.tuning.get("best") or {}
        chosen = format_values(best) if best else "nothing"
        return (
            f"it was a search, which ends before the report. It chose {chosen}",
            "Train with these values: see `two-tower tune --help`.",
        )
    reason = _WHY_NO_PAGE.get(run.state, "its page was deleted")
    return reason, "`two-tower runs` lists the state of every run."
