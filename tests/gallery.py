"""Every page and mail in every state, for looking at and for the tests that read or drive pages.

`python -m tests.gallery FOLDER` writes them as HTML files, with the script beside them, and
`index.html` to look through them: links to the pages, and each mail as it arrives.
"""

import html
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

from chalicelib import texts
from chalicelib.policy import Preferences
from chalicelib.web import help_pages
from tests import gallery_records

NOW = datetime(2026, 11, 24, 14, 30, tzinfo=UTC)
IDLE_UNTIL, ENDS_AT = NOW + timedelta(minutes=30), NOW + timedelta(hours=12)
LOCKED_UNTIL = datetime(2026, 11, 25, 5, 0, tzinfo=UTC)
KEY = "7KQM-2XWA-9HTC-R4PD"
HOSTILE = "<script>alert('x')</script>\"'{{7*7}}"

STUDENTS = (
    {
        "id": "4vK2mQ8r",
        "given_name": "Amara",
        "family_name": "Okafor-Delgado",
        "grade": "05",
        "school": "Cascade Elementary School",
        "gtid": "1234567890",
        "student_number": "0041277",
    },
    {
        "id": "9xT7bN3c",
        "given_name": "Mateo",
        "family_name": "Okafor-Delgado",
        "grade": "KG",
        "school": "Cascade Elementary School",
        "gtid": None,
        "student_number": "0052113",
    },
)
CLASSES = (
    ("Mathematics 5", "1", "08:05", "09:00", "Ms. Whitfield", "114"),
    ("English Language Arts", "2", "09:05", "10:20", "Mr. Abernathy", "118"),
    ("Science", "4", "12:40", "13:30", "Ms. Nguyễn", "Lab 2"),
    ("Music", "6", None, None, None, None),
)
TODAY = (
    {
        "student_id": "4vK2mQ8r",
        "date": "2026-11-24",
        "classes": [
            {
                "id": title,
                "title": title,
                "period": period,
                "start_time": start,
                "end_time": end,
                "days": ["Mon", "Tue"],
                "teacher": teacher,
                "room": room,
                "term": "Fall",
                "school": "Cascade Elementary School",
            }
            for title, period, start, end, teacher, room in CLASSES
        ],
        "attendance": [
            {
                "date": "2026-11-24",
                "type": "section",
                "status": "tardy",
                "excuse": "excused",
                "period": "1",
                "class_id": "m5",
                "class": "Mathematics 5",
                "reason": None,
                "minutes": 12,
            }
        ],
        "noted": [
            {
                "date": "2026-11-24",
                "status": "tardy",
                "excuse": "excused",
                "reason": None,
                "minutes": 12,
                "places": [{"class": "Mathematics 5", "period": "1"}],
            }
        ],
        "totals": {
            "absent": 3,
            "tardy": 1,
            "early_departure": 0,
            "excused": 2,
            "unexcused": 2,
        },
        "newest_grades": [
            {
                "class": "Mathematics 5",
                "title": "Fractions quiz",
                "score": 18.0,
                "max_score": 20.0,
                "grade": "A",
                "date": "2026-11-20",
            },
            {
                "class": "Science",
                "title": "Lab report: density of liquids",
                "score": 87.5,
                "max_score": None,
                "grade": None,
                "date": "2026-11-19",
            },
            {
                "class": "English Language Arts",
                "title": "Reading log",
                "score": None,
                "max_score": None,
                "grade": None,
                "date": None,
            },
        ],
    },
    {
        "student_id": "9xT7bN3c",
        "date": "2026-11-24",
        "classes": [],
        "attendance": [],
        "noted": [],
        "totals": {"absent": 0, "tardy": 0, "early_departure": 0, "excused": 0, "unexcused": 0},
        "newest_grades": [],
    },
)
SWITCHER = [
    {
        "name": f"{one['given_name']} {one['family_name']}",
        "path": f"students/{one['id']}",
        "current": place == 0,
    }
    for place, one in enumerate(STUDENTS)
]
AT_HOME = {"switcher": [{**one, "current": False} for one in SWITCHER]}
STUDENT = {"student": STUDENTS[0], "section": "", "today": TODAY[0], "switcher": SWITCHER}
SCHEDULED = [
    {**one, "days": days, "term_start": "2026-08-03", "term_end": "2026-12-18"}
    for one, days in zip(
        TODAY[0]["classes"],  # type: ignore[arg-type]
        (["Mon", "Tue", "Wed", "Thu", "Fri"], ["Mon", "Wed", "Fri"], ["Tue", "Thu"], []),
        strict=True,
    )
]
SCHEDULE = {
    **STUDENT,
    "section": "schedule",
    "switcher": [{**one, "path": f"{one['path']}/schedule"} for one in SWITCHER],
    "current": SCHEDULED,
    "later": [
        {
            **SCHEDULED[2],
            "title": "Art",
            "term": "Spring",
            "term_start": "2027-01-05",
            "term_end": None,
        }
    ],
    "over": [
        {**SCHEDULED[0], "title": "Swimming", "term_start": None, "term_end": "2026-10-02"},
        {**SCHEDULED[3], "title": "Chess", "term_end": "2026-10-02"},
    ],
    "week": [
        {"weekday": 1, "classes": [SCHEDULED[0], SCHEDULED[1], SCHEDULED[3]]},
        {"weekday": 2, "classes": [SCHEDULED[0], SCHEDULED[2], SCHEDULED[3]]},
        {"weekday": 3, "classes": [SCHEDULED[0], SCHEDULED[1], SCHEDULED[3]]},
        {"weekday": 4, "classes": [SCHEDULED[0], SCHEDULED[2], SCHEDULED[3]]},
        {"weekday": 5, "classes": [SCHEDULED[0], SCHEDULED[1], SCHEDULED[3]]},
    ],
}
SESSION = {"idle_until": IDLE_UNTIL, "ends_at": ENDS_AT, "now": NOW, "username": "okafor22"}


