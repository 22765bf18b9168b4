"""The span that a run names."""

from __future__ import annotations

import datetime

import pytest

from components.movielens_example_gen.parameters import Parameters, last_span, to_json
from pipeline.config import DataConfig
from trainer.errors import UserError

TODAY = datetime.date(2026, 3, 1)


@pytest.mark.parametrize(
    ("span", "expected"),
    [
        ("12", "12"),
        ("2026-02-28", "2026-02-28"),
        ("latest", None),
        ("today", "2026-03-01"),
        ("yesterday", "2026-02-28"),
        ("today-3", "2026-02-26"),
        ("yesterday-1", "2026-02-27"),
    ],
)
def test_spans_as_a_run_names_them(span: str, expected: str | None) -> None:
    assert last_span(span, TODAY) == expected


@pytest.mark.parametrize("span", ["2026-02-30", "tomorrow", "-1", "1.5"])
def test_other_spans_are_refused(span: str) -> None:
    with pytest.raises(UserError, match="neither a number nor a date"):
        last_span(span, TODAY)


def test_a_macro_that_the_server_left_as_it_was_is_named() -> None:
    with pytest.raises(UserError, match="does not expand such macros"):
        last_span("[[ScheduledTime.2006-01-02]]", TODAY)


def test_bounds_of_the_gate_make_no_new_rows() -> None:
    """What the rows do not depend on is not part of their cache key."""
    bounds = DataConfig(min_rows={}, max_drift={"age": 0.2}, max_skew={}, ingest="beam")
    same, other = (
        to_json(Parameters(config, "content"))
        for config in (bounds, DataConfig(holdout=2))
    )
    assert same == to_json(Parameters(DataConfig(), "content")) != other
