"""Text from data reaches people as text: no control character, no markup.

The last test reads the sources: nothing prints, logs or renders except through the few
modules that pass `trainer.text`.
"""

from __future__ import annotations

import ast
import io
import json
import logging
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Group
from rich.live import Live
from rich.text import Text

from pipeline.cli import main
from pipeline.cli.console import PlainConsole
from pipeline.cli.tables import echo, print_facts, print_json, print_table
from pipeline.local.failures import explain
from pipeline.runs.workspace import Workspace
from trainer import text as trainer_text
from trainer.errors import UserError
from trainer.text import has_control_characters

ROOT = Path(__file__).parents[3]
HOSTILE = [
    "\x1b]0;owned\x07",
    "\x1b[2J\x1b[H",
    "\x9b31m",
    "a\u202egnp.exe",
    "\u2066x\u2069",
    "[/x]",
    "[bold]b[/bold] [link=http://x]y[/link]",
    ":smile: [red]",
    "\ud800 lone",
    "two\nlines\r\nand\rmore",
    "A$_$B ${x} %s {0}",
    "<script>&amp;</script>",
]


def _is_plain(shown: str) -> bool:
    return not has_control_characters(shown.replace("\n", ""))


def _visible(value: str) -> list[str]:
    """The parts of a value that must be shown as they are."""
    return trainer_text.printable(value).split()


@pytest.mark.parametrize("value", HOSTILE)
def test_tables_facts_and_lines_show_text_as_it_is(
    value: str, capsys: pytest.CaptureFixture[str]
) -> None:
    print_table((value, "n>"), [(value, Text(value, "bold"))])
    print_facts(PlainConsole(), [(value, value)])
    echo(value)
    echo(value, err=True, dim=True)
    shown = capsys.readouterr()
    for part in _visible(value):
        assert shown.out.count(part) >= 4 and part in shown.err
    assert _is_plain(shown.out) and _is_plain(shown.err)


@given(st.text(st.characters(), max_size=30))
def test_whatever_a_console_renders_has_no_control_character(value: str) -> None:
    file = io.StringIO()
    console = PlainConsole(file=file)
    console.print(value, Text(value), Group(value, Text(value)))
    with Live(Text(value), console=console):
        pass
    assert _is_plain(file.getvalue())


@pytest.mark.parametrize("value", HOSTILE)
def test_json_keeps_the_value_and_shows_escapes(
    value: str, capsys: pytest.CaptureFixture[str]
) -> None:
    print_json({"title": value, value: ["é"]})
    out = capsys.readouterr().out
    assert json.loads(out) == {"title": value, value: ["é"]}
    assert _is_plain(out) and "é" in out


@pytest.mark.parametrize("value", HOSTILE)
def test_the_cause_of_a_failure_is_one_printable_line(value: str) -> None:
    for error in (UserError(value, value), ValueError(value)):
        line = str(explain(error))
        assert not has_control_characters(line)
        assert all(part in line for part in _visible(value))


@pytest.mark.parametrize("value", HOSTILE)
def test_logs_and_tracebacks_are_printable_lines(
    value: str, capsys: pytest.CaptureFixture[str]
) -> None:
    root = logging.getLogger()
    before, level = root.handlers[:], root.level
    root.handlers.clear()
    try:
        trainer_text.start_logging()
        try:
            raise ValueError(value)
        except ValueError:
            logging.exception("The title is %s", value)
        (handler,) = root.handlers
        handler.flush()
    finally:
        root.handlers[:], root.level = before, level
    shown = capsys.readouterr().err
    assert _is_plain(shown) and "Traceback" in shown
    assert all(part in shown for part in _visible(value))


