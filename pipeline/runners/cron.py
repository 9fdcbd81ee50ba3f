"""Kubeflow's cron expressions, read before the server does.

Its scheduler is robfig/cron version 1, six fields with seconds first. Given the five fields of a
crontab it does not complain but takes the minute for the second, so five are completed here.
"""

import calendar
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta

from ...components.errors import UserError

_MONTHS = {name.lower(): i for i, name in enumerate(calendar.month_abbr) if name}
_DAYS = {name: i for i, name in enumerate(("sun", "mon", "tue", "wed", "thu", "fri", "sat"))}
_FIELDS: tuple[tuple[str, int, int, dict[str, int]], ...] = (
    ("second", 0, 59, {}),
    ("minute", 0, 59, {}),
    ("hour", 0, 23, {}),
    ("day of month", 1, 31, {}),
    ("month", 1, 12, _MONTHS),
    ("day of week", 0, 6, _DAYS),
)
_NAMED = {
    "@yearly": "0 0 0 1 1 *",
    "@annually": "0 0 0 1 1 *",
    "@monthly": "0 0 0 1 * *",
    "@weekly": "0 0 0 * * 0",
    "@daily": "0 0 0 * * *",
    "@midnight": "0 0 0 * * *",
    "@hourly": "0 0 * * * *",
}
_HORIZON_DAYS = 366 * 8 + 2
"""No date stays away for longer: eight years lie around a century without a leap day."""


@dataclass(frozen=True)
class Cron:
    """A checked expression; `text` has the six fields that Kubeflow takes."""

    text: str
    given: str
    seconds: tuple[int, ...]
    minutes: tuple[int, ...]
    hours: tuple[int, ...]
    days: frozenset[int]
    months: frozenset[int]
    weekdays: frozenset[int]
    any_day: bool
    """One of the two day fields is a star: both must hold. Else one of them is enough."""

    def fires_on(self, day: date) -> bool:
        """Whether the schedule has a time on `day`."""
        if day.month not in self.months:
            return False
        of_month, of_week = day.day in self.days, day.isoweekday() % 7 in self.weekdays
        return (of_month and of_week) if self.any_day else (of_month or of_week)

    def next_times(self, after: datetime, count: int) -> list[datetime]:
        """The first `count` times later than `after`; fewer where the schedule has no more."""
        found: list[datetime] = []
        for offset in range(_HORIZON_DAYS):
            day = after.date() + timedelta(days=offset)
            if not self.fires_on(day):
                continue
            for hour in self.hours:
                for minute in self.minutes:
                    for second in self.seconds:
                        at = datetime.combine(day, time(hour, minute, second), after.tzinfo)
                        if at > after:
                            found.append(at)
                        if len(found) == count:
                            return found
        return found


def parse_cron(given: str) -> Cron:
    """Reads an expression of five fields (crontab), six (seconds first) or a name like `@daily`.

    Raises:
      UserError: where it is none of these, a field is out of range, or it can never fire.
    """
    text = " ".join(given.split())
    if text.startswith("@"):
        if text.lower() not in _NAMED:
            raise UserError(f"--cron: found {given!r}; known names: {', '.join(_NAMED)}")
        text = _NAMED[text.lower()]
    parts = text.split(" ")
    if len(parts) == 5:
        parts = ["0", *parts]
    if len(parts) != 6:
        raise UserError(
            f"--cron: found {len([p for p in parts if p])} fields in {given!r}; expected 6 (second "
            "minute hour day-of-month month day-of-week) or the 5 of a crontab"
        )
    seconds, minutes, hours, days, months, weekdays = (
        _values(part, *field, given) for part, field in zip(parts, _FIELDS, strict=True)
    )
    cron = Cron(
        " ".join(parts),
        given,
        tuple(sorted(seconds)),
        tuple(sorted(minutes)),
        tuple(sorted(hours)),
        frozenset(days),
        frozenset(months),
        frozenset(weekdays),
        any_day=any(part[0] in "*?" for part in (parts[3], parts[5])),
    )
    if not cron.next_times(datetime(2000, 1, 1), 1):
        raise UserError(f"--cron: {given!r} never fires: no month has such a day")
    return cron


def _values(
    part: str, field: str, low: int, high: int, names: dict[str, int], given: str
) -> set[int]:
    found: set[int] = set()
    for item in part.split(","):
        span, slash, step_text = item.partition("/")
        first, dash, last = span.partition("-")
        if span in ("*", "?"):
            start, end = low, high
        else:
            start = _number(first, field, low, high, names, given)
            if dash:
                end = _number(last, field, low, high, names, given)
            else:
                end = high if slash else start  # N/step goes on to the field's end
        step = _number(step_text, field + " step", 1, high + 1, {}, given) if slash else 1
        if start > end:
            raise UserError(
                f"--cron: {field}: found {item!r} in {given!r}; a range must not run backwards"
            )
        found.update(range(start, end + 1, step))
    return found


def _number(text: str, field: str, low: int, high: int, names: dict[str, int], given: str) -> int:
    if text.lower() in names:
        return names[text.lower()]
    if text.isascii() and text.isdigit() and low <= int(text) <= high:
        return int(text)
    sunday = "; Sunday is 0" if names is _DAYS and text == "7" else ""
    raise UserError(
        f"--cron: {field}: found {text!r} in {given!r}; expected {low} to {high}"
        + (f" or {next(iter(names))} ... {list(names)[-1]}" if names else "")
        + sunday
    )
