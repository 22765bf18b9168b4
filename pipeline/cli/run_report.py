"""Prints the outcome of a local run below its steps."""

from __future__ import annotations

import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from rich.console import Console
from rich.text import Text

from pipeline.cli.tables import make_console, number, print_facts, print_table
from pipeline.runs.summary import Metrics, Summary
from pipeline.runs.workspace import DEFAULT_ROOT, RunFiles
from trainer.serving_contract import USER_VOCABULARY
from trainer.tuning.hyperparameters import format_values

_SHOWN_CUTOFF: Final = 10
_ALL_UP_TO: Final = 8
_DOCUMENTED_USER: Final = "42"


def report_run(console: Console, summary: Summary, files: RunFiles) -> int:
    """Prints metrics, blessing and files of a run, or why it failed.

    Returns:
      The exit code: 0, or 1 if a step failed.
    """
    if summary.state == "failed":
        return report_failure(summary, files)
    if summary.metrics["candidate"] is not None:
        console.print()
        _print_metrics(console, summary)
    console.print()
    print_facts(console, _facts(summary, files))
    return 0


def report_failure(summary: Summary, files: RunFiles) -> int:
    """Prints to standard error why a run failed, in one line, and where its log is.

    Returns:
      The exit code: 1.
    """
    console = make_console(stderr=True)
    failed = [step["id"] for step in summary.steps if step["state"] == "failed"]
    where = f"{failed[0]} failed" if failed else "The run failed"
    cause = summary.error or "unknown cause"
    text = Text.assemble((f"{where}: ", "bold red"), cause)
    console.print(text, soft_wrap=True)
    if summary.pushed_model:
        pushed = f"Pushed before it failed, and live: {summary.pushed_model}"
        console.print(pushed, soft_wrap=True)
    console.print(f"Log: {files.log}", soft_wrap=True)
    return 1


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
    if len(metrics) <= _ALL_UP_TO:
        return list(metrics)
    cutoffs = {name: int(name.partition("@")[2] or _SHOWN_CUTOFF) for name in metrics}
    shown_recall = f"recall@{max(cutoffs.values())}"
    return [
        name
        for name, cutoff in cutoffs.items()
        if cutoff == _SHOWN_CUTOFF or name == shown_recall
    ]


def _lift(candidate: Metrics, popularity: Metrics, metric: str) -> str:
    if not popularity.get(metric):
        return "-"
    return f"{candidate[metric] / popularity[metric]:.2f}x"


def _facts(summary: Summary, files: RunFiles) -> Iterator[tuple[str, str]]:
    yield "Blessed", "yes" if summary.blessed else "no"
    for reason in summary.reasons:
        yield "", reason
    if summary.tuning:
        yield "Tuned", format_values(summary.tuning["best"])
    yield "Model", summary.pushed_model or summary.push
    if summary.pushed_model and summary.pushed_model != summary.live_model:
        yield "", summary.push
    yield (
        "Took",
        f"{summary.wall_seconds:.1f} s, peak memory {summary.peak_rss_mb:,.0f} MiB",
    )
    if summary.report:
        yield "Report", summary.report
    yield "Summary", str(files.summary)
    user = _known_user(summary.pushed_model)
    if user is not None:
        command = shlex.join(["two-tower", "recommend", "--user", user])
        yield "Next", command + workspace_argument(files)


def _known_user(model: str | None) -> str | None:
    """A user whom a model knows: that of the documentation, else the least active."""
    if model is None:
        return None
    try:
        text = Path(model, "assets", USER_VOCABULARY).read_text(encoding="utf-8")
    except (OSError, ValueError):
        return None
    users = [user for user in text.split("\n") if user]
    if not users or _DOCUMENTED_USER in users:
        return _DOCUMENTED_USER if users else None
    return users[-1]  # they are in the order of their frequency


def workspace_argument(files: RunFiles) -> str:
    """The option that names the workspace of a run; empty for the default one."""
    root = files.path.parents[1]
    if root == Path.cwd() / DEFAULT_ROOT:
        return ""
    return f" --workspace {shlex.quote(str(root))}"
