"""The district's day and its midnight, for any instant and any zone of the world (security row S49).

A property's zones and instants are drawn by Hypothesis, half of the instants close to one where the
zone's clock is changed: a uniform draw would meet those once in ten thousand.
"""

import functools
import itertools
import zoneinfo
from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from chalicelib.policy import Preferences

ZONES = sorted(zoneinfo.available_timezones())
# Since then no zone has set its clock back over midnight, or left a day out; see the last tests.
SINCE, UNTIL = datetime(2012, 1, 1, tzinfo=UTC), datetime(2060, 1, 1, tzinfo=UTC)
ONE = timedelta(seconds=1)
SPRING = "2026-03-08"  # both DST nights of the United States' zones, a Sunday at 2:00
AUTUMN = "2026-11-01"


def at(text: str) -> datetime:
    return datetime.fromisoformat(text).astimezone(UTC)


@functools.cache
def changes(zone: str, since: datetime = SINCE) -> list[datetime]:
    """Return the first instants at which a zone's clock shows another offset than before."""
    clock = zoneinfo.ZoneInfo(zone)

    def offset(instant: datetime) -> Any:
        return instant.astimezone(clock).utcoffset()

    found, week = [], timedelta(days=7)
    for start in itertools.takewhile(
        lambda t: t < datetime(2032, 1, 1, tzinfo=UTC),
        (since + week * i for i in itertools.count()),
    ):
        before, after = start, start + week
        if offset(before) == offset(after):
            continue
        while after - before > ONE:
            middle = (before + (after - before) / 2).replace(microsecond=0)
            before, after = (middle, after) if offset(middle) == offset(start) else (before, middle)
        found.append(after)
    return found


@st.composite
def instants(draw: Any) -> tuple[str, datetime]:
    """Draw a zone and an instant, every second time near a change of its clock."""
    zone = draw(st.sampled_from(ZONES))
    near = changes(zone) if draw(st.booleans()) else []
    if near:
        seconds = draw(st.integers(-2 * 86_400, 2 * 86_400))
        return zone, draw(st.sampled_from(near)) + timedelta(seconds=seconds)
    # Any instant, to the microsecond.
    drawn = draw(st.datetimes(SINCE.replace(tzinfo=None), UNTIL.replace(tzinfo=None)))
    return zone, drawn.replace(tzinfo=UTC)


# The first draw of a zone looks its changes up; a busy machine may take a while.
patient = settings(deadline=None)


# --- properties -------------------------------------------------------------------------


@patient
@given(instants())
@example(("America/Havana", at("2026-03-08T04:59:59+00:00")))
@example(("Asia/Beirut", at("2026-03-28T21:59:59+00:00")))
@example(("America/Sao_Paulo", at("2018-11-04T02:59:59+00:00")))
@example(("America/Nuuk", at("2026-03-29T00:59:59+00:00")))
@example(("Africa/Cairo", at("2026-04-23T21:59:59+00:00")))
def test_midnight_is_later_and_begins_the_very_next_day(drawn: tuple[str, datetime]) -> None:
    zone, now = drawn
    rules = Preferences(time_zone=zone)
    midnight = rules.next_midnight(now)
    assert midnight > now
    assert midnight.tzinfo is UTC
    assert midnight - now <= timedelta(hours=26)
    assert rules.day(midnight) == rules.day(now) + timedelta(days=1)
    assert rules.day(midnight - ONE) == rules.day(now)


@patient
@given(instants(), st.floats(0, 1, exclude_max=True))
def test_nothing_between_now_and_midnight_is_another_day(
    drawn: tuple[str, datetime], part: float
) -> None:
    zone, now = drawn
    rules = Preferences(time_zone=zone)
    midnight = rules.next_midnight(now)
    between = min(now + (midnight - now) * part, midnight - timedelta(microseconds=1))
    assert rules.day(between) == rules.day(now)
    assert rules.next_midnight(between) == midnight


@patient
@given(instants())
def test_days_follow_each_other_without_a_gap_and_last_22_to_26_hours(
    drawn: tuple[str, datetime],
) -> None:
    zone, now = drawn
    rules = Preferences(time_zone=zone)
    begins = rules.next_midnight(now)
    ends = rules.next_midnight(begins)
    assert rules.day(begins - ONE) < rules.day(begins) == rules.day(ends - ONE) < rules.day(ends)
    assert timedelta(hours=22) <= ends - begins <= timedelta(hours=26)