@dataclass(frozen=True)
class State:
    """One page in one state; `wrong` are the (field, code, parameters) at fault."""

    page: str
    data: Mapping[str, object] = field(default_factory=dict)
    wrong: tuple[tuple[str, str, dict[str, object]], ...] = ()
    problem: str | None = None
    signed_in: bool = False
    root: str = ""


NOT_ME = "http://portal.localhost:4566/not-me?token=t0k3n-0f-n0t-m3"
RESET = "http://portal.localhost:4566/reset-password?token=t0k3n-0f-r3s3t"
CONFIRM = "http://portal.localhost:4566/confirm-email?token=t0k3n-0f-c0nf1rm"
RULES = {"min_length": 6, "strong": False, "reject_common": True}
CREATE = {"activation_key": KEY, "students": ["Amara", "Mateo"], "rules": RULES}
ACCOUNT: Mapping[str, object] = {
    "username": "okafor22",
    "email": "dolores.delgado@example.com",
    "mail_state": None,
    "sessions": [
        {
            "current": True,
            "created_at": "2026-11-24T13:58:00Z",
            "last_seen": "2026-11-24T14:30:00Z",
            "device": "Firefox, Windows",
        },
        {
            "current": False,
            "created_at": "2026-11-24T04:10:00Z",
            "last_seen": "2026-11-24T14:05:00Z",
            "device": None,
        },
    ],
    "rules": RULES,
    "note": None,
    "sso_linked": False,
}
KNOWN: Mapping[str, str | None] = {
    "address1": "1420 Peachtree Battle Avenue NW",
    "address2": "Apt 3B",
    "city": "Atlanta",
    "state": "GA",
    "post_code": "30327-1234",
    "phone": "404-555-0123",
    "mobile": None,
    "email": "dolores.delgado@example.com",
}
HOUSEHOLD: Mapping[str, object] = {
    "has": KNOWN,
    "verified_on": "2026-08-03",
    "requests": [],
    "may_ask": True,
    "first_day": date(2026, 11, 24),
    "last_day": date(2027, 11, 24),
    "values": {**{k: v or "" for k, v in KNOWN.items()}, "effective_date": "2026-11-24"},
    "note": None,
}
REQUESTS = [
    {
        "id": "r1",
        "status": "pending",
        "changes": {"mobile": "404-555-0199", "address2": None},
        "effective_date": "2026-12-01",
        "comment": "We moved within the house.\nThe old apartment is gone.",
        "decision_comment": None,
        "created_at": "2026-11-24T14:30:00Z",
    },
    {
        "id": "r2",
        "status": "approved",
        "changes": {"email": "dolores.delgado@example.com"},
        "effective_date": "2026-09-01",
        "comment": "New address",
        "decision_comment": "Entered on September 2.",
        "created_at": "2026-08-30T14:30:00Z",
    },
    {
        "id": "r3",
        "status": "denied",
        "changes": {"city": "Decatur"},
        "effective_date": "2026-08-10",
        "comment": "Typing mistake",
        "decision_comment": "Please bring a proof of residence to the office.",
        "created_at": "2026-08-01T14:30:00Z",
    },
]
ALONE = {**ACCOUNT, "sessions": ACCOUNT["sessions"][:1]}  # type: ignore[index]
PREFERENCES: Mapping[str, object] = {
    "values": {
        "language": "es",
        "quiet_from": "21:30",
        "quiet_to": "06:00",
        "attendance.mail": "true",
        "grades.mail": "true",
        "messages.text": "true",
    },
    "kinds": ("attendance", "grades", "behavior", "messages", "emergency"),
    "channels": ("mail", "text", "voice"),
    "always_on": ("emergency",),
    "digest_time": "17:00",
    "email": "dolores.delgado@example.com",
    "done": False,
}
_UNANSWERED: Mapping[str, object] = {
    "year": "2027–28",
    "begins": date(2027, 8, 1),
    "most": 1000,
    "done": False,
    "students": [{**one, "answered": None} for one in STUDENTS],
}
_ANSWERED = {
    "answer": "corrections",
    "at": "2026-11-23T22:14:00Z",
    "by": "Dolores Delgado",
    "own": True,
    "comment": "We have moved.\nThe new address is on the form that we sent.",
}


