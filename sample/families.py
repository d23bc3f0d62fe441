"""The families of a sample district: children, their adults, and who may see whom.

They depend on the seed alone. Family n of a seed is the same in a district of any size; only the
last family of a district may be cut, so that the number of students is right.
"""

import itertools
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from random import Random
from typing import Literal

from sample.names import CITY, FLATS, POOLS, STATE, STREETS, Name
from sample.streams import stream

GRADES = ("KG", *(f"{grade:02d}" for grade in range(1, 13)))
# A family's children have indexes from a block of eight, so an index is unique in the district.
BLOCK = 8
MOST_STUDENTS = 1_000_000


# --- what callers get -----------------------------------------------------------------


@dataclass(frozen=True)
class Home:
    """Where a household lives; without `household_id` where the roster leaves it to be inferred."""

    household_id: str
    address1: str
    address2: str
    city: str
    state: str
    post_code: str


@dataclass(frozen=True)
class SampleStudent:
    """A child: the number typed at the key lookup, the GTID and last four where there are any.

    `last_four_kind` is `ssn`, `assigned` or empty; `grade` a CEDS code; `index` is unique.
    """

    sourced_id: str
    student_number: str
    gtid: str | None
    last_four: str | None
    last_four_kind: str
    given_name: str
    middle_name: str
    family_name: str
    preferred_name: str
    grade: str
    index: int
    home: Home


@dataclass(frozen=True)
class SampleGuardian:
    """An adult. `portal_access` is true where at least one child may be seen.

    `access_flag` is what the user row itself says: `true`, `false` or nothing.
    """

    sourced_id: str
    given_name: str
    family_name: str
    email: str | None
    phone: str
    sms: str
    language: str | None
    role: str
    relationship: str
    access_flag: str
    portal_access: bool
    home: Home


@dataclass(frozen=True)
class SampleLink:
    """A relationship. `portal_access` is what holds, `stated_access` what relationships.csv says.

    The two differ where the guardian's own row says false: a false anywhere wins.
    """

    student_id: str
    guardian_id: str
    relationship: str
    guardian: bool
    portal_access: bool
    stated_access: bool
    lives_with: bool
    contact_order: int

    @property
    def sourced_id(self) -> str:
        """The row's id in relationships.csv."""
        return f"L-{self.student_id}-{self.guardian_id}"


@dataclass(frozen=True)
class SampleFamily:
    """Children, their adults and the links between them. `shape` says which case it stands for."""

    index: int
    shape: str
    students: tuple[SampleStudent, ...]
    guardians: tuple[SampleGuardian, ...]
    links: tuple[SampleLink, ...]

    def students_of(self, guardian: SampleGuardian) -> tuple[SampleStudent, ...]:
        """Take a guardian; return the children whom they may see in the portal."""
        pairs = {(x.student_id, x.guardian_id) for x in self.links if x.portal_access}
        return tuple(s for s in self.students if (s.sourced_id, guardian.sourced_id) in pairs)

    def guardians_of(self, student: SampleStudent) -> tuple[SampleGuardian, ...]:
        """Take a child; return the guardians who may see that child in the portal."""
        return tuple(g for g in self.guardians if student in self.students_of(g))


def families(*, students: int = 60, seed: int = 1) -> Iterator[SampleFamily]:
    """Yield the families of the district of that seed, until it has `students` children.

    The first is the one for a README: one guardian with an address, two children.

    Raises: ValueError: where `students` isn't between 1 and 1,000,000.
    """
    if not 1 <= students <= MOST_STUDENTS:
        raise ValueError(f"a sample district has 1 to {MOST_STUDENTS} students")
    left = students
    for index in itertools.count():
        family = _cut(_family(seed, index), left)
        yield family
        left -= len(family.students)
        if not left:
            return


# --- the shapes -----------------------------------------------------------------------


@dataclass(frozen=True)
class _Adult:
    """One adult of a shape.

    `linked` to all children, the first or the rest, and `sees` which of those; `flag` is the
    portalAccess of the user row; `states_access`: relationships.csv says true all the same.
    """

    relationship: str
    role: str = "parent"
    home: int = 0
    email: Literal["own", "shared", "none"] = "own"
    phone: bool = True
    linked: Literal["all", "first", "rest"] = "all"
    sees: Literal["all", "first", "none"] = "all"
    flag: str = ""
    states_access: bool = False


@dataclass(frozen=True)
class _Shape:
    name: str
    weight: int
    adults: tuple[_Adult, ...]
    least_children: int = 1


_MOTHER, _FATHER = _Adult("mother"), _Adult("father")
_AWAY = replace(_FATHER, home=1)
_BARRED = replace(_AWAY, sees="none", flag="false")
_FOSTER = _Adult("foster", "guardian")

