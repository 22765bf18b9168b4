from __future__ import annotations

import subprocess
import sys

from pipeline.cli import COMMANDS
from pipeline.cli.reference import PAGE, render


def test_the_page_is_what_the_commands_say() -> None:
    """In a new process: click caches the help option of a command run by a test."""
    code = "from pipeline.cli.reference import render; print(render(), end='')"
    command = [sys.executable, "-c", code]
    rendered = subprocess.run(command, capture_output=True, text=True, check=True)
    hint = "run `python -m pipeline.cli.reference`"
    assert PAGE.read_text(encoding="utf-8") == rendered.stdout, hint


def test_every_command_has_a_section() -> None:
    headings = [line for line in render().splitlines() if line.startswith("## ")]
    names = {heading.removeprefix("## two-tower").strip() for heading in headings}
    assert {*COMMANDS, "", "data fetch", "schedule create"} <= names
