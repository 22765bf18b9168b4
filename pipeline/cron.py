"""Cron expressions: what they may say, in words, and the moments that they name.

The fields are minute, hour, day of month, month and day of week; with six fields, the
first is the second. If neither day field begins with `*`, a day counts that matches
either of them, and else one that matches both: the rule of Vixie's cron, from which
those of Debian, Red Hat and macOS come.

Libraries were considered: cronsim's maintained releases need Python 3.11, croniter is
beta; and neither has systemd's rule for a change of the clock.
"""

from __future__ import annotations

import datetime
import itertools
import zoneinfo
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final, Literal

from trainer.errors import UsageError

# Who follows the expression: they differ where a clock is put forward or back.
Follower = Literal["systemd", "cron"]

MONTHS: Final = "JAN FEB MAR APR MAY JUN JUL AUG SEP OCT NOV DEC".split()
WEEKDAYS: Final = "SUN MON TUE WED THU FRI SAT".split()
_SHORTHANDS: Final = {
    "@yearly": "0 0 1 1 *",
    "@annually": "0 0 1 1 *",
    "@monthly": "0 0 1 * *",
    "@weekly": "0 0 * * 0",
    "@daily": "0 0 * * *",
    "@midnight": "0 0 * * *",
    "@hourly": "0 * * * *",
}
_ANY: Final = ("*", "?")
_NUM_FIELDS: Final = 6
# The 29th of February may be eight years away.
_HORIZON_DAYS: Final = 9 * 366
_DAY: Final = datetime.timedelta(days=1)
_MINUTE: Final = datetime.timedelta(minutes=1)
_UTC: Final = datetime.timezone.utc


@dataclass(frozen=True)
class Field:
    """A field of an expression.

    Attributes:
      name: For messages.
      low: Lowest value.
      high: Highest value.
      names: Names of the values, from the lowest on.
    """

    name: str
    low: int
    high: int
    names: Sequence[str] = ()

    def values(self, text: str) -> frozenset[int] | None:
        """Returns the values that a text stands for; None if it is not valid."""
        parts = [self._part(part) for part in text.split(",")]
        if None in parts:
            return None
        return frozenset().union(*(part for part in parts if part is not None))

    def _part(self, part: str) -> range | None:
        """The values of a number, a range or `*`, with or without a step."""
        value, slash, step = part.partition("/")
        if slash and not (_is_number(step) and int(step) > 0):
            return None
        if value in _ANY:
            low, high = self.low, self.high
        else:
            bounds = [self._bound(text) for text in value.split("-", maxsplit=1)]
            # `5/15` is from 5 on.
            low, high = bounds[0], self.high if slash else bounds[0]
            if len(bounds) > 1:
                high = bounds[1]
            if not self.low <= low <= high <= self.high:
                return None
        return range(low, high + 1, int(step) if slash else 1)

    def _bound(self, text: str) -> int:
        if _is_number(text):
            return int(text)
        numbers = {name: number for number, name in enumerate(self.names, self.low)}
        return numbers.get(text.upper(), -1)


SIX_FIELDS: Final = (
    Field("second", 0, 59),
    Field("minute", 0, 59),
    Field("hour", 0, 23),
    Field("day of month", 1, 31),
    Field("month", 1, 12, MONTHS),
    Field("day of week", 0, 6, WEEKDAYS),
)
# On a local machine 7 is Sunday, too.
_LOCAL_FIELDS: Final = (*SIX_FIELDS[:-1], Field("day of week", 0, 7, WEEKDAYS))


def check_fields(
    expression: str, texts: Sequence[str], fields: Sequence[Field]
) -> list[frozenset[int]]:
    """Returns the values of each field.

    Args:
      expression: For the message.
      texts: The fields' texts.
      fields: As many fields.

    Raises:
      UsageError: A text is not valid.
    """
    found = []
    for text, field in zip(texts, fields, strict=True):
        values = field.values(text)
        if values is None:
            wrong = next(p for p in text.split(",") if field.values(p) is None)
            raise UsageError(
                f"The cron expression {expression!r} has {wrong!r} for the "
                f"{field.name}, which is from {field.low} to {field.high}",
                "Write a number, *, a range such as 1-5, a list such as 1,3 or a "
                "step such as */2.",
            )
        found.append(values)
    return found


