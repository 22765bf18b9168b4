"""How tables name the data of a run."""

from __future__ import annotations

import pytest

from pipeline.cli.data_cell import data_cell


@pytest.mark.parametrize(
    ("spans", "shown"),
    [
        ([0], "ml-csv"),
        ([3, 4, 7], "ml-csv, spans 3 to 7"),
        ([20506, 20513], "ml-csv, spans 2026-02-22 to 2026-03-01"),
    ],
)
def test_spans_of_days_are_dates(spans: list[int], shown: str) -> None:
    assert data_cell("ml-csv", spans) == shown


def test_unknown_data_is_a_dash() -> None:
    assert data_cell(None, []) == "-"
