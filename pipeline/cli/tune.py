"""`two-tower tune`."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import click
import yaml
from rich.console import Console

from pipeline.cli.options import (
    ConfigOptions,
    data_dir_option,
    engine_config_options,
    no_cache_option,
    workspace_option,
)
from pipeline.cli.run_report import report_failure, workspace_argument
from pipeline.cli.tables import make_console, number, print_facts, print_table
from pipeline.local.run_view import RunView
from pipeline.runs.summary import Summary
from pipeline.runs.workspace import RunFiles
from trainer.atomic_files import write_text
from trainer.errors import UsageError
from trainer.tuning.hyperparameters import by_section, format_value, format_values


@click.command()
@engine_config_options
@data_dir_option
@click.option(
    "--trials",
    type=click.IntRange(min=1),
    help="Maximum number of models to train, the same as --set tune.trials=N.",
)
@click.option(
    "--output",
    "-o",
    type=click.Path(path_type=Path, dir_okay=False),
    default=Path("best.yaml"),
    show_default=True,
    help="File for the best values, to be used with `two-tower run --config`.",
)
@no_cache_option
@workspace_option
@click.pass_context
def tune(
    context: click.Context,
    *,
    options: ConfigOptions,
    data_dir: Path | None,
    trials: int | None,
    output: Path,
    no_cache: bool,
    workspace: Path,
) -> None:
    """Search for better hyperparameters, on the train split alone.

    Runs the pipeline up to the step Tuner, which trains one model for each trial
    and ranks them by NDCG on a validation slice of the train split. The section
    `tune` of the configuration defines what is tried and how: see docs/tuning.md.

    \b
    Examples:
      two-tower tune                               20 trials, the best in best.yaml
      two-tower run --config best.yaml             train with the best values
      two-tower tune --trials 50 -o ml-1m.yaml -d ml-1m
      two-tower tune --set tune.max_seconds=600    no new trial after ten minutes
      two-tower tune --set 'tune.space={model.dropout: {min: 0.2, max: 0.7}}'
      two-tower run --set tune.enabled=true        search, train and push in one run

    The exit code is 1 if a step failed or no trial succeeded, 2 if the command line or
    the configuration is wrong.
    """
    if not output.resolve().parent.is_dir():
        raise UsageError(
            f"--output {output} is in a folder that does not exist",
            "Create the folder, or choose another file.",
        )
    search = ["tune.enabled=true", *([f"tune.trials={trials}"] if trials else [])]
    from pipeline.local.session import run_pipeline

    config = options.load(data_dir, *search)
    console = make_console()
    summary, files = run_pipeline(
        config,
        workspace,
        RunView(console),
        data_dir=data_dir,
        no_cache=no_cache,
        until="Tuner",
    )
    if summary.state == "failed":
        context.exit(report_failure(summary, files))
    keys = list(config.tune.space)
    command = next_command(options, data_dir, output, keys)
    report_search(console, summary, files, keys=keys, output=output, command=command)


def next_command(
    options: ConfigOptions, data_dir: Path | None, output: Path, keys: Sequence[str]
) -> str:
    """The command that trains with the best values and otherwise the same options.

    Args:
      options: The configuration options of the search.
      data_dir: Its `--data-dir`.
      output: The file with the best values.
      keys: The configuration keys that were searched.
    """
    # A `--set` of a searched key would win over the file.
    kept = [
        text
        for text in options.all_assignments
        if text.partition("=")[0].strip() not in keys and not text.startswith("tune")
    ]
    parts = [
        *(part for text in kept for part in ("--set", text)),
        *(("--data-dir", str(data_dir)) if data_dir else ()),
        *(part for path in options.files for part in ("--config", str(path))),
        *("--config", str(output)),
    ]
    return shlex.join(["two-tower", "run", *parts])


def report_search(
    console: Console,
    summary: Summary,
    files: RunFiles,
    *,
    keys: Sequence[str],
    output: Path,
    command: str,
) -> None:
    """Prints the trials of a search and writes the best values to a file.

    Args:
      console: Where it prints.
      summary: The run of the search, which did not fail.
      files: The files of that run.
      keys: The configuration keys that were searched.
      output: The file, a configuration for `two-tower run --config`.
      command: What to run next, without the option that names the workspace.
    """
    search = summary.tuning or {}
    trials, best = search["trials"], search["best"]
    write_text(output, _yaml(trials[0], best, summary))
    console.print()
    print_table(*_table(trials, keys), console=console)
    console.print()
    facts = [
        ("Best", format_values(best)),
        ("", _equally_good(trials)),
        ("File", str(output)),
        ("Summary", str(files.summary)),
        ("Next", command + workspace_argument(files)),
    ]
    print_facts(console, facts)


def _table(
    trials: Sequence[Mapping[str, Any]], keys: Sequence[str]
) -> tuple[list[str], list[list[str]]]:
    """Columns and rows, best first."""
    columns = ["trial>", "ndcg>", "std. error>", "recall@10>", "epochs>", "seconds>"]
    rows = [
        [
            str(trial["trial"]),
            "failed" if trial["error"] else number(trial["ndcg"]),
            number(trial["standard_error"]),
            number(trial["recall"]),
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
    limit = best["ndcg"] - best["standard_error"]
    equals = [t for t in trials[1:] if not t["error"] and t["ndcg"] >= limit]
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
        f"# NDCG {trial['ndcg']:.4f} on the validation slice, standard error "
        f"{trial['standard_error']:.4f}.\n"
        + yaml.safe_dump(by_section(best), sort_keys=False, default_flow_style=None)
    )
