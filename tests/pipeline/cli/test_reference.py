from __future__ import annotations

from pipeline.cli import COMMANDS
from pipeline.cli.reference import PAGE, render


def test_the_page_is_what_the_commands_say() -> None:
    hint = "run `python -m pipeline.cli.reference`"
    assert PAGE.read_text(encoding="utf-8") == render(), hint


def test_every_command_has_a_section() -> None:
    headings = [line for line in render().splitlines() if line.startswith("## ")]
    names = {heading.removeprefix("## two-tower").strip() for heading in headings}
    assert {*COMMANDS, "", "data fetch", "schedule create"} <= names