def test_logs_of_a_run_show_no_secret(tmp_path: Path) -> None:
    """The process that runs the pipeline fails with a secret in its configuration."""
    workspace = Workspace.open(tmp_path / "workspace", create=True)
    files = workspace.new_run()
    files.config.write_text("nonsense: 'https://user:hunter22@host'\n")
    command = [
        *(sys.executable, "-m", "pipeline.local_runner"),
        *("--workspace", workspace.root, "--run-id", files.run_id),
        *("--input-base", tmp_path, "--content-fingerprint", "x"),
    ]
    reader, writer = os.pipe()  # it ends when its standard input does
    ended = subprocess.run(command, stdin=reader, capture_output=True, check=False)
    os.close(reader)
    os.close(writer)
    assert ended.returncode == 1
    written = ended.stderr + files.events.read_bytes()
    assert b"Traceback" in written and b"***" in written
    assert b"hunter22" not in written


@pytest.mark.parametrize("value", HOSTILE)
def test_an_error_of_the_command_line_is_printable(value: str) -> None:
    result = CliRunner().invoke(main, ["recommend", "--user", "1", "-k", value])
    assert result.exit_code == 2
    assert _is_plain(result.output)


# Call -> the only modules that may make it.
DOORS = {
    "click.echo": ("pipeline/cli/tables.py",),
    "click.secho": (),
    "click.style": ("pipeline/cli/tables.py",),
    # The second prints JSON for the command that has started it.
    "print": ("pipeline/kubeflow/step_entrypoint.py", "pipeline/engines/doctor.py"),
    "Console": (),
    "rich.print": (),
    "rich.console.Console": (),
    "Table": ("pipeline/cli/tables.py",),
    # Rich reads the titles of these as markup.
    **dict.fromkeys(("Panel", "Tree", "Prompt.ask", "Confirm.ask"), ()),
    "Text.from_markup": (),
    "Text.from_ansi": (),
    "jinja2.Environment": ("components/report_gen/template.py",),
    "jinja2.Template": (),
    # The page's own style and script, which hold no text from data.
    "Markup": ("pipeline/serving/demo/page.py",),
    "logging.basicConfig": ("trainer/text.py",),
    "logging.StreamHandler": ("trainer/text.py",),
}
IMPORTS = {
    "matplotlib": (
        "components/report_gen/charts.py",
        "pipeline/runs/history_charts.py",
        "pipeline/retraining/rehearsal/charts.py",
    ),
    "jinja2": ("components/report_gen/template.py",),
}


def _imported(node: ast.AST) -> list[str]:
    if isinstance(node, ast.Import):
        return [name.name.partition(".")[0] for name in node.names]
    if isinstance(node, ast.ImportFrom):
        return [(node.module or "").partition(".")[0]]
    return []


def test_nothing_shows_text_but_through_the_doors() -> None:
    bypasses = []
    for package in ("pipeline", "components", "trainer"):
        for path in (ROOT / package).rglob("*.py"):
            name = path.relative_to(ROOT).as_posix()
            for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
                if isinstance(node, ast.Call):
                    called = ast.unparse(node.func)
                    if name not in DOORS.get(called, (name,)):
                        bypasses.append(f"{name}:{node.lineno} {called}")
                    is_column = called == "TextColumn"
                    keywords = {k.arg: ast.unparse(k.value) for k in node.keywords}
                    if is_column and keywords.get("markup") != "False":
                        bypasses.append(f"{name}:{node.lineno} TextColumn with markup")
                bypasses += [
                    f"{name}:{getattr(node, 'lineno', 0)} import of {module}"
                    for module in _imported(node)
                    if name not in IMPORTS.get(module, (name,))
                ]
    assert bypasses == []


@pytest.mark.parametrize("value", HOSTILE)
def test_on_a_terminal_only_the_styles_of_our_own_are_escapes(
    value: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("COLUMNS", "300")
    print_table(("title",), [(Text(value, "bold"),)])
    shown = capsys.readouterr().out
    assert "\x1b[1m" in shown
    assert _is_plain(re.sub(r"\x1b\[[0-9;]*m", "", shown))
