"""Six-field cron expressions as Kubeflow Pipelines reads them.

A server also accepts five fields, and shifts them: `0 3 * * *`, at three in the morning
for every other cron, runs hourly at three minutes past.
"""

from __future__ import annotations

from pipeline import cron
from trainer.errors import UsageError


def check(expression: str) -> str:
    """Checks an expression; returns it with single blanks.

    Raises:
      UsageError: It does not have six fields, or a field is out of range.
    """
    values = expression.split()
    if len(values) == len(cron.SIX_FIELDS) - 1:
        raise UsageError(
            f"The cron expression {expression!r} has five fields, and Kubeflow would "
            "read the first as seconds",
            f"Write '0 {' '.join(values)}' for what cron means by it.",
        )
    if len(values) != len(cron.SIX_FIELDS):
        raise UsageError(
            f"The cron expression {expression!r} has {len(values)} fields, not six",
            "Write second, minute, hour, day of month, month and day of week, such as "
            "'0 0 3 * * *'.",
        )
    cron.check_fields(expression, values, cron.SIX_FIELDS)
    return " ".join(values)


def describe(expression: str) -> str:
    """Describes an expression in words.

    Args:
      expression: As returned by `check`.
    """
    return cron.describe(expression.split())
