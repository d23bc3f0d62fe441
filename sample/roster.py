"""The rostering records of a sample district: schools, classes, people, relationships."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, timedelta

from sample.families import GRADES, Home, SampleFamily, SampleGuardian, SampleLink, SampleStudent
from sample.files import Mode, Row, Version
from sample.names import CITY, POOLS, STATE
from sample.school_year import SchoolYear
from sample.schools import LEVELS, Class, District, School, level_of
from sample.streams import stream

_DISTRICT_ID = "DISTRICT"
_KINDERGARTEN_AGE = 5


def yes(value: bool) -> str:  # noqa: FBT001 -- that is all it takes
    """Write a boolean as OneRoster has it."""
    return "true" if value else "false"


@dataclass(frozen=True)
class Stamp:
    """The set that a record is for, and how records begin in it.

    Status and change date are blank in a bulk set, filled in a delta.
    """

    version: Version
    mode: Mode
    today: date

    def head(self, sourced_id: str, *, gone: bool = False) -> Row:
        """Take a record's id and whether it is to be deleted; return its first three cells."""
        if self.mode == "bulk":
            return {"sourcedId": sourced_id}
        return {
            "sourcedId": sourced_id,
            "status": "tobedeleted" if gone else "active",
            "dateLastModified": f"{self.today}T00:00:00.000Z",
        }


