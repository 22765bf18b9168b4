"""`two-tower notify`."""

from __future__ import annotations

import datetime
from pathlib import Path

import click

from pipeline.cli.options import (
    ConfigOptions,
    config_options,
    json_option,
    workspace_option,
)
from pipeline.cli.tables import print_json, print_table
from pipeline.retraining.outcome import Outcome, Status
from trainer.errors import UserError


@click.command()
@config_options
@workspace_option
@click.option(
    "--status",
    type=click.Choice([status.value for status in Status]),
    default=Status.PUSHED.value,
    show_default=True,
    help="Outcome in the message.",
)
@json_option
@click.pass_context
def notify(
    ctx: click.Context,
    *,
    options: ConfigOptions,
    workspace: Path,
    status: str,
    as_json: bool,
) -> None:
    """Send a test message through every channel of `notify`, and show the answers.

    The exit code is 1 if a channel did not deliver it. Nothing is trained or recorded.

    \b
    Examples:
      two-tower notify -c mine.yaml
      two-tower notify -c mine.yaml --status failed
    """
    from pipeline.notifications.message import compose, marked
    from pipeline.notifications.sender import answers_of

    config = options.load()
    if not any(config.notify.channels()):
        raise UserError(
            "The configuration has no channel for notifications",
            "Add one to notify.webhooks, notify.emails or notify.commands: see "
            "docs/retraining.md.",
        )
    outcome = _sample(Status(status), config.name, workspace)
    message = marked(compose(outcome), "TEST")
    answers = answers_of(outcome, message, config.notify, all_of=True)
    if as_json:
        print_json({"answers": [vars(answer) for answer in answers]})
    else:
        rows = [
            (
                "delivered" if answer.delivered else "FAILED",
                f"notify.{answer.name}",
                answer.text,
                f"{answer.seconds:.1f} s",
            )
            for answer in answers
        ]
        print_table(("state", "channel", "answer", "took>"), rows)
    ctx.exit(int(not all(answer.delivered for answer in answers)))


def _sample(status: Status, pipeline: str, workspace: Path) -> Outcome:
    """An outcome that nothing had."""
    now = datetime.datetime.now(datetime.timezone.utc)
    return Outcome(
        status=status,
        pipeline=pipeline,
        workspace=str(workspace.absolute()),
        started=now.isoformat(timespec="seconds"),
        seconds=31.0,
        span="2026-03-01",
        trigger="two-tower notify",
        reasons=("this is a test: nothing was trained",),
        failed_step="Trainer" if status is Status.FAILED else None,
        live_version="1772323200",
        previous_version="1772236800" if status is Status.PUSHED else "1772323200",
        metrics={
            "candidate": {"recall@10": 0.2206, "ndcg@10": 0.1201},
            "baseline": {"recall@10": 0.2174, "ndcg@10": 0.1188},
            "popularity": {"recall@10": 0.0860, "ndcg@10": 0.0440},
        },
    )
