from __future__ import annotations

import pytest
from rich.console import Console

from pipeline.cli.tables import print_table


def test_a_row_in_a_pipe_is_one_line_without_decoration(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "20")
    long = "long " * 100 + "[end]"
    print_table(("name", "size>"), [(long, "7"), ("b", "1,234")])
    header, first, second = capsys.readouterr().out.splitlines()
    assert header.split() == ["name", "size"]
    assert first.split() == [*long.split(), "7"]
    assert second.startswith("b ") and second.rstrip().endswith(" 1,234")


def test_a_narrow_terminal_wraps_and_does_not_truncate(
    capsys: pytest.CaptureFixture[str],
) -> None:
    console = Console(force_terminal=True, width=12, color_system=None)
    print_table(("name", "n>"), [("x" * 30, "1")], console=console)
    assert capsys.readouterr().out.count("x") == 30
