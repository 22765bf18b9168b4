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


@pytest.mark.parametrize("width", [1, 20, 59, 60, 80])
def test_no_column_vanishes_on_a_narrow_terminal(
    capsys: pytest.CaptureFixture[str], width: int
) -> None:
    console = Console(force_terminal=True, width=width, color_system=None)
    names = [f"column{i}" for i in range(10)]
    print_table(names, [[f"value{i}" for i in range(10)]], console=console)
    shown = "".join(capsys.readouterr().out.split())
    # Either whole words, or words that go on in the next line.
    assert all(shown.count(letter) >= 10 for letter in "cv")
    if width < 60:
        assert all(f"value{i}" in shown for i in range(10))
