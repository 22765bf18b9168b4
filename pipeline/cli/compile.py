"""`two-tower compile`."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import click

from pipeline.cli.options import ConfigOptions, run_config_options
from pipeline.cli.server_options import pinned_span_option
from pipeline.cli.tables import echo
from pipeline.kubeflow.compiled import MAX_BYTES, check_vertex
from pipeline.kubeflow.validation import check
from pipeline.kubeflow_runner import compile_pipeline
from trainer.atomic_files import write_text
from trainer.errors import UsageError, UserError


@click.command()
@run_config_options
@click.option(
    "--output",
    "-o",
    type=click.Path(path_type=Path, dir_okay=False),
    help="File to write.  [default: pipeline.yaml, or pipeline.json for Vertex AI]",
)
@click.option(
    "--target",
    type=click.Choice(["kfp", "vertex"]),
    default="kfp",
    show_default=True,
    help="Open-source Kubeflow Pipelines, or Google's Vertex AI.",
)
@pinned_span_option
@click.option(
    "--check",
    "checked",
    type=click.Path(path_type=Path, exists=True, dir_okay=False),
    help="Check this file by the server's rules instead of compiling one.",
)
def compile(
    *,
    options: ConfigOptions,
    output: Path | None,
    target: Literal["kfp", "vertex"],
    pinned_span: bool,
    checked: Path | None,
) -> None:
    """Compile the pipeline for Kubeflow Pipelines 2.x, and check it.

    The compiled pipeline is the one that `two-tower run` runs on this machine. Image,
    resources, volumes and secrets come from the section `kubeflow` of the
    configuration.

    \b
    Examples:
      two-tower compile -o pipeline.yaml
      two-tower compile --set kubeflow.image=registry.example.com/two-tower:1
      two-tower compile --check pipeline.yaml
    """
    if checked is not None:
        if output or target == "vertex":
            raise UsageError(
                "--check compiles no file for a target, and cannot be combined with "
                "--output and --target vertex",
                "Leave them out, or leave out --check.",
            )
        _check(checked)
        return
    config = options.load()
    if target == "vertex":
        check_vertex(config)
    compiled = compile_pipeline(config, pinned_span=pinned_span)
    if target == "vertex":
        name, text = "pipeline.json", compiled.to_vertex_json()
    else:
        name, text = "pipeline.yaml", compiled.to_yaml()
    output = output or Path(name)
    try:
        write_text(output, text)
    except OSError as error:
        raise UserError(
            f"{output} cannot be written: {error.strerror}",
            "Give --output a file in a folder that exists.",
        ) from error
    echo(f"{output}  {len(compiled.steps())} steps, image {config.kubeflow.image}")


def _check(path: Path) -> None:
    try:
        with open(path, encoding="utf-8", errors="replace") as file:
            text = file.read(MAX_BYTES + 1)
    except OSError as error:
        raise UserError(
            f"{path} cannot be read: {error.strerror}", "Give --check a compiled file."
        ) from error
    report = check(text, given=("span",))
    for problem in report.problems:
        echo(problem)
    if report.problems:
        raise UserError(
            f"{path} breaks {len(report.problems)} of the server's rules",
            "Compile it with `two-tower compile`.",
        )
    needed = f"; each run must set {', '.join(report.required)}"
    echo(f"{path} is valid{needed if report.required else ''}")