@dataclass(frozen=True)
class Roster:
    """The records of orgs, academicSessions, courses, classes, enrollments, users and the like."""

    district: District
    year: SchoolYear
    stamp: Stamp

    # --- schools and classes

    def orgs(self) -> Iterator[Row]:
        """The district and its schools."""
        name, number = "Fairview Sample Schools", "1300000"
        head = self.stamp.head(_DISTRICT_ID)
        yield head | {"name": name, "type": "district", "identifier": number}
        for school in self.district.schools:
            yield self.stamp.head(school.sourced_id) | {
                "name": school.name,
                "type": "school",
                "identifier": f"13{school.number:05d}",
                "parentSourcedId": _DISTRICT_ID,
            }

    def academic_sessions(self) -> Iterator[Row]:
        """Two school years, the newer one with semesters and grading periods."""
        for session in self.year.sessions:
            yield self.stamp.head(session.sourced_id) | {
                "title": session.title,
                "type": session.kind,
                "startDate": session.start.isoformat(),
                "endDate": session.end.isoformat(),
                "parentSourcedId": session.parent,
                "schoolYear": str(session.school_year),
            }

    def courses(self) -> Iterator[Row]:
        """A course for each subject and grade."""
        for grade, code in enumerate(GRADES):
            for subject in level_of(grade).subjects:
                yield self.stamp.head(f"CRS-{subject.code}-{code}") | {
                    "schoolYearSourcedId": self.year.whole.sourced_id,
                    "title": f"{subject.title} {code}",
                    "courseCode": f"{subject.code}-{code}",
                    "grades": code,
                    "orgSourcedId": _DISTRICT_ID,
                }

    def classes(self) -> Iterator[Row]:
        """Every class with periods, room, meeting days and times, where it has them."""
        for c in self.district.classes():
            grade, subject = GRADES[c.grade], c.subject
            room = f"{c.school.level.letter}-{100 + 10 * c.grade + c.position}"
            yield self.stamp.head(c.sourced_id) | {
                "title": f"{subject.title} {grade}",
                "grades": grade,
                "courseSourcedId": f"CRS-{subject.code}-{grade}",
                "classCode": f"{subject.code}-{grade}-{c.section + 1}",
                "classType": "scheduled" if subject.graded else "homeroom",
                "location": "Gym" if subject.code == "PE" else room,
                "schoolSourcedId": c.school.sourced_id,
                "termSourcedIds": ",".join(term.sourced_id for term in self.year.terms(subject)),
                "periods": subject.periods,
                "metadata.meetingDays": subject.days,
                "metadata.startTime": subject.start,
                "metadata.endTime": subject.end,
            }

    def enrollments(self) -> Iterator[Row]:
        """Who teaches and who sits in each class."""
        for c in self.district.classes():
            yield self._enrollment(c, c.teacher_id) | {"role": "teacher", "primary": "true"}
        for student in self.district.people():
            for c in self.district.classes_of(student):
                yield self._enrollment(c, student.sourced_id) | {"role": "student"}

    def _enrollment(self, c: Class, user_id: str) -> Row:
        enrollment = self.stamp.head(f"E-{c.sourced_id}-{user_id}") | {
            "classSourcedId": c.sourced_id,
            "schoolSourcedId": c.school.sourced_id,
            "userSourcedId": user_id,
        }
        if c.subject.half:
            (term,) = self.year.terms(c.subject)
            dates = {"beginDate": term.start.isoformat(), "endDate": term.end.isoformat()}
            enrollment |= dates
        return enrollment

    # --- people

    def users(self) -> Iterator[Row]:
        """Staff, students and guardians."""
        for teacher_id, school in self.district.teachers():
            yield self._staff(teacher_id, "teacher", school)
        for school in self.district.schools:
            yield self._staff(f"A-{school.sourced_id}", "administrator", school)
        for family in self.district.families():
            for student in family.students:
                yield self.student(family, student)
            for guardian in family.guardians:
                yield self.guardian(family, guardian)

    def _staff(self, sourced_id: str, role: str, school: School) -> Row:
        rng = stream(self.district.seed, "staff", sourced_id)
        pool = rng.choice(POOLS)
        return self._user(sourced_id, gone=False) | {
            "role": role,
            "orgSourcedIds": school.sourced_id,
            "primaryOrgSourcedId": school.sourced_id,
            "givenName": rng.choice(pool.feminine + pool.masculine).written,
            "familyName": rng.choice(pool.family).written,
            "email": f"{sourced_id.lower()}@example.org",
        }

    def student(self, family: SampleFamily, student: SampleStudent, *, gone: bool = False) -> Row:
        """The user record of a child."""
        school = self.district.school_of(student)
        address = f"{student.sourced_id.lower()}@example.org"
        user = self._user(student.sourced_id, gone=gone) | _home(student.home)
        return user | {
            "role": "student",
            "orgSourcedIds": school.sourced_id,
            "primaryOrgSourcedId": school.sourced_id,
            "givenName": student.given_name,
            "familyName": student.family_name,
            "middleName": student.middle_name,
            "preferredGivenName": student.preferred_name,
            "identifier": student.student_number,
            "email": "" if school.level is LEVELS[0] else address,
            "agentSourcedIds": _other_ends(family, student.sourced_id),
            "grades": student.grade,
            "metadata.gtid": student.gtid or "",
            "metadata.ssnLast4": student.last_four or "",
            "metadata.ssnKind": student.last_four_kind,
        }

    def guardian(
        self, family: SampleFamily, guardian: SampleGuardian, *, gone: bool = False
    ) -> Row:
        """The user record of an adult."""
        schools = self.district.schools_of(family, guardian)
        user = self._user(guardian.sourced_id, gone=gone) | _home(guardian.home)
        return user | {
            "role": guardian.role,
            "orgSourcedIds": ",".join(schools),
            "primaryOrgSourcedId": schools[0],
            "givenName": guardian.given_name,
            "familyName": guardian.family_name,
            "email": guardian.email or "",
            "sms": guardian.sms,
            "phone": guardian.phone,
            "agentSourcedIds": _other_ends(family, guardian.sourced_id),
            "metadata.language": guardian.language or "",
            "metadata.portalAccess": guardian.access_flag,
            "metadata.relationship": guardian.relationship,
        }

    def _user(self, sourced_id: str, *, gone: bool) -> Row:
        return self.stamp.head(sourced_id, gone=gone) | {
            "enabledUser": "true",
            "username": sourced_id.lower(),
            "userIds": f"{{SIS:{sourced_id}}}",
        }

    def roles(self) -> Iterator[Row]:
        """OneRoster 1.2's roles: one at each school of a person."""
        for teacher_id, school in self.district.teachers():
            yield self._role(teacher_id, "teacher", school.sourced_id)
        for school in self.district.schools:
            yield self._role(f"A-{school.sourced_id}", "siteAdministrator", school.sourced_id)
        for family in self.district.families():
            for student in family.students:
                yield from self.roles_of(family, student)
            for guardian in family.guardians:
                yield from self.roles_of(family, guardian)

    def roles_of(
        self, family: SampleFamily, person: SampleStudent | SampleGuardian, *, gone: bool = False
    ) -> Iterator[Row]:
        """The roles of a child or an adult."""
        if isinstance(person, SampleStudent):
            school = self.district.school_of(person).sourced_id
            yield self._role(person.sourced_id, "student", school, gone=gone)
            return
        for school in self.district.schools_of(family, person):
            yield self._role(person.sourced_id, person.role, school, gone=gone)

    def _role(self, user_id: str, role: str, school_id: str, *, gone: bool = False) -> Row:
        return self.stamp.head(f"R-{user_id}-{school_id}", gone=gone) | {
            "userSourcedId": user_id,
            "roleType": "primary",
            "role": role,
            "orgSourcedId": school_id,
        }

    def demographics(self) -> Iterator[Row]:
        """Birth dates, and other cells that a reader has to drop."""
        for student in self.district.people():
            rng = stream(self.district.seed, "birth", student.index)
            age = _KINDERGARTEN_AGE + GRADES.index(student.grade)
            oldest = date(self.year.year - 2 - age, 9, 1)
            yield self.stamp.head(student.sourced_id) | {
                "birthDate": (oldest + timedelta(days=rng.randrange(365))).isoformat(),
                "sex": rng.choice(("female", "male")),
                "hispanicOrLatinoEthnicity": rng.choice(("true", "false")),
                "countryOfBirthCode": "US",
                "stateOfBirthAbbreviation": STATE,
                "cityOfBirth": CITY,
            }

    def relationships(self) -> Iterator[Row]:
        """The side file of links, also those without portal access."""
        for family in self.district.families():
            for link in family.links:
                yield self.link(link, access=link.stated_access)

    def link(self, link: SampleLink, *, access: bool, gone: bool = False) -> Row:
        """The record of one link, with the portal access that it is to state."""
        return self.stamp.head(link.sourced_id, gone=gone) | {
            "studentSourcedId": link.student_id,
            "guardianSourcedId": link.guardian_id,
            "relationship": link.relationship,
            "guardian": yes(link.guardian),
            "portalAccess": yes(access),
            "livesWith": yes(link.lives_with),
            "primaryContact": yes(link.contact_order == 1),
            "emergencyContact": yes(link.guardian and link.lives_with),
            "contactOrder": str(link.contact_order),
        }


def _home(home: Home) -> Row:
    return {
        "metadata.householdId": home.household_id,
        "metadata.address1": home.address1,
        "metadata.address2": home.address2,
        "metadata.city": home.city,
        "metadata.state": home.state,
        "metadata.postCode": home.post_code,
    }


def _other_ends(family: SampleFamily, person_id: str) -> str:
    """The ids at the other ends of a person's links, as agentSourcedIds has them on both sides.

    A link that denies access is left out unless the guardian's role or own row denies it too: here
    nothing can say which child is denied, and the same adults are to see the same children with
    relationships.csv and without it.
    """
    denied = {guardian.sourced_id for guardian in family.guardians if not guardian.portal_access}
    ends = []
    for link in family.links:
        pair = (link.student_id, link.guardian_id)
        if person_id in pair and (link.portal_access or link.guardian_id in denied):
            ends.append(pair[1 - pair.index(person_id)])
    return ",".join(ends)