@dataclass(frozen=True)
class Cron:
    """An expression, read.

    Attributes:
      texts: The six fields as they were written, `0` for seconds that were not.
      values: What each of them stands for; of weekdays, Sunday is 0.
    """

    texts: tuple[str, ...]
    values: tuple[frozenset[int], ...]

    @classmethod
    def parse(cls, expression: str) -> Cron:
        """Reads five fields, six fields, or a word such as `@daily`.

        Raises:
          UsageError: It is neither, or a field is not valid, or no day ever matches.
        """
        texts = _SHORTHANDS.get(expression.strip().lower(), expression).split()
        if len(texts) == _NUM_FIELDS - 1:
            texts = ["0", *texts]
        if len(texts) != _NUM_FIELDS:
            raise UsageError(
                f"The cron expression {expression!r} has {len(texts)} fields, neither "
                "five nor six",
                "Write minute, hour, day of month, month and day of week, such as "
                "'0 3 * * *', or a word of "
                f"{', '.join(sorted(_SHORTHANDS))}.",
            )
        *rest, weekdays = check_fields(expression, texts, _LOCAL_FIELDS)
        values = (*rest, frozenset(day % 7 for day in weekdays))
        cron = cls(tuple(texts), values)
        if cron.next_day(datetime.date.today()) is None:
            raise UsageError(
                f"The cron expression {expression!r} names a day that never comes",
                "No month that it names has that day.",
            )
        return cron

    @property
    def either_day(self) -> bool:
        """Whether a day counts that matches one of the two day fields."""
        return not any(self.texts[i].startswith(_ANY) for i in (3, 5))

    def matches(self, day: datetime.date) -> bool:
        """Returns whether the expression names a day."""
        _, _, _, days, months, weekdays = self.values
        if day.month not in months:
            return False
        matches = (day.day in days, day.isoweekday() % 7 in weekdays)
        return any(matches) if self.either_day else all(matches)

    def next_day(self, day: datetime.date) -> datetime.date | None:
        """Returns the next day that it names, from a day on; None if there is none."""
        days = (day + _DAY * offset for offset in range(_HORIZON_DAYS))
        return next(filter(self.matches, days), None)

    def ticks(
        self, after: datetime.datetime, zone: zoneinfo.ZoneInfo, follower: Follower
    ) -> Iterator[datetime.datetime]:
        """Yields the moments after another, in order, as UTC.

        Args:
          after: With a time zone; the moment itself is not yielded.
          zone: Whose clock the expression means.
          follower: Who follows the expression.
        """
        day: datetime.date | None = after.astimezone(zone).date() - _DAY
        while day is not None and (day := self.next_day(day)) is not None:
            moments = self._moments(day, zone, follower)
            yield from (moment for moment in moments if moment > after)
            day += _DAY

    def newest_tick(
        self, until: datetime.datetime, zone: zoneinfo.ZoneInfo, follower: Follower
    ) -> datetime.datetime | None:
        """Returns the last moment that is not after another, in UTC, or None."""
        day = until.astimezone(zone).date() + _DAY
        for _ in range(_HORIZON_DAYS):
            if self.matches(day):
                moments = self._moments(day, zone, follower)
                if past := [moment for moment in moments if moment <= until]:
                    return past[-1]
            day -= _DAY
        return None

    def gaps(
        self, day: datetime.date, zone: zoneinfo.ZoneInfo
    ) -> list[datetime.datetime]:
        """Returns the times of a day that its clock skips, without time zone."""
        return [wall for wall in self._walls(day) if _is_skipped(wall, zone)]

    def _walls(self, day: datetime.date) -> Iterator[datetime.datetime]:
        seconds, minutes, hours = map(sorted, self.values[:3])
        for hour, minute, second in itertools.product(hours, minutes, seconds):
            yield datetime.datetime(
                *(day.year, day.month, day.day, hour, minute, second)
            )

    def _moments(
        self, day: datetime.date, zone: zoneinfo.ZoneInfo, follower: Follower
    ) -> list[datetime.datetime]:
        """The moments of a day that the expression names.

        systemd skips a time that the clock skips, and takes the first of two. So does
        cron, but makes up for a skipped time at once; unless minute or hour begins
        with `*`: then it follows the clock (crontab(5) of Debian).
        """
        is_cron = follower == "cron"
        follows_clock = any(self.texts[i].startswith(_ANY) for i in (1, 2))
        found = set()
        for wall in self._walls(day):
            first, second = (
                wall.replace(tzinfo=zone, fold=fold).astimezone(_UTC) for fold in (0, 1)
            )
            if not _is_skipped(wall, zone):
                found |= {first, second} if is_cron and follows_clock else {first}
            elif is_cron and not follows_clock:
                found.add(_end_of_gap(second, zone))
        return sorted(found)


def _is_number(text: str) -> bool:
    return text.isascii() and text.isdigit()


def _is_skipped(wall: datetime.datetime, zone: zoneinfo.ZoneInfo) -> bool:
    back = wall.replace(tzinfo=zone).astimezone(_UTC).astimezone(zone)
    return back.replace(tzinfo=None) != wall


def _end_of_gap(
    before: datetime.datetime, zone: zoneinfo.ZoneInfo
) -> datetime.datetime:
    """The first full minute with the new offset, from a moment with the old one on."""
    moment = before.replace(second=0)
    offset = before.astimezone(zone).utcoffset()
    while moment.astimezone(zone).utcoffset() == offset:
        moment += _MINUTE
    return moment


def describe(texts: Sequence[str], *, either_day: bool = True) -> str:
    """Describes an expression in words.

    Args:
      texts: Its six fields.
      either_day: Whether a day that matches one of the two day fields counts.
    """
    second, minute, hour, day, month, weekday = texts
    days = []
    if weekday not in _ANY:
        days.append(f"on {_with_names(weekday, [*WEEKDAYS, WEEKDAYS[0]], 0)}")
    if day not in _ANY:
        days.append(f"on day {day} of the month")
    link = " or " if either_day else " and "
    words = [_describe_time(second, minute, hour), link.join(days) or "every day"]
    if month not in _ANY:
        words.append(f"in {_with_names(month, MONTHS, 1)}")
    return " ".join(words)


def _describe_time(second: str, minute: str, hour: str) -> str:
    if all(map(_is_number, (second, minute, hour))):
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


def _with_names(text: str, names: Sequence[str], low: int) -> str:
    def name(part: str) -> str:
        value, slash, step = part.partition("/")
        known = names[int(value) - low] if _is_number(value) else value
        return f"{known.title()}{slash}{step}"

    return ",".join("-".join(map(name, part.split("-"))) for part in text.split(","))