def _enrollment(first: object, second: object = None, **more: object) -> Mapping[str, object]:
    """Return the data of the enrollment verification with an answer for each child."""
    answers = zip(STUDENTS, (first, second), strict=True)
    return {**_UNANSWERED, "students": [{**one, "answered": said} for one, said in answers], **more}


HELP: Mapping[str, object] = {
    "topics": help_pages.TOPICS,
    "words": help_pages.words(Preferences()),
    "asked": None,
}
STATES: Mapping[str, State] = {
    "sign-in": State("sign-in", {"next": None, "note": None}),
    "sign-in-created": State("sign-in", {"next": None, "note": "account-created"}),
    "sign-in-signed-out": State("sign-in", {"next": None, "note": "signed-out"}),
    "sign-in-ended": State("sign-in", {"next": "students", "note": "session-ended"}),
    "sign-in-sso": State("sign-in", {"next": None, "note": None, "sso": True}),
    "sign-in-failed": State(
        "sign-in",
        {"next": None, "note": None, "values": {"username": "okafor22"}},
        problem="sign-in-failed",
    ),
    "sign-in-locked": State("sign-in", {"next": None, "note": None}, problem="locked-out"),
    "sign-in-reset-required": State(
        "sign-in", {"next": None, "note": None}, problem="password-reset-required"
    ),
    "sign-in-disabled": State("sign-in", {"next": None, "note": None}, problem="account-disabled"),
    "sign-in-too-many": State("sign-in", {"next": None, "note": None}, problem="too-many-tries"),
    "activation-key": State("activation-key", {"notice": "Mail is slow today."}),
    "activation-key-wrong": State(
        "activation-key",
        {"values": {"student_number": "41277x", "ssn_last4": "12"}},
        wrong=(("student_number", "format", {}), ("ssn_last4", "format", {})),
    ),
    "activation-key-no-match": State("activation-key", problem="no-match"),
    "activation-key-done": State("activation-key-done"),
    "activation-key-shown": State(
        "activation-key-shown",
        {
            "keys": [
                {"guardian": "J. D.", "activation_key": KEY},
                {"guardian": "M. O.", "activation_key": None},
            ]
        },
    ),
    "activate": State("activate", {"support_url": None}),
    "activate-wrong": State(
        "activate",
        {"values": {"activation_key": "7KQM-2XWA-9HTC-R4PP"}},
        problem="activation-key-invalid",
    ),
    "create-account": State("create-account", CREATE),
    "create-account-wrong": State(
        "create-account",
        {**CREATE, "rules": {**RULES, "strong": True}, "values": {"username": "okafor"}},
        wrong=(
            ("username", "format", {}),
            ("password", "too-short", {"least": 6}),
            ("password", "not-strong", {}),
            ("verify_password", "mismatch", {}),
        ),
    ),
    "forgot-password": State("forgot-password"),
    "forgot-password-wrong": State("forgot-password", wrong=(("username", "required", {}),)),
    "forgot-password-too-many": State("forgot-password", problem="too-many-tries"),
    "forgot-password-done": State("forgot-password-done", {"minutes": 30}),
    "reset-password": State("reset-password", {"rules": RULES, "username": "okafor22"}),
    "reset-password-wrong": State(
        "reset-password",
        {"rules": {**RULES, "strong": True}, "username": "okafor22"},
        wrong=(("password", "contains-username", {}), ("verify_password", "mismatch", {})),
    ),
    "reset-password-dead": State("reset-password", {"rules": RULES}, problem="reset-link-invalid"),
    "reset-password-done": State("reset-password-done"),
    "forgot-username": State("forgot-username", {"limit": 5, "lockout_scope": "account"}),
    "forgot-username-recovery": State(
        "forgot-username", {"limit": 5, "lockout_scope": "recovery", "support_url": None}
    ),
    "forgot-username-wrong": State(
        "forgot-username",
        {"values": {"email": "dolores.delgado"}},
        wrong=(("email", "format", {}),),
    ),
    "forgot-username-locked": State(
        "forgot-username",
        {"limit": 5, "lockout_scope": "account", "values": {"email": "dolores@example.com"}},
        problem="locked-out",
    ),
    "forgot-username-done": State("forgot-username-done"),
    "confirm-email": State("confirm-email"),
    "confirm-email-dead": State("confirm-email", problem="confirm-link-invalid"),
    "confirm-email-done": State("confirm-email-done"),
    "not-me": State("not-me"),
    "not-me-dead": State("not-me", problem="not-me-link-invalid"),
    "not-me-done": State("not-me-done"),
    "account": State("account", ACCOUNT, signed_in=True),
    "account-alone": State("account", ALONE, signed_in=True),
    "account-no-email": State("account", {**ALONE, "email": None}, signed_in=True),
    "account-bounced": State("account", {**ALONE, "mail_state": "bounced"}, signed_in=True),
    "account-complained": State("account", {**ALONE, "mail_state": "complained"}, signed_in=True),
    "account-password-changed": State(
        "account", {**ALONE, "note": "password-changed"}, signed_in=True
    ),
    "account-email-sent": State("account", {**ACCOUNT, "note": "email-sent"}, signed_in=True),
    "account-sessions-ended": State("account", {**ALONE, "note": "sessions-ended"}, signed_in=True),
    "account-sso": State("account", {**ALONE, "sso": True}, signed_in=True),
    "account-sso-linked": State(
        "account",
        {**ALONE, "sso": True, "sso_linked": True, "note": "sso-linked"},
        signed_in=True,
    ),
    "account-sso-unlinked": State(
        "account", {**ALONE, "sso": True, "note": "sso-unlinked"}, signed_in=True
    ),
    "account-sso-wrong": State(
        "account",
        {**ALONE, "sso": True, "path": "/account/sso"},
        wrong=(("current_password", "wrong", {}),),
        signed_in=True,
        root="../",
    ),
    "sso": State(
        "sso",
        {"location": "https://id.example.org/authorize?client_id=portal", "path": "/account/sso"},
        signed_in=True,
        root="../",
    ),
    "problem-sso-not-linked": State(
        "problem", {"status": 403, "reference": None, "code": "sso-not-linked"}
    ),
    "problem-sso-unavailable": State(
        "problem", {"status": 502, "reference": None, "code": "sso-unavailable"}
    ),
    "account-password-wrong": State(
        "account",
        {**ACCOUNT, "path": "/account/password"},
        wrong=(
            ("current_password", "wrong", {}),
            ("password", "too-short", {"least": 6}),
            ("verify_password", "mismatch", {}),
        ),
        signed_in=True,
        root="../",
    ),
    "account-email-wrong": State(
        "account",
        {**ACCOUNT, "path": "/account/email", "values": {"email": "dolores@"}},
        wrong=(("email", "format", {}), ("current_password", "wrong", {})),
        signed_in=True,
        root="../",
    ),
    "account-sessions-wrong": State(
        "account",
        {**ACCOUNT, "path": "/account/sessions/end"},
        wrong=(("current_password", "required", {}),),
        signed_in=True,
        root="../../",
    ),
    "account-too-many": State(
        "account",
        {**ACCOUNT, "path": "/account/password"},
        problem="too-many-tries",
        signed_in=True,
        root="../",
    ),
    "household": State("household", HOUSEHOLD, signed_in=True),
    "household-bare": State(
        "household",
        {**HOUSEHOLD, "has": dict.fromkeys(KNOWN), "verified_on": None, "values": {}},
        signed_in=True,
    ),
    "household-requests": State(
        "household",
        {**HOUSEHOLD, "requests": REQUESTS, "note": "requested"},
        signed_in=True,
    ),
    "household-confirmed": State(
        "household",
        {**HOUSEHOLD, "verified_on": "2026-11-24", "note": "confirmed"},
        signed_in=True,
    ),
    "household-full": State(
        "household",
        {**HOUSEHOLD, "requests": REQUESTS[:1] * 5, "may_ask": False},
        signed_in=True,
    ),
    "household-wrong": State(
        "household",
        {**HOUSEHOLD, "values": {"state": "Peach", "post_code": "303", "phone": "12"}},
        wrong=(
            ("state", "format", {}),
            ("post_code", "format", {}),
            ("phone", "format", {}),
            ("effective_date", "out-of-bounds", {"bounds": "2026-11-24–2027-11-24"}),
            ("comment", "required", {}),
        ),
        signed_in=True,
    ),
    "household-unchanged": State(
        "household", HOUSEHOLD, wrong=(("action", "required", {}),), signed_in=True
    ),
    "preferences": State("preferences", PREFERENCES, signed_in=True),
    "preferences-new": State(
        "preferences", {**PREFERENCES, "values": {}, "email": None}, signed_in=True
    ),
    "preferences-saved": State("preferences", {**PREFERENCES, "done": True}, signed_in=True),
    "preferences-wrong": State(
        "preferences",
        {**PREFERENCES, "values": {"language": "en", "quiet_from": "21:00"}},
        wrong=(("quiet_to", "required", {}),),
        signed_in=True,
    ),
    "home-no-email": State(
        "home",
        {"students": STUDENTS[1:], "today": TODAY, "email": None, "mail_state": None},
        signed_in=True,
    ),
    "home-bounced": State(
        "home",
        {
            "students": STUDENTS[1:],
            "today": TODAY,
            "email": "dolores@example.com",
            "mail_state": "bounced",
        },
        signed_in=True,
    ),
    "home": State("home", {"students": STUDENTS, "today": TODAY, **AT_HOME}, signed_in=True),
    "home-last": State(
        "home",
        {
            "students": STUDENTS[:1],
            "today": TODAY,
            "last_sign_in": "2026-11-23T22:14:00Z",
            "failed_since": 2,
        },
        signed_in=True,
    ),
    "home-empty": State("home", {"students": [], "today": []}, signed_in=True),
    "students": State("students", {"students": STUDENTS, **AT_HOME}, signed_in=True),
    "student": State("student", STUDENT, signed_in=True, root="../"),
    "student-no-numbers": State(
        "student",
        {
            "student": {**STUDENTS[1], "student_number": None},
            "section": "",
            "today": TODAY[1],
        },
        signed_in=True,
        root="../",
    ),
    "student-schedule": State("student-schedule", SCHEDULE, signed_in=True, root="../../"),
    "student-schedule-no-days": State(
        "student-schedule",
        {**SCHEDULE, "current": SCHEDULED[3:], "later": [], "over": [], "week": []},
        signed_in=True,
        root="../../",
    ),
    "student-schedule-ended": State(
        "student-schedule",
        {**SCHEDULE, "current": [], "later": [], "week": []},
        signed_in=True,
        root="../../",
    ),
    "student-schedule-empty": State(
        "student-schedule",
        {**SCHEDULE, "current": [], "later": [], "over": [], "week": []},
        signed_in=True,
        root="../../",
    ),
    "students-empty": State("students", {"students": []}, signed_in=True),
    **{
        f"student-{name}": State(
            f"student-{section}",
            {**STUDENT, "section": section, **data},
            signed_in=True,
            root="../../",
        )
        for name, section, data in (
            ("attendance", "attendance", gallery_records.attendance()),
            (
                "attendance-class",
                "attendance",
                {**gallery_records.attendance(), "filtered": True, "class_title": "Science"},
            ),
            ("attendance-none", "attendance", gallery_records.NO_ATTENDANCE),
            (
                "attendance-unknown",
                "attendance",
                {**gallery_records.NO_ATTENDANCE, "year": None, "filtered": True},
            ),
            ("grades", "grades", gallery_records.grades()),
            (
                "grades-older",
                "grades",
                {**gallery_records.grades(), "newest": "grades", "older": "grades?before=x"},
            ),
            ("grades-class", "grades", {**gallery_records.grades(), "filtered": True}),
            ("grades-none", "grades", gallery_records.NO_GRADES),
            ("grades-no-class", "grades", {**gallery_records.NO_GRADES, "filtered": True}),
        )
    },
    "home-enrollment": State(
        "home",
        {
            "students": STUDENTS,
            "today": TODAY,
            "enrollment": {"year": "2027–28", "unanswered": ["Amara", "Mateo"]},
        },
        signed_in=True,
    ),
    "enrollment": State("enrollment", _UNANSWERED, signed_in=True),
    "enrollment-done": State("enrollment", _enrollment(_ANSWERED, done=True), signed_in=True),
    "enrollment-others": State(
        "enrollment",
        _enrollment(
            {**_ANSWERED, "answer": "returning", "own": False, "comment": None},
            {**_ANSWERED, "answer": "not-returning", "own": False, "by": None, "comment": None},
        ),
        signed_in=True,
    ),
    "enrollment-wrong": State(
        "enrollment",
        {**_UNANSWERED, "refused_form": STUDENTS[0]["id"], "values": {"comment": "x" * 40}},
        wrong=(("answer", "required", {}), ("comment", "too-long", {"most": 1000})),
        signed_in=True,
    ),
    "enrollment-change-wrong": State(
        "enrollment",
        _enrollment(
            {**_ANSWERED, "answer": "returning", "comment": None},
            refused_form=STUDENTS[0]["id"],
            values={"answer": "corrections"},
        ),
        wrong=(("comment", "required", {}),),
        signed_in=True,
    ),
    "enrollment-empty": State("enrollment", {**_UNANSWERED, "students": []}, signed_in=True),
    "session": State("session", {"idle_until": IDLE_UNTIL, "ends_at": ENDS_AT}, signed_in=True),
    "help": State("help", HELP),
    "help-found": State("help", {**HELP, "topics": help_pages.TOPICS[2:3], "asked": "gtid"}),
    "help-none": State("help", {**HELP, "topics": (), "asked": "cafeteria", "support_url": None}),
    "help-signed-in": State("help", HELP, signed_in=True),
    "problem": State("problem", {"status": 404, "reference": None, "code": "not-found"}),
    "problem-reference": State(
        "problem", {"status": 500, "reference": "8f14e45f-ceea", "code": "internal-error"}
    ),
    "problem-code": State("problem-code", {"code": "too-many-tries"}),
}

