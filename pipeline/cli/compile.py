"""`two-tower compile`."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import click

from pipeline.cli.compile_diff import show
from pipeline.cli.options import ConfigOptions, config_options
from trainer.errors import UsageError


@click.command()
@config_options
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
@click.option(
    "--pinned-span",
    is_flag=True,
    help="Every run must name its span; then unchanged ones come from the cache.",
)
@click.option(
    "--check",
    "checked",
    type=click.Path(path_type=Path, exists=True, dir_okay=False),
    help="Check this file by the server's rules instead of compiling one.",
)
@click.option(
    "--diff",
    is_flag=True,
    help="Show what is changed in the file that stock TFX would write, and why, "
    "instead of writing one.",
)
def compile(
    *,
    options: ConfigOptions,
    output: Path | None,
    target: Literal["kfp", "vertex"],
    pinned_span: bool,
    checked: Path | None,
    diff: bool,
) -> None:
    """Compile the pipeline for Kubeflow Pipelines 2.x, and check it.

    What is compiled is what `two-tower run` runs here. Image, resources, volumes and
    secrets come from the section `kubeflow` of the configuration.

    \b
    Examples:
      two-tower compile -o pipeline.yaml
      two-tower compile --set kubeflow.image=registry.example.com/two-tower:1
      two-tower compile --check pipeline.yaml
      two-tower compile --diff
    """
    writes_nothing = "--check" if checked else "--diff" if diff else ""
    if writes_nothing and (output or target == "vertex" or (checked and diff)):
        raise UsageError(
            f"{writes_nothing} compiles no file for a target: it goes without "
            f"--output, --target vertex and {'--diff' if checked else '--check'}",
            f"Leave them out, or leave out {writes_nothing}.",
        )
    if checked is not None:
        _show_check(checked)
        return
    from pipeline.atomic_files import write_text
    from pipeline.kubeflow.compiler import check_vertex, compile_pipeline
    from trainer.errors import UserError

    config = options.load()
    if diff:
        show(config, pinned_span=pinned_span)
        return
    if target == "vertex":
        check_vertex(config)
    compiled = compile_pipeline(config, pinned_span=pinned_span)
    compiled.check()
    if target == "vertex":
        output = output or Path("pipeline.json")
        text = compiled.to_vertex_json(config.kubeflow.pipeline_root or "")
    else:
        output = output or Path("pipeline.yaml")
        text = compiled.to_yaml()
    try:
        write_text(output, text)
    except OSError as error:
        raise UserError(
            f"{output} cannot be written: {error.strerror}",
            "Give --output a file in a folder that exists.",
        ) from error
    click.echo(
        f"{output}  {len(compiled.spec['root']['dag']['tasks'])} steps, "
        f"image {config.kubeflow.image}"
    )


def _show_check(path: Path) -> None:
    from pipeline.kubeflow.validation.rules import check
    from trainer.errors import UserError

    report = check(path.read_text(encoding="utf-8", errors="replace"), given=("span",))
    for problem in report.problems:
        click.echo(str(problem))
    if report.problems:
        raise UserError(
            f"{path} breaks {len(report.problems)} of the server's rules",
            "Compile it with `two-tower compile`.",
        )
    needed = f"; each run must give {', '.join(report.required)}"
    click.echo(f"{path} is fine{needed if report.required else ''}")