# The first families are one of each shape, in this order, so that 60 students hold every case; the
# others are drawn by weight.
_SHAPES = (
    _Shape("one guardian, siblings", 8, (_MOTHER,), 2),
    _Shape("two parents", 30, (_MOTHER, _FATHER)),
    _Shape("two households", 10, (_FATHER, replace(_MOTHER, home=1))),
    _Shape("one address for two", 8, (_MOTHER, replace(_FATHER, email="shared"))),
    _Shape("numbers a zero apart", 0, (_MOTHER, _FATHER), 2),
    _Shape("guardian without address", 8, (replace(_MOTHER, email="none"),)),
    _Shape("barred parent", 3, (_MOTHER, _BARRED)),
    _Shape("barred on the user row alone", 1, (_MOTHER, replace(_BARRED, states_access=True))),
    _Shape("barred from one child", 2, (_MOTHER, replace(_AWAY, sees="first")), 2),
    _Shape("no last four", 0, (_MOTHER, _MOTHER)),
    _Shape(
        "half siblings",
        3,
        (_MOTHER, replace(_AWAY, linked="first"), replace(_FATHER, linked="rest")),
        2,
    ),
    _Shape("relative without portal", 4, (_MOTHER, _Adult("grandparent", "relative", sees="none"))),
    _Shape("relative with portal", 2, (_Adult("other", "relative", flag="true"),)),
    _Shape("grandparent as guardian", 3, (_Adult("grandparent", "guardian"),)),
    _Shape("foster family", 2, (_FOSTER, _FOSTER)),
    _Shape("guardian without any contact", 2, (replace(_FATHER, email="none", phone=False),)),
    _Shape("no GTID", 0, (_MOTHER, replace(_FATHER, email="none"))),
    _Shape("stepparent", 3, (_MOTHER, _Adult("stepparent"), _AWAY)),
    _Shape("no guardian", 1, ()),
    _Shape("one parent", 12, (_FATHER,)),
    _Shape("two mothers", 4, (_MOTHER, _MOTHER)),
)
_WEIGHTS = tuple(itertools.accumulate(shape.weight for shape in _SHAPES))
_CHILDREN, _CHILDREN_WEIGHTS = (1, 2, 3, 4), (50, 33, 13, 4)
_MOST_PEOPLE = 7
_README_GRADES = (8, 3)


def _family(seed: int, index: int) -> SampleFamily:
    """Make family `index` of that seed, whole, from its own random stream."""
    rng = stream(seed, "family", index)
    first = index < len(_SHAPES)
    shape = _SHAPES[index] if first else rng.choices(_SHAPES, cum_weights=_WEIGHTS)[0]
    pool = rng.choice(POOLS) if index else POOLS[0]
    grades = _grades(rng, shape) if index else _README_GRADES
    family_names = (rng.choice(pool.family), rng.choice(pool.family))
    homes = (_home(rng, index, 0), _home(rng, index, 1))
    # Nobody in a family shares a given name, so that addresses differ.
    girls, boys = rng.sample(pool.feminine, _MOST_PEOPLE), rng.sample(pool.masculine, _MOST_PEOPLE)
    guardians: list[SampleGuardian] = []
    for adult in shape.adults:
        given = (boys if adult.relationship == "father" else girls).pop()
        address = _address(index, given, family_names[adult.home])
        if adult.email == "shared":
            address = guardians[0].email
        guardian = SampleGuardian(
            sourced_id=f"G{index:06d}-{len(guardians) + 1}",
            given_name=given.written,
            family_name=family_names[adult.home].written,
            email=None if adult.email == "none" else address,
            phone=_phone(rng, "(404) 555-") if adult.phone else "",
            sms=_phone(rng, "+1404555") if adult.phone and not guardians else "",
            language=rng.choice(pool.languages) if index else "en",
            role=adult.role,
            relationship=adult.relationship,
            access_flag=adult.flag,
            portal_access=adult.sees != "none",
            home=homes[adult.home],
        )
        guardians.append(guardian)
    students: list[SampleStudent] = []
    for grade in grades:
        given = rng.choice((girls, boys)).pop()
        at = index * BLOCK + len(students)
        student = _student(
            rng,
            seed,
            shape,
            at,
            given=given,
            family_name=family_names[0],
            grade=grade,
            home=homes[0],
        )
        students.append(student)
    links = tuple(
        _link(student, place, guardian, order, adult)
        for place, student in enumerate(students)
        for order, (guardian, adult) in enumerate(zip(guardians, shape.adults, strict=True), 1)
        if adult.linked == "all" or (adult.linked == "first") == (place == 0)
    )
    return SampleFamily(index, shape.name, tuple(students), tuple(guardians), links)


def _grades(rng: Random, shape: _Shape) -> Sequence[int]:
    """Draw the children's grades, 0 (KG) to 12, eldest first."""
    count = max(shape.least_children, rng.choices(_CHILDREN, _CHILDREN_WEIGHTS)[0])
    return sorted(rng.choices(range(len(GRADES)), k=count), reverse=True)


_MIDDLE_NAMES = ("", "", "", "Ray", "Noor", "Lee", "Inês", "D'Arcy")
_TEN = 10


