"""`two-tower retrain`: what its options mean."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from pipeline.cli.retrain import retrain
from pipeline.retraining.outcome_log import read_outcomes
from tests.fixtures.movielens_files import write_csv
from trainer.errors import UsageError, UserError


@pytest.fixture(autouse=True)
def signals() -> Iterator[None]:
    before = {n: signal.getsignal(n) for n in (signal.SIGTERM, signal.SIGHUP)}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


def call(folder: Path, *arguments: str) -> Result:
    write_csv(folder / "data" / "2026-01-01", [(1, 1, 4.0, 100)])
    options = ["--data-dir", str(folder / "data"), "-w", str(folder / "ws")]
    return CliRunner().invoke(retrain, [*options, *arguments])


@pytest.mark.parametrize(
    ("date", "zone", "day"),
    [
        ("yesterday", "UTC", "2026-03-08"),
        ("yesterday", "Asia/Tokyo", "2026-03-09"),
        ("today-3", "UTC", "2026-03-06"),
        ("2026-02-01", "UTC", "2026-02-01"),
    ],
)
def test_a_day_is_counted_from_the_moment_of_the_schedule(
    tmp_path: Path, date: str, zone: str, day: str
) -> None:
    tick = ("--scheduled-at", "2026-03-09T23:30:00Z", "--time-zone", zone)
    done = call(tmp_path, "--date", date, *tick)
    assert isinstance(done.exception, UserError)
    assert f"{day} is missing" in str(done.exception)
    assert read_outcomes(tmp_path / "ws")[0].span == day


@pytest.mark.parametrize(
    ("arguments", "cause"),
    [
        (("--span", "1", "--date", "today"), "--span and --date name two spans"),
        (("--newest", "--date", "today"), "--date and --newest name two spans"),
        (("--date", "2026-02-30"), "--date 2026-02-30 is not a day"),
        (("--date", "tomorrow"), "--date tomorrow is not a day"),
        (("--scheduled-at", "2026-03-09T23:30:00"), "moment with a time zone"),
        (("--date", "today", "--time-zone", "Mars/Sea"), "no time zone 'Mars/Sea'"),
        (("--wait", "nan"), "not a number of seconds"),
    ],
)
def test_a_wrong_option_is_named(
    tmp_path: Path, arguments: tuple[str, ...], cause: str
) -> None:
    done = call(tmp_path, *arguments)
    assert isinstance(done.exception, UsageError)
    assert cause in str(done.exception)
    assert not (tmp_path / "ws").exists()