MAIL_DATA: Mapping[str, object] = {
    "name": "Dolores",
    "students": ["Amara", "Mateo"],
    "activation_key": KEY,
    "expires_on": date(2026, 12, 24),
    "username": "okafor22",
    "not_me": NOT_ME,
    "time_zone": "America/New_York",
    "district_name": "Atlanta Public Schools",
    "portal_url": "http://portal.localhost:4566/",
    "support_url": "https://support.example.org/tickets",
}
DECIDED: Mapping[str, object] = {
    "asked_on": date(2026, 11, 20),
    "effective_date": date(2026, 12, 1),
    "fields": ["address1", "mobile"],
    "comment": "Please bring a proof of residence to the office.",
}
NEWS = [
    {
        "given_name": "Amara",
        "attendance": [
            {**event, "class_title": event["class"]}
            for event in TODAY[0]["attendance"]  # type: ignore[attr-defined]
        ],
        "grades": [
            {**one, "class_title": one["class"]}
            for one in TODAY[0]["newest_grades"]  # type: ignore[attr-defined]
        ],
    },
    {
        "given_name": "Mateo",
        "attendance": [
            {
                "date": "2026-11-23",
                "status": "absent",
                "excuse": "unknown",
                "class_title": None,
                "period": None,
            }
        ],
        "grades": [],
    },
]
# Every mail by the name of what it tells: its template, and its data beside the common.
MAILS: Mapping[str, tuple[str, Mapping[str, object]]] = {
    "activation-key": ("activation-key", {}),
    "account-exists": ("account-exists", {}),
    "account-created": ("account-created", {}),
    "address-changed": ("address-changed", {}),
    "usernames": ("usernames", {"usernames": ["okafor22", "delgado7"]}),
    "no-account": ("no-account", {}),
    "password-reset": ("password-reset", {"link": RESET, "minutes": 30}),
    "password-changed": ("password-changed", {}),
    "email-confirm": ("email-confirm", {"link": CONFIRM, "hours": 24}),
    "email-change-requested": ("email-change-requested", {}),
    "email-changed": ("email-changed", {}),
    "locked-out": ("locked-out", {"until": LOCKED_UNTIL, "usernames": ["okafor22", "delgado7"]}),
    "locked-out-recovery": (
        "locked-out",
        {"until": LOCKED_UNTIL, "usernames": ["okafor22"], "lockout_scope": "recovery"},
    ),
    "locked-out-one": ("locked-out", {"until": LOCKED_UNTIL, "name": "", "not_me": None}),
    "new-device": ("new-device", {"device": "Firefox, Windows", "time": NOW}),
    "new-device-unknown": ("new-device", {"device": None, "time": NOW}),
    "digest": ("digest", {"children": NEWS}),
    "sso-linked": ("sso-linked", {}),
    "sso-unlinked": ("sso-unlinked", {}),
    "account-disabled": ("account-state-changed", {"state": "disabled"}),
    "account-enabled": ("account-state-changed", {"state": "active"}),
    "account-reset-required": ("account-state-changed", {"state": "reset-required"}),
    "change-request-approved": ("change-request-decided", {"status": "approved", **DECIDED}),
    "change-request-denied": ("change-request-decided", {"status": "denied", **DECIDED}),
}


