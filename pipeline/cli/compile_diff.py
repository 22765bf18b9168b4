"""`two-tower compile --diff`: stock TFX's file and ours, change by change."""

from __future__ import annotations

import json
import shutil
import textwrap
from typing import TYPE_CHECKING, Any, Final

import click

from pipeline.config import PipelineConfig

if TYPE_CHECKING:
    from pipeline.kubeflow.changes import Change, Difference

_MOST_COLUMNS: Final = 100
_INDENT: Final = "    "


def show(config: PipelineConfig, *, pinned_span: bool) -> None:
    """Prints a block for each change: its name, why, how often, and one example."""
    from pipeline.kubeflow.changes import changes

    found = changes(config, pinned_span=pinned_span)
    made = [change for change in found if change.differences]
    for change in made:
        click.echo("\n".join(_block(change)) + "\n")
    total = sum(len(change.differences) for change in made)
    click.echo(f"{len(made)} changes at {total} places of what stock TFX writes.")
    idle = [change.name for change in found if not change.differences]
    if idle:
        click.echo(f"Nothing to do in this graph for {', '.join(idle)}.")


def _block(change: Change) -> list[str]:
    width = min(shutil.get_terminal_size().columns, _MOST_COLUMNS)
    count = len(change.differences)
    places = f"{count} place{'s' if count > 1 else ''}"
    why = textwrap.wrap(
        change.why, width, initial_indent=_INDENT, subsequent_indent=_INDENT
    )
    return [
        f"{click.style(change.name, bold=True)}  {places}",
        *why,
        *_example(change.example(), width),
    ]


def _example(difference: Difference, width: int) -> list[str]:
    from pipeline.kubeflow.changes import ABSENT

    lines = [f"{_INDENT}{difference.path}"]
    for mark, value, colour in (
        ("-", difference.before, "red"),
        ("+", difference.after, "green"),
    ):
        if value is not ABSENT:
            line = f"{_INDENT}{mark} {_text(value)}"
            lines.append(click.style(_cut(line, width), fg=colour))
    return lines


def _text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value)


def _cut(line: str, width: int) -> str:
    return line if len(line) <= width else f"{line[: width - 3]}..."
