"""Cron with six fields: what is refused, and what it means in words."""

from __future__ import annotations

import pytest

from pipeline.kubeflow.server import cron
from trainer.errors import UsageError


@pytest.mark.parametrize(
    ("expression", "words"),
    [
        ("0 0 3 * * *", "at 03:00:00 every day"),
        ("0 30 4 * * MON", "at 04:30:00 on Mon"),
        ("0 30 4 * * 1-5", "at 04:30:00 on Mon-Fri"),
        ("0 0 0 1 JAN,7 ?", "at 00:00:00 on day 1 of the month in Jan,Jul"),
        ("0 0 2 1 * 0", "at 02:00:00 on Sun or on day 1 of the month"),
        ("0 */15 * * * *", "every 15 minutes every hour every day"),
        ("0 3 * * * *", "at minute 3 every hour every day"),
    ],
)
def test_describe(expression: str, words: str) -> None:
    assert cron.describe(cron.check(f"  {expression} ")) == words


def test_five_fields_would_be_shifted() -> None:
    with pytest.raises(UsageError, match=r"five fields.*Write '0 0 3 \* \* \*'"):
        cron.check("0 3 * * *")


@pytest.mark.parametrize(
    ("expression", "message"),
    [
        ("", "has 0 fields"),
        ("* * * * * * *", "has 7 fields"),
        ("60 0 3 * * *", "'60' for the second, which is from 0 to 59"),
        ("0 0 24 * * *", "'24' for the hour"),
        ("0 0 3 0 * *", "'0' for the day of month"),
        ("0 0 3 * 13 *", "'13' for the month"),
        ("0 0 3 * * 7", "'7' for the day of week"),
        ("0 0 3 * * MOO", "'MOO' for the day of week"),
        ("0 0 5-3 * * *", "'5-3' for the hour"),
        ("0 0 */0 * * *", "'\\*/0' for the hour"),
        ("0 0 3, * * *", "'' for the hour"),
        ("0 0 -3 * * *", "'-3' for the hour"),
    ],
)
def test_invalid_expressions_are_rejected(expression: str, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        cron.check(expression)
