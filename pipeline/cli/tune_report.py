"""Prints the outcome of a search and writes the best values to a file."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from rich.console import Console

from pipeline.atomic_files import write_text
from pipeline.cli.options import ConfigOptions
from pipeline.cli.run_report import workspace_option
from pipeline.cli.tables import number, print_facts, print_table
from pipeline.local.session import FinishedRun
from pipeline.runs.summary import Summary
from trainer.errors import UsageError
from trainer.tuning.config import TuneConfig
from trainer.tuning.hyperparameters import by_section, format_value, format_values


def check_output(path: Path) -> None:
    """Checks before the search that its output file can be written.

    Raises:
      UsageError: The folder of the file does not exist.
    """
    if not path.resolve().parent.is_dir():
        raise UsageError(
            f"--output {path} is in a folder that does not exist",
            "Create the folder, or choose another file.",
        )


@dataclass(frozen=True)
class TuneReport:
    """Prints the table of trials and writes the best values to a file.

    Attributes:
      tune: The configuration of the search.
      output: The file.
      options: The configuration options of the command.
      data_dir: Its `--data-dir`.
    """

    tune: TuneConfig
    output: Path
    options: ConfigOptions
    data_dir: Path | None

    def __call__(self, console: Console, run: FinishedRun) -> None:
        """Reports a search that did not fail."""
        search = run.summary.tuning or {}
        trials, best = search["trials"], search["best"]
        write_text(self.output, _yaml(trials[0], best, run.summary))
        console.print()
        print_table(*_table(trials, list(self.tune.space)), console=console)
        console.print()
        facts = [
            ("Best", format_values(best)),
            ("", _equally_good(trials)),
            ("File", str(self.output)),
            ("Summary", str(run.files.summary)),
            ("Next", self._next() + workspace_option(run.workspace)),
        ]
        print_facts(console, facts)

    def _next(self) -> str:
        """The command that trains with the best values and the same options."""
        # A `--set` of a searched key would win over the file.
        kept = [
            text
            for text in self.options.all_assignments
            if text.partition("=")[0].strip() not in self.tune.space
            and not text.startswith("tune")
        ]
        parts = [
            *(part for text in kept for part in ("--set", text)),
            *(("--data-dir", str(self.data_dir)) if self.data_dir else ()),
            *(part for path in self.options.files for part in ("--config", str(path))),
            *("--config", str(self.output)),
        ]
        return shlex.join(["two-tower", "run", *parts])


def _table(
    trials: Sequence[Mapping[str, Any]], keys: Sequence[str]
) -> tuple[list[str], list[list[str]]]:
    """Columns and rows, best first."""
    columns = ["trial>", "recall@10>", "std. error>", "epochs>", "seconds>"]
    rows = [
        [
            str(trial["trial"]),
            "failed" if trial["error"] else number(trial["recall"]),
            number(trial["standard_error"]),
            str(trial["epochs"] or "-"),
            number(trial["seconds"], 1),
            *(format_value(trial["values"][key]) for key in keys),
        ]
        for trial in trials
    ]
    return [*columns, *(f"{key.partition('.')[2]}>" for key in keys)], rows


def _equally_good(trials: Sequence[Mapping[str, Any]]) -> str:
    """How many trials are within one standard error of the best."""
    best = trials[0]
    limit = best["recall"] - best["standard_error"]
    equals = [t for t in trials[1:] if not t["error"] and t["recall"] >= limit]
    of = f"of {best['queries']:,} validation queries"
    if not equals:
        return f"No other trial is within its standard error, {of}"
    count = (
        "1 other trial is" if len(equals) == 1 else f"{len(equals)} other trials are"
    )
    return f"{count} within its standard error, {of}"


def _yaml(trial: Mapping[str, Any], best: Mapping[str, Any], summary: Summary) -> str:
    """The best values as a configuration file."""
    return (
        f"# Found by `two-tower tune` on {summary.dataset}, run {summary.run_id}:\n"
        f"# recall@10 {trial['recall']:.4f} on the validation slice, standard error "
        f"{trial['standard_error']:.4f}.\n"
        + yaml.safe_dump(by_section(best), sort_keys=False, default_flow_style=None)
    )
