"""Cron expressions of a local schedule: their ticks, also where the clock changes."""

from __future__ import annotations

import datetime
import itertools
import re
import shutil
import subprocess
import zoneinfo

import pytest

from pipeline.cron import Cron, Follower, describe
from pipeline.local.schedule.systemd_timer import calendars
from trainer.errors import UsageError

BERLIN = zoneinfo.ZoneInfo("Europe/Berlin")
UTC = datetime.timezone.utc


def ticks(
    expression: str,
    after: str,
    count: int,
    *,
    follower: Follower = "systemd",
    zone: zoneinfo.ZoneInfo = BERLIN,
) -> list[str]:
    """Moments in the zone, after one that is UTC."""
    start = datetime.datetime.fromisoformat(after).replace(tzinfo=UTC)
    found = Cron.parse(expression).ticks(start, zone, follower)
    return [
        tick.astimezone(zone).strftime("%m-%d %H:%M %z")
        for tick in itertools.islice(found, count)
    ]


@pytest.mark.parametrize(
    ("expression", "words"),
    [
        ("0 3 * * *", "at 03:00:00 every day"),
        ("@daily", "at 00:00:00 every day"),
        ("30 0 3 * * *", "at 03:00:30 every day"),
        ("0 3 * * 7", "at 03:00:00 on Sun"),
        ("0 3 * * mon-fri", "at 03:00:00 on Mon-Fri"),
        ("0 3 1 * MON", "at 03:00:00 on Mon or on day 1 of the month"),
        ("0 3 */2 * MON", "at 03:00:00 on Mon and on day */2 of the month"),
    ],
)
def test_expressions_in_words(expression: str, words: str) -> None:
    cron = Cron.parse(expression)
    assert describe(cron.texts, either_day=cron.either_day) == words


@pytest.mark.parametrize(
    ("expression", "message"),
    [
        ("0 3 * *", "has 4 fields, neither five nor six"),
        ("@reboot", "has 1 fields"),
        ("60 3 * * *", "'60' for the minute, which is from 0 to 59"),
        ("0 3 * * 8", "'8' for the day of week"),
        ("0 3 L * *", "'L' for the day of month"),
        ("0 3 30 2 *", "a day that never comes"),
        ("0 3 ² * *", "'²' for the day of month"),
    ],
)
def test_invalid_expressions_are_rejected(expression: str, message: str) -> None:
    with pytest.raises(UsageError, match=re.escape(message)):
        Cron.parse(expression)


def test_a_day_matches_either_field_of_days_or_both_if_one_begins_with_a_star() -> None:
    # The 1st of June 2026 is a Monday.
    either = ticks("0 3 3 * MON", "2026-06-01T00:00", 3)
    assert [tick[:5] for tick in either] == ["06-01", "06-03", "06-08"]
    both = ticks("0 3 */2 * MON", "2026-06-01T00:00", 3)
    assert [tick[:5] for tick in both] == ["06-01", "06-15", "06-29"]


def test_systemd_skips_a_time_that_the_clock_skips_and_takes_the_first_of_two() -> None:
    assert ticks("30 2 * * *", "2026-03-28T00:00", 2) == [
        "03-28 02:30 +0100",
        "03-30 02:30 +0200",
    ]
    assert ticks("30 * * * *", "2026-10-24T23:00", 3) == [
        "10-25 01:30 +0200",
        "10-25 02:30 +0200",
        "10-25 03:30 +0100",
    ]


def test_cron_makes_up_for_a_skipped_time_and_does_not_repeat_a_fixed_one() -> None:
    assert ticks("30 2 * * *", "2026-03-28T12:00", 2, follower="cron") == [
        "03-29 03:00 +0200",
        "03-30 02:30 +0200",
    ]
    assert ticks("30 2 * * *", "2026-10-24T12:00", 2, follower="cron") == [
        "10-25 02:30 +0200",
        "10-26 02:30 +0100",
    ]
    # What names no time follows the clock.
    assert ticks("30 * * * *", "2026-10-24T23:45", 3, follower="cron") == [
        "10-25 02:30 +0200",
        "10-25 02:30 +0100",
        "10-25 03:30 +0100",
    ]


def test_the_newest_tick_is_the_last_one_that_is_past() -> None:
    cron = Cron.parse("0 3 * * *")
    three = datetime.datetime(2026, 6, 2, 1, tzinfo=UTC)  # in Berlin
    second = datetime.timedelta(seconds=1)
    assert cron.newest_tick(three, BERLIN, "systemd") == three
    day_before = three - datetime.timedelta(days=1)
    assert cron.newest_tick(three - second, BERLIN, "systemd") == day_before
    # Of a schedule for leap years.
    leap = Cron.parse("0 3 29 2 *").newest_tick(three, BERLIN, "systemd")
    assert leap == datetime.datetime(2024, 2, 29, 2, tzinfo=UTC)


@pytest.mark.skipif(
    shutil.which("systemd-analyze") is None, reason="systemd-analyze is not installed"
)
@pytest.mark.parametrize("start", ["2026-03-28 20:00:00", "2026-10-24 21:00:00"])
@pytest.mark.parametrize(
    "expression",
    [
        "30 2 * * *",
        "*/20 1-3 * * *",
        "0 3 1,15 * MON",
        "0 3 */2 * MON",
        "15 30 2 29 2 ?",
        "0 4 * JAN-MAR,11 6-7",
        "@weekly",
    ],
)
def test_systemd_reads_the_calendars_as_we_do(expression: str, start: str) -> None:
    cron = Cron.parse(expression)
    after = datetime.datetime.fromisoformat(start).replace(tzinfo=UTC)
    expected = list(itertools.islice(cron.ticks(after, BERLIN, "systemd"), 5))
    found = set()
    for calendar in calendars(cron, "Europe/Berlin"):
        done = subprocess.run(
            [
                *("systemd-analyze", "calendar", "--iterations=5"),
                *(f"--base-time={start} UTC", calendar),
            ],
            env={"TZ": "UTC", "LC_ALL": "C", "PATH": "/usr/bin:/bin"},
            capture_output=True,
            text=True,
            check=True,
        )
        moments = re.findall(r"\w{3} (\d{4}-\d\d-\d\d \d\d:\d\d:\d\d) UTC", done.stdout)
        found |= {
            datetime.datetime.fromisoformat(m).replace(tzinfo=UTC) for m in moments
        }
    assert sorted(found)[:5] == expected
