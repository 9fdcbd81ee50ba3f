import re
from datetime import datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tfx_imbalance.components.errors import UserError
from tfx_imbalance.pipeline.runners.cron import parse_cron

_START = datetime(2026, 11, 25, 13, 0, tzinfo=timezone.utc)  # a Wednesday


@pytest.mark.parametrize(
    ("given_text", "text"),
    [
        ("0 3 * * *", "0 0 3 * * *"),
        ("  0   3 * * * ", "0 0 3 * * *"),
        ("0 0 9 ? * 2-6", "0 0 9 ? * 2-6"),
        ("@daily", "0 0 0 * * *"),
        ("@Hourly", "0 0 * * * *"),
    ],
)
def test_comes_out_with_six_fields(given_text: str, text: str) -> None:
    assert parse_cron(given_text).text == text


@pytest.mark.parametrize(
    ("text", "times"),
    [
        ("0 3 * * *", ["2026-11-26 03:00:00", "2026-11-27 03:00:00"]),
        ("30 0 3 * * *", ["2026-11-26 03:00:30", "2026-11-27 03:00:30"]),
        ("*/20 * * * *", ["2026-11-25 13:20:00", "2026-11-25 13:40:00"]),
        ("50/5 13 * * *", ["2026-11-25 13:50:00", "2026-11-25 13:55:00"]),
        ("0 9 * * mon-fri", ["2026-11-26 09:00:00", "2026-11-27 09:00:00"]),
        ("0 9 * * 2-6", ["2026-11-26 09:00:00", "2026-11-27 09:00:00"]),
        ("0 0 * * 0", ["2026-11-29 00:00:00", "2026-12-06 00:00:00"]),
        ("0 0 29 2 *", ["2028-02-29 00:00:00", "2032-02-29 00:00:00"]),
        ("0 0 13 * 5", ["2026-11-27 00:00:00", "2026-12-04 00:00:00"]),  # either day will do
        ("0 0 1 JAN,jul *", ["2027-01-01 00:00:00", "2027-07-01 00:00:00"]),
    ],
)
def test_fires_when_a_crontab_would(text: str, times: list[str]) -> None:
    found = parse_cron(text).next_times(_START, 2)
    assert [f"{t:%Y-%m-%d %H:%M:%S}" for t in found] == times


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "found 0 fields"),
        ("0 3 * *", "found 4 fields"),
        ("0 0 3 * * * 2026", "found 7 fields"),
        ("60 * * * *", "minute: found '60'"),
        ("0 24 * * *", "hour: found '24'"),
        ("0 0 0 * *", "day of month: found '0'"),
        ("0 0 * 13 *", "month: found '13'"),
        ("0 0 * * 7", "Sunday is 0"),
        ("0 0 * * 5-1", "must not run backwards"),
        ("0 0 * * mon-", "day of week: found ''"),
        ("*/0 * * * *", "minute step: found '0'"),
        ("a * * * *", "minute: found 'a'"),
        ("0 0 30 2 *", "never fires"),
        ("@every 5m", "known names"),
        ("0 ٣ * * *", "hour: found '٣'"),
    ],
)
def test_says_in_one_line_what_is_wrong(text: str, said: str) -> None:
    with pytest.raises(UserError, match="--cron: ") as error:
        parse_cron(text)
    assert said in str(error.value)
    assert "\n" not in str(error.value)


_FIELDS = st.tuples(
    *(
        st.one_of(
            st.just("*"),
            st.integers(low, high).map(str),
            st.tuples(st.integers(low, high), st.integers(1, high)).map(lambda p: f"{p[0]}/{p[1]}"),
            st.lists(st.integers(low, high), min_size=2, max_size=3).map(
                lambda values: ",".join(map(str, values))
            ),
        )
        for low, high in ((0, 59), (0, 23), (1, 28), (1, 12), (0, 6))
    )
)


def _matches(text: str, value: int, high: int) -> bool:
    for item in text.split(","):
        if item == "*" or item == str(value):
            return True
        if step := re.fullmatch(r"(\d+)/(\d+)", item):
            start, by = map(int, step.groups())
            if start <= value <= high and (value - start) % by == 0:
                return True
    return False


@given(_FIELDS, st.integers(0, 400 * 24 * 60))
def test_next_time_is_the_first_minute_that_matches(fields: tuple[str, ...], offset: int) -> None:
    minute, hour, day, month, weekday = fields
    after = _START + timedelta(minutes=offset)
    [found] = parse_cron(" ".join(fields)).next_times(after, 1)

    def on(day_: datetime) -> bool:
        of_month = _matches(day, day_.day, 31)
        of_week = _matches(weekday, day_.isoweekday() % 7, 6)
        either = day != "*" and weekday != "*"
        return _matches(month, day_.month, 12) and (
            (of_month or of_week) if either else (of_month and of_week)
        )

    def at(time: datetime) -> bool:
        return on(time) and _matches(hour, time.hour, 23) and _matches(minute, time.minute, 59)

    assert found.second == 0
    assert at(found)
    day_ = after
    while day_.date() < found.date():  # whole days between, by their days only
        assert not on(day_) or day_.date() == after.date()
        day_ += timedelta(days=1)
    midnight = found.replace(hour=0, minute=0)
    earlier = max(midnight, after.replace(second=0) + timedelta(minutes=1))
    while earlier < found:
        assert not at(earlier)
        earlier += timedelta(minutes=1)
