"""Runs the pipeline for `run` and `tune`, and prints the outcome below the steps."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final

from rich.console import Console
from rich.text import Text

from pipeline.cli.run_view import RunView
from pipeline.cli.tables import make_console, number, print_facts, print_table
from pipeline.local.session import FinishedRun, RunRequest, run_pipeline
from pipeline.runs.summary import Metrics, Summary
from pipeline.runs.workspace import DEFAULT_ROOT, Workspace
from trainer.tuning.hyperparameters import format_values

_SHOWN_CUTOFF: Final = 10
_ALL_UP_TO: Final = 8


Reporter = Callable[[Console, FinishedRun], None]


def report_success(console: Console, run: FinishedRun) -> None:
    """Prints metrics, blessing and files of a run that did not fail."""
    if run.summary.metrics["candidate"] is not None:
        console.print()
        _print_metrics(console, run.summary)
    console.print()
    print_facts(console, _facts(run))


def run_and_report(request: RunRequest, reporter: Reporter = report_success) -> int:
    """Runs the pipeline on this machine and shows it.

    Args:
      request: What to run.
      reporter: Shows the end of a run that did not fail.

    Returns:
      The exit code: 0, or 1 if a step failed.

    Raises:
      UserError: The workspace or the data cannot be used; no run was started.
    """
    console = make_console()
    return report(console, run_pipeline(request, RunView(console)), reporter)


def report(console: Console, run: FinishedRun, reporter: Reporter) -> int:
    """Shows the end of a run; returns the exit code."""
    if run.summary.state == "failed":
        _report_failure(run)
        return 1
    reporter(console, run)
    return 0


def _report_failure(run: FinishedRun) -> None:
    """Prints to standard error why a run failed, in one line, and where its log is."""
    console = Console(stderr=True, highlight=False)
    failed = [step["id"] for step in run.summary.steps if step["state"] == "failed"]
    where = f"{failed[0]} failed" if failed else "The run failed"
    cause = run.summary.error or "unknown cause"
    text = Text.assemble((f"{where}: ", "bold red"), cause)
    console.print(text, soft_wrap=True)
    console.print(f"Log: {run.files.log}", soft_wrap=True, markup=False)


def _print_metrics(console: Console, summary: Summary) -> None:
    candidate = summary.metrics["candidate"] or {}
    popularity = summary.metrics["popularity"] or {}
    live = summary.metrics["baseline"]
    names = ("metric", "candidate>", "popularity>", "lift>", "live model>")
    columns = names if live else names[:-1]
    rows = [
        (
            metric,
            Text(number(candidate[metric]), "bold"),
            number(popularity.get(metric)),
            _lift(candidate, popularity, metric),
            number((live or {}).get(metric)),
        )[: len(columns)]
        for metric in _shown(candidate)
    ]
    print_table(columns, rows, console=console)


def _shown(metrics: Metrics) -> list[str]:
    """All metrics if they are few, else those at 10 and recall at the largest k."""
    names = list(metrics)
    if len(names) <= _ALL_UP_TO:
        return names
    cutoffs = {name: int(name.partition("@")[2] or _SHOWN_CUTOFF) for name in names}
    longest = max(cutoffs.values())
    return [
        name
        for name in names
        if cutoffs[name] == _SHOWN_CUTOFF
        or (cutoffs[name] == longest and name.startswith("recall"))
    ]


def _lift(candidate: Metrics, popularity: Metrics, metric: str) -> str:
    if not popularity.get(metric):
        return "-"
    return f"{candidate[metric] / popularity[metric]:.2f}x"


def _facts(run: FinishedRun) -> Iterator[tuple[str, str]]:
    summary = run.summary
    yield "Blessed", "yes" if summary.blessed else "no"
    for reason in summary.reasons:
        yield "", reason
    if summary.tuning:
        yield "Tuned", format_values(summary.tuning["best"])
    yield "Model", summary.pushed_model or "no model was pushed"
    yield (
        "Took",
        f"{summary.wall_seconds:.1f} s, peak memory {summary.peak_rss_mb:,.0f} MiB",
    )
    if summary.report:
        yield "Report", summary.report
    yield "Summary", str(run.files.summary)
    if summary.pushed_model:
        yield "Next", f"two-tower recommend --user 42{workspace_option(run.workspace)}"


def workspace_option(workspace: Workspace) -> str:
    """The option that names the workspace; empty for the default one."""
    if workspace.root == Path.cwd() / DEFAULT_ROOT:
        return ""
    return f" --workspace {workspace.root}"