@patient
@given(instants(), st.sampled_from(ZONES))
def test_a_change_of_zone_ends_no_lockout_later_than_a_day_from_now(
    drawn: tuple[str, datetime], other: str
) -> None:
    zone, now = drawn
    locked_until = Preferences(time_zone=zone).next_midnight(now)
    moved = Preferences(time_zone=other)
    # What was locked ends as it was said to, at most a day from now; what is locked from now on ends
    # with the new zone's day. Neither zone can make a lockout last.
    assert now < locked_until <= now + timedelta(hours=26)
    assert now < moved.next_midnight(now) <= now + timedelta(hours=26)
    # A try at the old midnight is counted on the day that the new zone has then.
    assert abs((moved.day(locked_until) - Preferences(time_zone=zone).day(now)).days) <= 2


# --- nights that are known ---------------------------------------------------------------


@pytest.mark.parametrize("zone", ["America/New_York", "America/Chicago", "America/Los_Angeles"])
@pytest.mark.parametrize(("day", "hours"), [(SPRING, 23), (AUTUMN, 25), ("2026-06-01", 24)])
def test_dst_days_have_23_and_25_hours(zone: str, day: str, hours: int) -> None:
    rules = Preferences(time_zone=zone)
    begins = datetime.fromisoformat(day).replace(tzinfo=zoneinfo.ZoneInfo(zone)).astimezone(UTC)
    assert rules.next_midnight(begins) - begins == timedelta(hours=hours)
    assert rules.next_midnight(begins - ONE) == begins
    assert rules.day(begins) == rules.day(begins + timedelta(hours=hours) - ONE)
    assert rules.day(begins).isoformat() == day


@pytest.mark.parametrize(
    ("zone", "last_second", "midnight_shows"),
    [
        # The clock goes from 23:59:59 to 1:00.
        ("America/Havana", "2026-03-07T23:59:59-05:00", "2026-03-08T01:00:00"),
        ("Asia/Beirut", "2026-03-28T23:59:59+02:00", "2026-03-29T01:00:00"),
        ("Africa/Cairo", "2026-04-23T23:59:59+02:00", "2026-04-24T01:00:00"),
        ("America/Santiago", "2026-09-05T23:59:59-04:00", "2026-09-06T01:00:00"),
        ("America/Sao_Paulo", "2018-11-03T23:59:59-03:00", "2018-11-04T01:00:00"),
        # From 22:59:59 to midnight: the day's last hour is left out.
        ("America/Nuuk", "2026-03-28T22:59:59-02:00", "2026-03-29T00:00:00"),
        # The first midnight of two, an hour apart: the day begins once.
        ("America/Havana", "2026-10-31T23:59:59-04:00", "2026-11-01T00:00:00"),
        # 23:00 to midnight comes twice: the day ends with the second.
        ("Asia/Beirut", "2026-10-24T23:59:59+02:00", "2026-10-25T00:00:00"),
        ("Africa/Cairo", "2026-10-29T23:59:59+02:00", "2026-10-30T00:00:00"),
    ],
)
def test_a_night_without_midnight_or_with_two_ends_its_day_once(
    zone: str, last_second: str, midnight_shows: str
) -> None:
    rules, now = Preferences(time_zone=zone), at(last_second)
    midnight = rules.next_midnight(now)
    assert midnight == now + ONE
    shown = midnight.astimezone(zoneinfo.ZoneInfo(zone)).replace(tzinfo=None)
    assert shown == datetime.fromisoformat(midnight_shows)
    assert rules.day(now) + timedelta(days=1) == rules.day(midnight)


@pytest.mark.parametrize("zone", ["America/St_Johns", "America/Goose_Bay", "America/Moncton"])
def test_a_clock_set_back_over_midnight_locks_nobody_into_the_past(zone: str) -> None:
    # Until 2011 their autumn night went from 0:01 back to 23:01: the evening came twice.
    rules = Preferences(time_zone=zone)
    nights = [c for c in changes(zone, datetime(2000, 1, 1, tzinfo=UTC)) if c < SINCE]
    assert nights
    for night in nights:
        for minutes in range(-90, 91):
            now = night + timedelta(minutes=minutes)
            midnight = rules.next_midnight(now)
            assert now < midnight <= now + timedelta(hours=26)
            assert rules.day(midnight) == rules.day(now) + timedelta(days=1)


def test_a_day_that_a_country_left_out_is_no_day() -> None:
    # Samoa went from the 29th to the 31st.
    rules = Preferences(time_zone="Pacific/Apia")
    now = at("2011-12-29T23:59:59-10:00")
    assert rules.next_midnight(now) == now + ONE
    assert rules.day(now + ONE) == date(2011, 12, 31)