def render(state: State, language: str, **more: object) -> str:
    """Return a state's page as the web face would have it rendered."""
    data: dict[str, object] = {
        "district_name": "Atlanta Public Schools",
        "support_url": "https://support.example.org/tickets",
        "time_zone": "America/New_York",
        "form_id": "r4nd0m",
        "path": state.page,
        "languages": [
            {"code": code, "name": name, "href": f"?lang={code}", "current": code == language}
            for code, name in texts.language_names().items()
        ],
        "signed_in": state.signed_in,
        "session": SESSION if state.signed_in else None,
        "errors": [
            {
                "field": name,
                "code": code,
                "detail": texts.field_error(language, name, code, parameters),
            }
            for name, code, parameters in state.wrong
        ],
        **state.data,
        **more,
    }
    if state.problem:
        title, detail = texts.problem(
            language, state.problem, time=texts.moment(language, LOCKED_UNTIL, "America/New_York")
        )
        data["problem"] = {"code": state.problem, "title": title, "detail": detail}
    if state.page in ("problem", "problem-code"):
        code = str(state.data["code"])
        data["title"], data["detail"] = texts.problem(language, code)
        data["meaning"] = texts.problem_meaning(language, code)
    return texts.page(state.page, language=language, root=state.root, data=data)


def mail(name: str, /, *languages: str, **more: object) -> texts.RenderedMail:
    """Return one of `MAILS`, filled."""
    template, data = MAILS[name]
    return texts.mail(template, languages=languages, data={**MAIL_DATA, **data, **more})


