"""School years by their days: which one a day belongs to, also where the roster no longer says.

A roster names the current year and seldom those before it, while attendance of past years stays; so
the import remembers every year it was told of (`roster_state.known_years`).
Days are ISO texts throughout: they compare as days do.
"""

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class SchoolYear:
    """A school year: its name (the year it ends in), first day, and the day after its last."""

    name: str
    start: str
    end: str

    def holds(self, day: str) -> bool:
        """Whether a day is one of the year's."""
        return self.start <= day < self.end


# Where a roster has told of no year at all.
_ASSUMED = SchoolYear("2000", "1999-08-01", "2000-08-01")


def year_of(years: Sequence[SchoolYear], day: str) -> SchoolYear:
    """Return the school year of a day, with bounds that leave no day between two years.

    A year lasts until the next one begins, a year at most: summer school counts for the year that
    ended. A day outside all known years is in one that begins on the same day of another year.

    Args:
        years: the years known, the oldest first.
        day: an ISO day.
    """
    known = list(years) or [_ASSUMED]
    begun = [year for year in known if year.start <= day]
    later = [year.start for year in known if year.start > day]
    base = begun[-1] if begun else known[0]
    shift = int(day[:4]) - int(base.start[:4])
    if _moved(base.start, shift) > day:
        shift -= 1
    if begun and day < base.end:
        shift = 0
    end = _moved(base.start, shift + 1)
    if shift == 0:
        end = max(end, base.end)
    return SchoolYear(
        name=_named(base, shift),
        start=max(_moved(base.start, shift), base.end) if shift > 0 else _moved(base.start, shift),
        end=min([end, *later]),
    )


def _moved(day: str, years: int) -> str:
    return f"{int(day[:4]) + years:04}{day[4:]}"


def _named(base: SchoolYear, shift: int) -> str:
    return str(int(base.name) + shift) if base.name.isdecimal() else _moved(base.end, shift)[:4]
