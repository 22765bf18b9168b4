"""`two-tower report`."""

from __future__ import annotations

import json
import webbrowser
from pathlib import Path
from typing import Final

import click

from pipeline.cli.options import json_option, workspace_option
from trainer.errors import UserError

_WHY: Final = {
    "failed": "failed",
    "stopped": "was stopped",
    "cleaned": "was removed by `two-tower clean`",
}


@click.command()
@click.argument("run", default="latest")
@click.option("--open", "opens", is_flag=True, help="Show it in the web browser.")
@json_option
@workspace_option
def report(run: str, opens: bool, as_json: bool, workspace: Path) -> None:
    """Tell why a run's model was or was not blessed, and where its page is.

    RUN is a run's id or how it begins; without it the latest is meant.

    \b
    Examples:
      two-tower report --open
      two-tower report 20260301
    """
    from pipeline.runs.metadata_store import History
    from pipeline.runs.workspace import Workspace

    past = History(Workspace.open(workspace)).run(run)
    output = past.output("run_report")
    page = Path(output.uri) / "report.html" if output else None
    if page is None or not page.is_file():
        raise UserError(
            f"The run {past.run_id} has no report: it {_WHY.get(past.state)}",
            "Only a run that comes to its end has one; `two-tower runs` lists them.",
        )
    blessed, reasons = past.evaluation.get("blessed"), past.evaluation.get("reasons")
    if as_json:
        content = {
            "run": past.run_id,
            "report": str(page),
            "blessed": blessed,
            "version": past.version,
            "reasons": reasons or [],
        }
        click.echo(json.dumps(content, indent=2))
    else:
        click.echo(f"Run      {past.run_id}")
        click.echo(f"Blessed  {'yes' if blessed else 'no'}")
        for reason in reasons or []:
            click.echo(f"         {reason}")
        click.echo(f"Pushed   {past.version or 'nothing'}")
        click.echo(f"Report   {page}")
    if opens:
        webbrowser.open(page.as_uri())
