"""Which school year the enrollment verification is about: the next one that begins.

By the district's day alone, the same for every school: a school year begins on 1 August (Georgia's
schools open in its first days). The roster names the years it knows, seldom the one to come.
"""

from dataclasses import dataclass
from datetime import date

FIRST_MONTH, FIRST_DAY = 8, 1


@dataclass(frozen=True)
class ComingYear:
    """The school year to come: its name (`2026-27`) and its first day, when answers are final."""

    name: str
    begins: date

    @property
    def words(self) -> str:
        """Return the name as people write it, with a dash: `2026–27`."""
        return self.name.replace("-", "\N{EN DASH}")

    @property
    def ends(self) -> date:
        """Return the first day of the year after it."""
        return self.begins.replace(year=self.begins.year + 1)


def after(day: date) -> ComingYear:
    """Return the school year that begins next after a day of the district."""
    begins = date(day.year, FIRST_MONTH, FIRST_DAY)
    if day >= begins:
        begins = begins.replace(year=day.year + 1)
    return ComingYear(f"{begins.year}-{(begins.year + 1) % 100:02}", begins)