def _home(rng: Random, index: int, which: int) -> Home:
    # Some households have no id, as in a SIS that doesn't export it.
    household_id = "" if index % _TEN == _TEN - 1 else f"H{index:06d}-{which + 1}"
    post_code = str(rng.randrange(30301, 30399))
    if rng.random() < 1 / _TEN:
        post_code += f"{rng.randrange(1, 10_000):04d}"
    street = f"{rng.randrange(1, 999)} {rng.choice(STREETS)}"
    return Home(household_id, street, rng.choice(FLATS), CITY, STATE, post_code)


def _phone(rng: Random, start: str) -> str:
    """Draw a number of the range that is kept for fiction."""
    return f"{start}{rng.randrange(100, 200):04d}"


_CAPITALS_EVERY = 12


def _address(index: int, given: Name, family: Name) -> str | None:
    """Make a person's own address. Nobody else has it: given names differ within a family."""
    local_part = f"{given.plain}.{family.plain}{index or ''}"
    if index % _CAPITALS_EVERY == 1:
        # Some offices type capitals; the portal compares without regard to case.
        local_part = local_part.title()
    return f"{local_part}@example.{('com', 'org')[index % 2]}"


def _student(
    rng: Random,
    seed: int,
    shape: _Shape,
    index: int,
    *,
    given: Name,
    family_name: Name,
    grade: int,
    home: Home,
) -> SampleStudent:
    family, place = divmod(index, BLOCK)
    middle = rng.choice(_MIDDLE_NAMES)
    last_four: str | None = f"{rng.randrange(1, 10_000):04d}"
    kind = rng.choices(("ssn", "assigned", ""), (6, 3, 1))[0]
    without_last_four, without_gtid = rng.random() < 3 / 100, rng.random() < 8 / 100
    if shape.name == "no last four" or (without_last_four and family):
        last_four, kind = None, ""
    number = student_number(seed, index)
    if shape.name == "numbers a zero apart" and place == 1:
        # Leading zeros matter: this child's number is the sibling's with a zero in front.
        number = "0" + student_number(seed, index - 1)
    no_gtid = (shape.name == "no GTID" and place == 0) or (without_gtid and family)
    return SampleStudent(
        sourced_id=f"S{family:06d}-{place + 1}",
        student_number=number,
        gtid=None if no_gtid else gtid(seed, index),
        last_four=last_four,
        last_four_kind=kind,
        given_name=given.written,
        middle_name=middle,
        family_name=family_name.written,
        preferred_name=f"{given.written[:2]}ma" if family % _TEN == _TEN - 2 else "",
        grade=GRADES[grade],
        index=index,
        home=home,
    )


def _link(
    student: SampleStudent, place: int, guardian: SampleGuardian, order: int, adult: _Adult
) -> SampleLink:
    access = adult.sees == "all" or (adult.sees == "first" and place == 0)
    return SampleLink(
        student_id=student.sourced_id,
        guardian_id=guardian.sourced_id,
        relationship=adult.relationship,
        guardian=adult.role != "relative",
        portal_access=access,
        stated_access=access or adult.states_access,
        lives_with=adult.home == 0,
        contact_order=order,
    )


def _cut(family: SampleFamily, most: int) -> SampleFamily:
    """Return the family with at most `most` children, without adults whom that leaves unlinked."""
    if len(family.students) <= most:
        return family
    students = family.students[:most]
    kept = {student.sourced_id for student in students}
    links = tuple(link for link in family.links if link.student_id in kept)
    linked = {link.guardian_id for link in links}
    guardians = tuple(guardian for guardian in family.guardians if guardian.sourced_id in linked)
    return replace(family, students=students, guardians=guardians, links=links)


# --- numbers --------------------------------------------------------------------------

# A step that shares no factor with the length of a range visits each of its numbers once: unique
# numbers without remembering any.
_STEP_7, _STEP_11 = 7**7, 7**11
_MOST_INDEXES = 10_000_019
# So that a child's GTID doesn't end like the student number.
_APART = 1013
# Rule 160-5-1-.07: no zero at either end, no digit three times running.
_GTID_RULE = re.compile(r"(?!.*(\d)\1\1)[1-9]\d{8}[1-9]")


def student_number(seed: int, index: int) -> str:
    """Take a student's index; return seven digits, with two zeros in front for every other one."""
    number = 1_000_000 + (_STEP_7 * index + _offset(seed)) % 9_000_000
    return str(number) if index % 2 else f"00{number}"


def gtid(seed: int, index: int) -> str:
    """Take a student's index; return a GTID. What would break the rule is stepped over."""
    candidate = ""
    for step in itertools.count(index, _MOST_INDEXES):
        walked = (_STEP_11 * step + _offset(seed + _APART)) % 9_000_000_000
        candidate = str(1_000_000_000 + walked)
        if _GTID_RULE.fullmatch(candidate):
            break
    return candidate


def _offset(seed: int) -> int:
    """Where a seed's numbers begin. The factor spreads neighbouring seeds."""
    return seed * 2_654_435_761 % 8_999_999_993
