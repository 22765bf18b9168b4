"""`two-tower retrain`."""

from __future__ import annotations

import datetime
import math
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from pipeline.cli.options import (
    ConfigOptions,
    data_dir_option,
    no_cache_option,
    run_config_options,
    workspace_option,
)
from pipeline.cli.tables import echo, make_console, print_facts
from trainer.errors import UsageError

if TYPE_CHECKING:
    from pipeline.retraining.outcome import Outcome
    from pipeline.retraining.request import Display
    from pipeline.runs.summary import Summary
    from pipeline.runs.workspace import RunFiles


def _seconds(_context: object, _option: object, value: float) -> float:
    if math.isnan(value):
        raise UsageError("--wait nan is not a number of seconds", "Give 600, say.")
    return value


@click.command()
@click.option("--span", help="The last span of the window, by its number.")
@click.option(
    "--date",
    help="The same by its day: 2026-03-01, today, yesterday or today-3.",
)
@click.option(
    "--newest", is_flag=True, help="The newest span that there is.  [default]"
)
@click.option(
    "--catch-up",
    type=click.Choice(["all", "newest"]),
    is_flag=False,
    flag_value="all",
    help="One retraining for each span since the last that was trained on, in order; "
    "`newest` for the newest of them alone, whose window reads the others.",
)
@click.option(
    "--time-zone",
    default="UTC",
    show_default=True,
    help="Whose days `yesterday` and `today` are, such as Europe/Berlin.",
)
@click.option(
    "--scheduled-at",
    metavar="TIME",
    help="Moment of the schedule, in place of the start of the command, from which "
    "`yesterday` is counted: 2026-03-01T03:00:00Z.",
)
@click.option(
    "--wait",
    type=click.FloatRange(min=0),
    is_flag=False,
    flag_value="inf",
    default="0",
    metavar="[SECONDS]",
    callback=_seconds,
    help="Wait for another command that uses the workspace; without SECONDS as long as "
    "it takes.",
)
@click.option(
    "--if-needed",
    is_flag=True,
    help="Retrain only if there is a reason: new ratings, drift, or a live model that "
    "has become worse. See `retrain` in the configuration.",
)
@click.option(
    "--trigger",
    default="command",
    show_default=True,
    help="Why it was started, for the record.",
)
@run_config_options
@data_dir_option
@no_cache_option
@workspace_option
@click.pass_context
def retrain(
    context: click.Context,
    *,
    span: str | None,
    date: str | None,
    newest: bool,
    catch_up: Any,
    time_zone: str,
    scheduled_at: str | None,
    wait: float,
    if_needed: bool,
    trigger: str,
    options: ConfigOptions,
    data_dir: Path | None,
    no_cache: bool,
    workspace: Path,
) -> None:
    """Retrain on a new span: train, compare with the live model, push if better.

    Made to be started by a clock. A span that was trained on is not trained on again,
    a command that was killed goes on where it was when it is repeated, and old runs are
    removed. Each outcome is appended to `retrainings.jsonl` in the workspace, and sent
    as configured under `notify`.

    \b
    Examples:
      two-tower retrain --data-dir /data/ratings
      two-tower retrain --data-dir /data/ratings --date yesterday --wait 3600
      two-tower retrain --data-dir /data/ratings --catch-up

    \b
    Exit codes:
      0    pushed, not blessed, awaiting approval, or nothing to do
      1    failed, or the data was refused
      2    wrong command line or configuration
      3    --if-needed found no reason
      75   another command uses the workspace: try again later
      130  interrupted (143 by SIGTERM)
    """
    started = datetime.datetime.now(datetime.timezone.utc)
    moment = started if scheduled_at is None else _moment(scheduled_at)
    given = [name for name, value in (("--span", span), ("--date", date)) if value]
    given += ["--newest"] if newest else []
    if len(given) > 1:
        raise UsageError(f"{' and '.join(given)} name two spans", "Give one of them.")
    from pipeline.retraining.request import Request
    from pipeline.retraining.retrain import retrain as start
    from pipeline.retraining.spans import Wanted

    day = None if date is None else _day(date, time_zone, moment)
    request = Request(
        config=options.load(data_dir),
        workspace=workspace,
        data_dir=data_dir,
        wanted=Wanted(span or day, catch_up),
        wait=wait,
        no_cache=no_cache,
        if_needed=if_needed,
        trigger=trigger,
        moment=moment,
    )
    context.exit(_exit_code(start(request, _display()), if_needed))


def _exit_code(outcomes: Sequence[Outcome], if_needed: bool) -> int:
    from pipeline.retraining.outcome import NO_REASON_EXIT, Status

    if if_needed and all(outcome.run_id is None for outcome in outcomes):
        if outcomes[-1].status == Status.NOTHING_TO_DO:
            return NO_REASON_EXIT
    bad = (Status.FAILED, Status.REFUSED)
    return int(any(outcome.status in bad for outcome in outcomes))


def _moment(text: str) -> datetime.datetime:
    try:
        moment = datetime.datetime.fromisoformat(text.replace("Z", "+00:00"))
    except ValueError:
        moment = None
    if moment is None or moment.tzinfo is None:
        raise UsageError(
            f"--scheduled-at {text} is not a moment with a time zone",
            "Write it like 2026-03-01T03:00:00Z.",
        )
    return moment


def _day(date: str, time_zone: str, moment: datetime.datetime) -> str:
    from pipeline.kubeflow import run_day

    if run_day.is_relative(date):
        return run_day.fixed(run_day.in_zone(date, time_zone), moment)
    try:
        return datetime.date.fromisoformat(date).isoformat()
    except ValueError as error:
        raise UsageError(
            f"--date {date} is not a day",
            "Give 2026-03-01, today, yesterday or today-3.",
        ) from error


def _display() -> Display:
    """Shows runs as `two-tower run` does, and how each retraining ended."""
    from pipeline.cli.run_report import report_run
    from pipeline.local.run_view import RunView
    from pipeline.retraining.request import Display

    console = make_console()

    class Terminal(Display):
        def note(self, text: str) -> None:
            echo(text)

        def warn(self, text: str) -> None:
            echo(f"Warning: {text}", err=True)

        def ended(
            self, outcome: Outcome, summary: Summary | None, files: RunFiles | None
        ) -> None:
            if summary is not None and files is not None:
                report_run(console, summary, files)
            print_facts(console, _facts(outcome, summary))

    return Terminal(lambda: RunView(console))


def _facts(outcome: Outcome, summary: Summary | None) -> Iterator[tuple[str, str]]:
    """How a retraining ended, and those reasons that nothing else has shown."""
    words = outcome.status.value.replace("_", " ")
    about = f", {outcome.span}" if outcome.span else ""
    yield "Outcome", f"{words}{about} ({outcome.seconds:.1f} s)"
    if summary is not None:
        shown = {summary.error, summary.push, *summary.reasons}
    else:  # a failure is shown as the error of the command
        is_error = outcome.status.value in ("failed", "locked")
        shown = set(outcome.reasons) if is_error else set()
    yield from (("", reason) for reason in outcome.reasons if reason not in shown)
