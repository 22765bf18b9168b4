"""The span `yesterday` is counted from the run's own day, whenever its steps run."""

from __future__ import annotations

import datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.kubeflow import run_day
from trainer.errors import UsageError, UserError

UTC = datetime.timezone.utc


def read(span: str, run_time: str | None) -> str:
    values = {"range_config": span, "input_base": "/data"}
    if run_time is not None:
        values[run_day.RUN_TIME] = run_time
    inputs: dict[str, Any] = {"parameterValues": values}
    run_day.resolve(inputs)
    # TFX does not know this input.
    assert set(values) == {"range_config", "input_base"}
    return values["range_config"]


@pytest.mark.parametrize(
    ("span", "run_time", "expected"),
    [
        ("yesterday", "2026-03-02T23:59:59Z", "2026-03-01"),
        ("yesterday", "2026-03-03T00:00:01Z", "2026-03-02"),
        ("yesterday", "2026-03-01T03:00:00.123456+00:00", "2026-02-28"),
        ("yesterday", "2026-03-03T01:30:00+02:00", "2026-03-01"),
        ("today", "2026-03-02T23:30:00Z", "2026-03-02"),
        ("today@Europe/Berlin", "2026-03-02T23:30:00Z", "2026-03-03"),
        ("yesterday@Asia/Tokyo", "2026-03-02T15:00:00Z", "2026-03-02"),
        ("yesterday@America/New_York", "2026-03-02T03:00:00Z", "2026-02-28"),
        ("today-3", "2026-03-02T12:00:00Z", "2026-02-27"),
    ],
)
def test_the_day_is_that_of_the_run(span: str, run_time: str, expected: str) -> None:
    """kfp#3704: the clock of the container plays no part."""
    assert read(span, run_time) == expected


@pytest.mark.parametrize("span", ["latest", "12", "2026-03-01", ""])
@pytest.mark.parametrize("run_time", [None, "", "2026-03-02T12:00:00Z"])
def test_other_spans_need_no_day(span: str, run_time: str | None) -> None:
    assert read(span, run_time) == span


@pytest.mark.parametrize(
    "run_time",
    [
        None,
        "",
        "{{$.pipeline_job_schedule_time_utc}}",
        "2026-03-02T12:00:00",
        "2026-03-02",
        "0001-01-01T00:00:00+14:00",
        "now",
    ],
)
def test_without_the_time_of_the_run_no_day_is_guessed(
    run_time: str | None,
) -> None:
    with pytest.raises(UserError, match="does not say when the run was.*2.17"):
        read("yesterday", run_time)


@given(st.datetimes(timezones=st.timezones()), st.integers(0, 400))
def test_a_relative_span_is_a_day_of_its_zone(
    moment: datetime.datetime, days: int
) -> None:
    moment = moment.replace(year=2026, month=5)
    zone = str(moment.tzinfo)
    expected = moment.date() - datetime.timedelta(days=days)
    assert run_day.fixed(f"today-{days}@{zone}", moment) == expected.isoformat()


@pytest.mark.parametrize("zone", ["", "Mars/Olympus", "../x", "/etc/passwd", "Europe"])
def test_an_unknown_time_zone_is_named(zone: str) -> None:
    with pytest.raises(UsageError, match="There is no time zone"):
        run_day.in_zone("yesterday", zone)
    assert run_day.in_zone("yesterday", "UTC") == "yesterday"
    assert run_day.in_zone("today", "Asia/Tokyo") == "today@Asia/Tokyo"
