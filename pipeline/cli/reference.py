"""Writes the reference of all commands: `python -m pipeline.cli.reference`."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Final

import click

from pipeline.cli import main

PAGE: Final = Path(__file__).resolve().parents[2] / "docs" / "cli.md"
_HEADER: Final = """\
# Commands

What `two-tower COMMAND --help` prints, for every command. This page is generated:
after a change of a help text, run `python -m pipeline.cli.reference`.

Every command exits with 0 on success, 1 if it failed, 2 if the command line or the
configuration is wrong, 75 if another command uses the workspace, and 130 if it was
interrupted (143 by SIGTERM, 129 by a terminal that closed). An error is one line on
standard error; that of a fault of ours names a file with the traceback.
"""
_WIDTH: Final = 80


def render() -> str:
    """The page as Markdown."""
    return "\n".join([_HEADER, *_sections(main, "two-tower", None)])


def _sections(
    command: click.Command, name: str, parent: click.Context | None
) -> Iterator[str]:
    """Yields the section of a command, then those of its subcommands."""
    context = command.context_class(
        command,
        info_name=name,
        parent=parent,
        terminal_width=_WIDTH,
        **command.context_settings,
    )
    yield f"## {context.command_path}\n\n```text\n{command.get_help(context)}\n```\n"
    if isinstance(command, click.Group):
        for child_name in command.list_commands(context):
            child = command.get_command(context, child_name)
            if child is not None and not child.hidden:
                yield from _sections(child, child_name, context)


if __name__ == "__main__":
    PAGE.write_text(render(), encoding="utf-8")
