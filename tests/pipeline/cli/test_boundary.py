"""What a person sees where a command meets something that nobody foresaw."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import click
import pytest

from pipeline.cli.boundary import one_line_errors
from tests.fixtures.command import environment, error_line, two_tower
from trainer.errors import UsageError, UserError

# Runs a command of the real command line that raises.
COMMAND = """
import sys
import click
from pipeline import cli
@cli.main.command()
def fail():
    {statement}
cli.COMMANDS["fail"] = ""
cli._LazyGroup.get_command = click.Group.get_command
cli.main(["fail"], prog_name="two-tower")
"""


def run_python(code: str, cwd: Path, **extra: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", code],
        cwd=cwd,
        env=environment(TMPDIR=str(cwd), **extra),
        capture_output=True,
        text=True,
        check=False,
    )


def raising(statement: str) -> str:
    return COMMAND.format(statement=statement)


def test_an_unexpected_error_shows_no_secret(tmp_path: Path) -> None:
    """Neither does the log that the user is asked to send."""
    code = raising("raise RuntimeError('https://user:hunter22@host')")
    ended = run_python(code, tmp_path)
    [log] = tmp_path.glob("two-tower-*.log")
    assert "***" in ended.stderr and "***" in log.read_text().splitlines()[-1]
    assert "hunter22" not in ended.stderr
    # The source line of this test's own program is in `-c`, not in a file.
    assert "hunter22" not in log.read_text()


@pytest.mark.parametrize(
    "statement",
    [
        "raise RuntimeError('first\\nsecond \\x1b[31m')",
        "{}['a']",
        "(f := lambda: f())()",
        "raise type('PanicException', (BaseException,), {})('rust')",
        "raise ExceptionGroup('g', [ValueError()]) if sys.version_info > (3, 11) "
        "else ValueError",
    ],
)
def test_an_unexpected_error_is_one_line_that_names_a_log(
    tmp_path: Path, statement: str
) -> None:
    line = error_line(run_python(raising(statement), tmp_path), exit_code=1)
    assert line.startswith("Error: Unexpected ") and "\x1b" not in line
    [log] = tmp_path.glob("two-tower-*.log")
    assert str(log) in line
    assert "Traceback (most recent call last)" in log.read_text()
    assert log.stat().st_mode & 0o77 == 0, "it may hold what others must not read"


def test_an_error_in_our_code_has_its_file_and_line(tmp_path: Path) -> None:
    code = raising("import pipeline.config.loading as l; l._merged(None, None)")
    line = error_line(run_python(code, tmp_path), exit_code=1)
    assert "(pipeline/config/loading.py:" in line


def test_developers_see_the_traceback_if_they_ask(tmp_path: Path) -> None:
    done = run_python(raising("1 / 0"), tmp_path, TWO_TOWER_TRACEBACK="1")
    assert "ZeroDivisionError" in done.stderr and "Traceback" in done.stderr


@pytest.mark.parametrize(
    ("statement", "words"),
    [
        ("open('none/file')", "none/file: No such file or directory. Check"),
        ("open('.', 'w')", ".: Is a directory. Name a file"),
        ("open('x' * 300)", "File name too long. Choose a shorter"),
        ("raise MemoryError", "not enough memory. Close other programs"),
        (
            "import pathlib; pathlib.Path('/dev/full').write_text('x')",
            "No space is left on the file system",
        ),
    ],
)
def test_an_error_of_the_system_has_a_cause_and_a_remedy(
    tmp_path: Path, statement: str, words: str
) -> None:
    line = error_line(run_python(raising(statement), tmp_path), exit_code=1)
    assert words in line and "Unexpected" not in line
    assert list(tmp_path.glob("two-tower-*.log")) == []


def test_the_cause_of_a_library_s_error_is_found() -> None:
    with pytest.raises(click.UsageError) as raised, one_line_errors():
        try:
            raise UsageError("the line 3 is wrong", "Correct it.")
        except UserError as error:
            raise RuntimeError("compilation failed") from error
    assert raised.value.message == "the line 3 is wrong. Correct it."


@pytest.mark.parametrize("command", ["config", "--help", "data --help"])
def test_output_to_a_full_disk_is_one_line(tmp_path: Path, command: str) -> None:
    done = subprocess.run(
        f"{sys.executable} -m pipeline {command} > /dev/full",
        shell=True,
        cwd=tmp_path,
        env=environment(),
        capture_output=True,
        text=True,
        check=False,
    )
    assert "The output cannot be written: No space" in error_line(done, exit_code=1)


def test_a_reader_that_leaves_ends_the_command_without_a_word(tmp_path: Path) -> None:
    reader, writer = os.pipe()
    os.close(reader)
    done = subprocess.run(
        [sys.executable, "-m", "pipeline", "config"],
        cwd=tmp_path,
        env=environment(),
        stdout=writer,
        stderr=subprocess.PIPE,
        check=False,
    )
    os.close(writer)
    assert (done.returncode, done.stderr) == (1, b"")


@pytest.mark.parametrize("closed", [">&-", "2>&-", "<&- >&- 2>&-"])
def test_no_file_takes_the_place_of_a_closed_stream(
    tmp_path: Path, closed: str
) -> None:
    check = (
        "import os\n"
        "from pipeline.cli.boundary import standard_streams\n"
        "with standard_streams():\n"
        "    assert open('new', 'w').fileno() > 2\n"
    )
    command = f'"{sys.executable}" -c "{check}" {closed}'
    subprocess.run(command, shell=True, cwd=tmp_path, env=environment(), check=True)


@pytest.mark.parametrize("encoding", ["ascii", "latin-1", "utf-8"])
def test_no_text_breaks_the_output_s_encoding(tmp_path: Path, encoding: str) -> None:
    code = raising(
        "from pipeline.cli.tables import print_table as p;"
        "p(['title'], [['Mis\\xe9rables \\u4e2d']])"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=tmp_path,
        env=environment(PYTHONIOENCODING=encoding),
        capture_output=True,
        check=True,
    )
    text = "Mis\xe9rables \u4e2d"
    assert text.encode(encoding, "backslashreplace") in done.stdout


def test_json_stays_json_in_every_encoding(tmp_path: Path) -> None:
    code = raising(
        "from pipeline.cli.tables import print_json as p;p('\\xe9 \\U0001f600')"
    )
    for encoding in ("ascii", "latin-1", "utf-8"):
        done = run_python(code, tmp_path, PYTHONIOENCODING=encoding)
        assert json.loads(done.stdout) == "é \U0001f600", encoding


def test_a_name_that_is_too_long_is_refused_with_the_limit(tmp_path: Path) -> None:
    for length, code in ((63, 0), (64, 2)):
        done = two_tower("config", "--set", f"name={'a' * length}", cwd=tmp_path)
        assert done.returncode == code
    assert "at most 63 characters" in error_line(done, exit_code=2)
