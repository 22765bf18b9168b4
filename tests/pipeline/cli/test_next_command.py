"""The command that a run prints at its end can be pasted into a shell."""

from __future__ import annotations

import ast
import dataclasses
import subprocess
import sys
from pathlib import Path
from typing import Any

import click
import pytest
from rich.console import Console

from pipeline.cli import main
from pipeline.cli.run_report import report_run
from pipeline.runs.summary import Summary
from pipeline.runs.workspace import Workspace
from tests.fixtures.command import environment


def make_summary(pushed_model: str | None) -> Summary:
    """A run that ended, about which little is known."""
    values: dict[str, Any] = {
        field.name: {"str": "", "float": 0.0}.get(str(field.type))
        for field in dataclasses.fields(Summary)
    }
    values |= {"state": "succeeded", "metrics": {"candidate": None}, "reasons": []}
    return Summary(**{**values, "pushed_model": pushed_model})


def printed_next(folder: Path, users: list[str] | None) -> list[str]:
    """The words that a shell makes of the command after "Next"; none if there is none.

    Args:
      folder: The workspace, without a pushed model if there are no users.
      users: The vocabulary of the pushed model.
    """
    workspace = Workspace.open(folder, create=True)
    model = None
    if users is not None:
        model = workspace.serving_dir / "1"
        (model / "assets").mkdir(parents=True)
        (model / "assets" / "user_id").write_text("".join(f"{u}\n" for u in users))
    summary = make_summary(pushed_model=None if model is None else str(model))
    output = folder / "output"
    with output.open("w", encoding="utf-8") as file:
        report_run(Console(file=file, width=1000), summary, workspace.new_run())
    lines = [text for text in output.read_text().splitlines() if "Next" in text]
    if not lines:
        return []
    command = lines[0].partition("Next")[2].strip()
    show = "import sys; print(ascii(sys.argv[1:]))"
    shell = f'two-tower() {{ "{sys.executable}" -c "{show}" "$@"; }}; {command}'
    done = subprocess.run(
        ["bash", "-c", shell], env=environment(), capture_output=True, check=True
    )
    words: list[str] = ast.literal_eval(done.stdout.decode())
    return words


@pytest.mark.parametrize(
    ("users", "user"),
    [
        (["7", "42", "9"], "42"),
        (["u14", "u2"], "u2"),
        (["a b", 'it\'s $(date) "x"'], 'it\'s $(date) "x"'),
        (["-x"], "-x"),
        (["é中"], "é中"),
    ],
)
@pytest.mark.parametrize("name", ["ws", "a b 'c' $HOME &"])
def test_the_user_exists_and_everything_is_quoted(
    tmp_path: Path, users: list[str], user: str, name: str
) -> None:
    words = printed_next(tmp_path / name, users)
    assert words == ["recommend", "--user", user, "--workspace", str(tmp_path / name)]
    command = main.get_command(click.Context(main), "recommend")
    assert command is not None
    parsed = command.make_context("recommend", words[1:])
    assert parsed.params["user"] == user, "the command line takes it"


@pytest.mark.parametrize("users", [None, []])
def test_without_a_model_or_a_user_there_is_no_next_command(
    tmp_path: Path, users: list[str] | None
) -> None:
    assert printed_next(tmp_path / "ws", users) == []
