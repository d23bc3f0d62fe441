"""What stored items hold, as frozen values that any layer may pass around.

The roster's field for field in the shapes of `docs/architecture.md`, where absent data is None or an
empty tuple; keys, accounts and sessions as the models of `account_items.py`.
"""

from dataclasses import dataclass


@dataclass(frozen=True)
class StudentMatch:
    """A student found by a number: the keyed hash to compare the last four digits with.

    `last4` is None where the roster has no digits (such a student never matches); it was made under
    the version `secret` of the hashing secret, of the text `<number>#<digits>` with `number` the
    very number that found the student.
    """

    student_id: str
    number: str
    last4: str | None
    secret: str | None


@dataclass(frozen=True)
class Link:
    """A relationship of a guardian and a student."""

    student_id: str
    guardian_id: str
    relationship: str | None
    portal_access: bool
    lives_with: bool | None
    primary_contact: bool | None
    emergency_contact: bool | None
    contact_order: int | None


@dataclass(frozen=True)
class ChildName:
    """One of a guardian's students, for the switch between them; decides nothing."""

    student_id: str
    given_name: str
    family_name: str


@dataclass(frozen=True)
class GuardianRecord:
    """A guardian's whole partition: who they are, whom they may see, and what the portal noted.

    `students` holds only links with portal access. Times in epoch seconds.
    """

    guardian_id: str
    sourced_id: str
    given_name: str
    family_name: str
    email: str | None
    phone: str | None
    sms: str | None
    language: str | None
    household_id: str | None
    address1: str | None
    address2: str | None
    city: str | None
    state: str | None
    post_code: str | None
    students: tuple[Link, ...]
    key_generation: int
    account: str | None
    mail_state: str | None
    mail_at: int | None


@dataclass(frozen=True)
class GuardianHome:
    """Where a guardian lives, to tell whether two share a household."""

    guardian_id: str
    household_id: str | None
    address1: str | None
    address2: str | None
    city: str | None
    state: str | None
    post_code: str | None


@dataclass(frozen=True)
class StudentProfile:
    """A student as the roster has them."""

    student_id: str
    sourced_id: str
    given_name: str
    family_name: str
    grade: str | None
    school: str | None
    school_id: str | None
    gtid: str | None
    student_number: str | None
    birth_date: str | None
    household_id: str | None
    address1: str | None
    address2: str | None
    city: str | None
    state: str | None
    post_code: str | None


@dataclass(frozen=True)
class SchoolClass:
    """A class of a student's schedule; dates inclusive, days as `Mon`, times as `HH:MM`."""

    id: str
    title: str
    periods: tuple[str, ...]
    start_time: str | None
    end_time: str | None
    days: tuple[str, ...]
    teacher: str | None
    room: str | None
    term: str | None
    term_start: str | None
    term_end: str | None
    school: str | None


@dataclass(frozen=True)
class AttendanceEvent:
    """An exception of attendance: anything but present."""

    date: str
    type: str
    status: str
    excuse: str | None
    period: str | None
    class_id: str | None
    class_title: str | None
    reason: str | None
    minutes: int | None


@dataclass(frozen=True)
class Totals:
    """Counts of attendance events of the current school year."""

    absent: int = 0
    tardy: int = 0
    early_departure: int = 0
    excused: int = 0
    unexcused: int = 0


@dataclass(frozen=True)
class NewestGrade:
    """One of the newest scores of a student."""

    class_title: str | None
    title: str
    score: float | None
    max_score: float | None
    grade: str | None
    date: str


@dataclass(frozen=True)
class StudentSummary:
    """What home shows of a child, in one item."""

    student_id: str
    given_name: str
    family_name: str
    grade: str | None
    school: str | None
    gtid: str | None
    student_number: str | None
    classes: tuple[SchoolClass, ...]
    recent_attendance: tuple[AttendanceEvent, ...]
    totals: Totals
    newest_grades: tuple[NewestGrade, ...]


# --- keys, accounts, sessions ---------------------------------------------------


@dataclass(frozen=True)
class ActivationKey:
    """An activation key as stored; times in epoch seconds."""

    key_hash: str
    guardian_id: str
    key_generation: int
    state: str
    issued_at: int
    expires_at: int
    used_at: int | None
    used_for: str | None


@dataclass(frozen=True)
class Choices:
    """What a guardian chose on `/preferences`; None where they chose nothing.

    Attributes:
        language: of pages and mails; over the roster's.
        quiet_from: `HH:MM` in the district's zone, as `quiet_to`; both or none.
        on: the notifications that are switched on, each as `<kind>.<channel>`.
    """

    language: str | None = None
    quiet_from: str | None = None
    quiet_to: str | None = None
    on: frozenset[str] = frozenset()


@dataclass(frozen=True)
class Account:
    """An account as stored; times in epoch seconds.

    Attributes:
        not_me_used: of each "this wasn't me" link that was used, when it was made and when used.
    """

    username_key: str
    username: str
    account_id: str
    guardian_id: str
    email: str | None
    email_source: str
    address_hash: str | None
    state: str
    password_hash: str
    session_generation: int
    must_reset: bool
    locked_until: int | None
    created_at: int
    last_sign_in: int | None
    failures: int
    link_generation: int
    password_generation: int
    pending_link: str | None
    not_me_used: tuple[tuple[int, int], ...]
    mail_state: str | None
    choices: Choices
    sso_link: str | None
    sso_generation: int


@dataclass(frozen=True)
class Session:
    """A session as stored; times in epoch seconds."""

    session_hash: str
    username_key: str
    account_id: str
    guardian_id: str
    session_generation: int
    created_at: int
    last_seen: int
    device: str


@dataclass(frozen=True)
class NewAccount:
    """What an account begins with."""

    username: str
    username_key: str
    account_id: str
    guardian_id: str
    password_hash: str
    email: str | None
    address_hash: str | None
