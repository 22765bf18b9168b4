"""`two-tower tune`."""

from __future__ import annotations

from pathlib import Path

import click

from pipeline.cli.options import (
    ConfigOptions,
    config_options,
    data_dir_option,
    no_cache_option,
    workspace_option,
)


@click.command()
@config_options
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
    and ranks them by recall@10 on a validation slice of the train split. The section
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
    from pipeline.cli.run_report import run_and_report
    from pipeline.cli.tune_report import TuneReport, check_output
    from pipeline.datasets.source import check
    from pipeline.local.session import RunRequest

    check_output(output)
    search = ["tune.enabled=true", *([f"tune.trials={trials}"] if trials else [])]
    config = options.load(data_dir, *search)
    check(config.data, data_dir)
    report = TuneReport(config.tune, output, options, data_dir)
    request = RunRequest(config, workspace, data_dir, no_cache, until="Tuner")
    context.exit(run_and_report(request, report))