def write(folder: Path) -> None:
    """Write every page and mail in every language, the script that the pages load, and an index."""
    script = texts.asset("portal.js")
    found = texts.asset_body(script)
    assert found is not None
    (folder / "static").mkdir(parents=True, exist_ok=True)
    (folder / "static" / script).write_text(found[1], encoding="utf-8")
    for language in texts.LANGUAGES:
        for name, state in STATES.items():
            # Here all pages lie in one folder, wherever they are served.
            page = render(replace(state, root=""), language)
            (folder / f"{name}.{language}.html").write_text(page, "utf-8")
    for name, languages, code in _mails():
        rendered = mail(name, *languages)
        (folder / f"mail-{name}.{code}.html").write_text(rendered.html, "utf-8")
        (folder / f"mail-{name}.{code}.txt").write_text(rendered.text, "utf-8")
    (folder / "index.html").write_text(_index(), "utf-8")


def _mails() -> Iterator[tuple[str, tuple[str, ...], str]]:
    """Yield each mail in each language and in all of them: name, languages, how its file ends."""
    for name in MAILS:
        yield from ((name, (language,), language) for language in texts.LANGUAGES)
        yield name, texts.LANGUAGES, "all"


def _index() -> str:
    """Return the page to look through: links to every page, and every mail with both its parts."""
    pages = "".join(
        f"<li>{name}: "
        + " ".join(f'<a href="{name}.{code}.html">{code}</a>' for code in texts.LANGUAGES)
        for name in STATES
    )
    mails = []
    for name, languages, code in _mails():
        rendered = mail(name, *languages)
        file = f"mail-{name}.{code}.html"
        mails.append(
            f'<h3><a href="{file}">{name}, {code}</a></h3><p>{html.escape(rendered.subject)}</p>'
            f'<div><iframe title="{file}" src="{file}"></iframe>'
            f"<pre>{html.escape(rendered.text)}</pre></div>"
        )
    return (
        "<!doctype html><html lang=en><meta charset=utf-8><title>Parent Portal: gallery</title>"
        "<style>body{font-family:sans-serif;margin:2rem}div{display:flex;gap:1rem}iframe,pre{flex:1;"
        "min-width:0;height:34rem;margin:0;border:1px solid;overflow:auto;white-space:pre-wrap}"
        f"</style><h1>Pages</h1><ul>{pages}</ul><h1>Mails</h1>{''.join(mails)}"
    )


if __name__ == "__main__":
    write(Path(sys.argv[1]))
