"""Six-field cron expressions as Kubeflow Pipelines reads them, and in words.

The fields are second, minute, hour, day of month, month and day of week. A server also
accepts five fields, and shifts them: `0 3 * * *`, at three in the morning for every
other cron, runs hourly at three minutes past.
"""

from __future__ import annotations

from typing import Final

from trainer.errors import UsageError

_MONTHS: Final = "JAN FEB MAR APR MAY JUN JUL AUG SEP OCT NOV DEC".split()
_DAYS: Final = "SUN MON TUE WED THU FRI SAT".split()
# Field -> lowest and highest value, and the names from the lowest on.
_FIELDS: Final[dict[str, tuple[int, int, list[str]]]] = {
    "second": (0, 59, []),
    "minute": (0, 59, []),
    "hour": (0, 23, []),
    "day of month": (1, 31, []),
    "month": (1, 12, _MONTHS),
    "day of week": (0, 6, _DAYS),
}
_ANY: Final = ("*", "?")


def check(expression: str) -> str:
    """Checks an expression; returns it with single blanks.

    Raises:
      UsageError: It does not have six fields, or a field is out of range.
    """
    values = expression.split()
    if len(values) == len(_FIELDS) - 1:
        raise UsageError(
            f"The cron expression {expression!r} has five fields, and Kubeflow would "
            "read the first as seconds",
            f"Write '0 {' '.join(values)}' for what cron means by it.",
        )
    if len(values) != len(_FIELDS):
        raise UsageError(
            f"The cron expression {expression!r} has {len(values)} fields, not six",
            "Write second, minute, hour, day of month, month and day of week, such as "
            "'0 0 3 * * *'.",
        )
    for value, (name, (low, high, names)) in zip(values, _FIELDS.items(), strict=True):
        for part in value.split(","):
            if not _is_valid(part, low, high, names):
                raise UsageError(
                    f"The cron expression {expression!r} has {part!r} for the {name}, "
                    f"which is from {low} to {high}",
                    "Write a number, *, a range such as 1-5, a list such as 1,3 or a "
                    "step such as */2.",
                )
    return " ".join(values)


def _is_valid(part: str, low: int, high: int, names: list[str]) -> bool:
    """Whether a field's part is a value, a range or `*`, with or without a step."""
    value, slash, step = part.partition("/")
    if slash and not (step.isdigit() and int(step) > 0):
        return False
    if value in _ANY:
        return True
    numbers = {name: number for number, name in enumerate(names, low)}
    bounds = [
        int(text) if text.isdigit() else numbers.get(text.upper(), -1)
        for text in value.split("-", maxsplit=1)
    ]
    return all(low <= bound <= high for bound in bounds) and bounds == sorted(bounds)


def describe(expression: str) -> str:
    """Describes an expression in words.

    Args:
      expression: As returned by `check`.
    """
    second, minute, hour, day, month, weekday = expression.split()
    days = []
    if weekday not in _ANY:
        days.append(f"on {_with_names(weekday, _DAYS, 0)}")
    if day not in _ANY:
        days.append(f"on day {day} of the month")
    # A day that matches either of the two fields counts, as in every cron.
    words = [_describe_time(second, minute, hour), " or ".join(days) or "every day"]
    if month not in _ANY:
        words.append(f"in {_with_names(month, _MONTHS, 1)}")
    return " ".join(words)


def _describe_time(second: str, minute: str, hour: str) -> str:
    if all(text.isdigit() for text in (second, minute, hour)):
        return f"at {int(hour):02d}:{int(minute):02d}:{int(second):02d}"
    parts = []
    for text, unit in ((second, "second"), (minute, "minute"), (hour, "hour")):
        if text in _ANY:
            parts.append(f"every {unit}")
        elif text.startswith("*/"):
            parts.append(f"every {text[2:]} {unit}s")
        elif text != "0" or unit != "second":
            parts.append(f"at {unit} {text}")
    return " ".join(parts)


def _with_names(text: str, names: list[str], low: int) -> str:
    def name(part: str) -> str:
        return (names[int(part) - low] if part.isdigit() else part).title()

    return ",".join("-".join(map(name, part.split("-"))) for part in text.split(","))
