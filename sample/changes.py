"""A delta set over a sample district: the few records of what has changed."""

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace

from sample.families import SampleFamily, SampleGuardian, SampleStudent
from sample.files import Row
from sample.records import Attendance, Gradebook
from sample.roster import Roster

Pair = tuple[str, str]


@dataclass(frozen=True)
class Changes:
    """What changes. Pairs are (student id, guardian id)."""

    addresses: Mapping[str, str | None]
    access: Mapping[Pair, bool]
    scores: Mapping[str, float]
    absences: frozenset[str]
    removed: frozenset[str]
    removed_links: frozenset[Pair]

    def ids(self) -> set[str]:
        """Every student and guardian whom the changes name."""
        pairs = {person for pair in (*self.access, *self.removed_links) for person in pair}
        return {*self.addresses, *self.scores, *self.absences, *self.removed, *pairs}


class Delta:
    """The tables of a delta set.

    Raises: ValueError: where the changes name somebody, or a link, that the district hasn't got.
    """

    def __init__(
        self, changes: Changes, roster: Roster, gradebook: Gradebook, attendance: Attendance
    ) -> None:
        self._changes, self._roster = changes, roster
        self._gradebook, self._attendance = gradebook, attendance
        self._families = list(_touched(changes, roster))
        people = list(self._people())
        self._students = {p.sourced_id: p for _, p in people if isinstance(p, SampleStudent)}
        pairs = {(x.student_id, x.guardian_id) for f in self._families for x in f.links}
        missing = changes.ids() - {person.sourced_id for _, person in people}
        missing |= {*changes.scores, *changes.absences} - {*self._students}
        no_links = {*changes.access, *changes.removed_links} - pairs
        if missing or no_links:
            raise ValueError(f"not in this district: {sorted(missing)} {sorted(no_links)}")

    def tables(self) -> dict[str, Iterator[Row]]:
        """The records of each file; `roles` are for 1.2 alone."""
        tests = [
            self._gradebook.extra_test(self._students[student_id], score)
            for student_id, score in self._changes.scores.items()
        ]
        late = (self._students[student_id] for student_id in sorted(self._changes.absences))
        tables = {
            "users": self._users(),
            "lineItems": (line_item for line_item, _ in tests),
            "results": (result for _, result in tests),
            "relationships": self._links(),
            "attendance": (self._attendance.absence(student) for student in late),
        }
        return tables | ({"roles": self._roles()} if self._roster.stamp.version == "1.2" else {})

    def _people(self) -> Iterator[tuple[SampleFamily, SampleStudent | SampleGuardian]]:
        for family in self._families:
            for student in family.students:
                yield family, student
            for guardian in family.guardians:
                yield family, guardian

    def _users(self) -> Iterator[Row]:
        for family, person in self._people():
            gone = person.sourced_id in self._changes.removed
            if isinstance(person, SampleStudent):
                if gone:
                    yield self._roster.student(family, person, gone=True)
            elif gone or person.sourced_id in self._changes.addresses:
                email = self._changes.addresses.get(person.sourced_id, person.email)
                yield self._roster.guardian(family, replace(person, email=email), gone=gone)

    def _roles(self) -> Iterator[Row]:
        for family, person in self._people():
            if person.sourced_id in self._changes.removed:
                yield from self._roster.roles_of(family, person, gone=True)

    def _links(self) -> Iterator[Row]:
        for link in (link for family in self._families for link in family.links):
            pair = (link.student_id, link.guardian_id)
            access = self._changes.access.get(pair, link.stated_access)
            if pair in self._changes.removed_links:
                yield self._roster.link(link, access=access, gone=True)
            elif pair in self._changes.access:
                yield self._roster.link(link, access=access)


def _touched(changes: Changes, roster: Roster) -> Iterable[SampleFamily]:
    """The families that the changes name, found by the number in their ids."""
    found = (re.match(r"[SG](\d{6,})-", sourced_id) for sourced_id in changes.ids())
    indexes = {int(match[1]) for match in found if match}
    return (f for f in roster.district.families() if f.index in indexes) if indexes else ()
