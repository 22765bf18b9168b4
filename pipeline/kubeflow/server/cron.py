"""Six-field cron expressions as Kubeflow Pipelines reads them, and in words.

The fields are second, minute, hour, day of month, month and day of week. A server takes
five fields too and shifts them: `0 3 * * *`, three in the morning to everybody else,
runs every hour at three minutes past.
"""

from __future__ import annotations

from typing import Final

from trainer.errors import UsageError

_FIELDS: Final = (
    ("second", 0, 59),
    ("minute", 0, 59),
    ("hour", 0, 23),
    ("day of month", 1, 31),
    ("month", 1, 12),
    ("day of week", 0, 6),
)
_MONTHS: Final = (
    *("JAN", "FEB", "MAR", "APR", "MAY", "JUN"),
    *("JUL", "AUG", "SEP", "OCT", "NOV", "DEC"),
)
_DAYS: Final = ("SUN", "MON", "TUE", "WED", "THU", "FRI", "SAT")
_NAMES: Final = {
    "month": {name: number for number, name in enumerate(_MONTHS, 1)},
    "day of week": {name: number for number, name in enumerate(_DAYS)},
}


def check(expression: str) -> str:
    """Checks an expression; returns it with single blanks.

    Raises:
      UsageError: It has not six fields, or one is out of its range.
    """
    fields = expression.split()
    if len(fields) == len(_FIELDS) - 1:
        raise UsageError(
            f"The cron expression {expression!r} has five fields, and Kubeflow would "
            "take the first for seconds",
            f"Write '0 {' '.join(fields)}' for what cron means by it.",
        )
    if len(fields) != len(_FIELDS):
        raise UsageError(
            f"The cron expression {expression!r} has {len(fields)} fields, not six",
            "Write second, minute, hour, day of month, month and day of week, such as "
            "'0 0 3 * * *'.",
        )
    for text, (name, low, high) in zip(fields, _FIELDS, strict=True):
        for part in text.split(","):
            _check_part(part, name, low, high, expression)
    return " ".join(fields)


def _check_part(part: str, name: str, low: int, high: int, expression: str) -> None:
    span, slash, step = part.partition("/")
    first, dash, last = span.partition("-")
    bounds = [_number(text, name) for text in ([first, last] if dash else [first])]
    anything = span in ("*", "?")
    in_range = all(value is not None and low <= value <= high for value in bounds)
    ordered = len(bounds) == 1 or None in bounds or bounds[0] <= bounds[1]  # type: ignore[operator]
    steps = not slash or (step.isdigit() and int(step) > 0)
    if not (anything or (in_range and ordered)) or not steps:
        raise UsageError(
            f"The cron expression {expression!r} has {part!r} for the {name}, which is "
            f"from {low} to {high}",
            "Write a number, *, a range such as 1-5, a list such as 1,3 or a step such "
            "as */2.",
        )


def _number(text: str, name: str) -> int | None:
    if text.isdigit():
        return int(text)
    return _NAMES.get(name, {}).get(text.upper())


def in_words(expression: str) -> str:
    """An expression as a person would say it.

    Args:
      expression: One that `check` returned.
    """
    second, minute, hour, day, month, weekday = expression.split()
    words = [_time(second, minute, hour)]
    days = []
    if weekday not in ("*", "?"):
        days.append(f"on {_named(weekday, _DAYS, 0)}")
    if day not in ("*", "?"):
        days.append(f"on day {day} of the month")
    # As cron has it: a day that fits either of the two is taken.
    words.append(" or ".join(days) if days else "every day")
    if month not in ("*", "?"):
        words.append(f"in {_named(month, _MONTHS, 1)}")
    return " ".join(words)


def _time(second: str, minute: str, hour: str) -> str:
    if all(text.isdigit() for text in (second, minute, hour)):
        return f"at {int(hour):02d}:{int(minute):02d}:{int(second):02d}"
    parts = []
    for text, unit in ((second, "second"), (minute, "minute"), (hour, "hour")):
        if text in ("*", "?"):
            parts.append(f"every {unit}")
        elif text.startswith("*/"):
            parts.append(f"every {text[2:]} {unit}s")
        elif text != "0" or unit != "second":
            parts.append(f"at {unit} {text}")
    return " ".join(parts)


def _named(text: str, names: tuple[str, ...], first: int) -> str:
    def name(part: str) -> str:
        return names[int(part) - first].title() if part.isdigit() else part.title()

    return ",".join("-".join(map(name, part.split("-"))) for part in text.split(","))
