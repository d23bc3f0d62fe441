"""When classes meet: on which days, in which order, and whether their term runs."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date

from chalicelib.storage.values import SchoolClass

DAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
_SCHOOL_DAYS = DAYS[:5]


@dataclass(frozen=True)
class Schedule:
    """A student's classes, told apart by their terms, each list in the order of the periods.

    Attributes:
        current: the classes whose term runs, or that name no term.
        later, over: those whose term is still to come, and those whose term has ended.
        week: the current ones again by the days they meet on, in the order of the day; empty where no
            class names its days.
    """

    current: tuple[SchoolClass, ...]
    later: tuple[SchoolClass, ...]
    over: tuple[SchoolClass, ...]
    week: tuple[tuple[str, tuple[SchoolClass, ...]], ...]


def of_classes(classes: Sequence[SchoolClass], today: date) -> Schedule:
    """Return the schedule as it stands on a day."""
    ordered = by_period(classes)
    current = tuple(one for one in ordered if _place(one, today) == 0)
    return Schedule(
        current=current,
        later=tuple(one for one in ordered if _place(one, today) > 0),
        over=tuple(one for one in ordered if _place(one, today) < 0),
        week=_week(current),
    )


def _week(classes: Sequence[SchoolClass]) -> tuple[tuple[str, tuple[SchoolClass, ...]], ...]:
    if not any(one.days for one in classes):
        return ()
    days = ((day, tuple(one for one in in_order(classes) if day in _days(one))) for day in DAYS)
    return tuple((day, meeting) for day, meeting in days if meeting)


def meets_on(school_class: SchoolClass, day: date) -> bool:
    """Whether a class meets on a day: within its term, on its days (on school days where none say)."""
    return _place(school_class, day) == 0 and DAYS[day.weekday()] in _days(school_class)


def _days(school_class: SchoolClass) -> Sequence[str]:
    return school_class.days or _SCHOOL_DAYS


def _place(school_class: SchoolClass, day: date) -> int:
    """Return 0 where the term runs on a day, 1 where it is still to come, -1 where it is over."""
    iso = day.isoformat()
    if school_class.term_start and iso < school_class.term_start:
        return 1
    return -1 if school_class.term_end and iso > school_class.term_end else 0


def in_order(classes: Iterable[SchoolClass]) -> list[SchoolClass]:
    """Order classes as a day runs: by start, then period (2 before 10), then title."""
    return sorted(classes, key=lambda one: (one.start_time or "99:99", *_period(one)))


def by_period(classes: Iterable[SchoolClass]) -> list[SchoolClass]:
    """Order classes by period (2 before 10), then start, then title; those without one last."""
    return sorted(
        classes, key=lambda one: (*_period(one)[:2], one.start_time or "99:99", one.title)
    )


def _period(one: SchoolClass) -> tuple[int, str, str]:
    period = one.periods[0] if one.periods else ""
    number = int(period) if period.isascii() and period.isdigit() else 99
    return number, period or "\uffff", one.title
