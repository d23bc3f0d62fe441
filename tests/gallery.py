"""Every page and mail in every state, for looking at and for the tests that read or drive pages.

`python -m tests.gallery FOLDER` writes them as HTML files, with the script beside them.
"""

import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

from chalicelib import texts

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
        "totals": {"absent": 0, "tardy": 0, "early_departure": 0, "excused": 0, "unexcused": 0},
        "newest_grades": [],
    },
)
SESSION = {"idle_until": IDLE_UNTIL, "ends_at": ENDS_AT, "now": NOW}


@dataclass(frozen=True)
class State:
    """One page in one state; `wrong` are the (field, code, parameters) at fault."""

    page: str
    data: Mapping[str, object] = field(default_factory=dict)
    wrong: tuple[tuple[str, str, dict[str, object]], ...] = ()
    problem: str | None = None
    signed_in: bool = False


RULES = {"min_length": 6, "strong": False, "reject_common": True}
CREATE = {"activation_key": KEY, "students": ["Amara", "Mateo"], "rules": RULES}
STATES: Mapping[str, State] = {
    "sign-in": State("sign-in", {"next": None, "note": None}),
    "sign-in-created": State("sign-in", {"next": None, "note": "account-created"}),
    "sign-in-signed-out": State("sign-in", {"next": None, "note": "signed-out"}),
    "sign-in-ended": State("sign-in", {"next": "students", "note": "session-ended"}),
    "sign-in-failed": State(
        "sign-in",
        {"next": None, "note": None, "values": {"username": "okafor22"}},
        problem="sign-in-failed",
    ),
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
    "home": State("home", {"students": STUDENTS, "today": TODAY}, signed_in=True),
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
    "students": State("students", {"students": STUDENTS}, signed_in=True),
    "students-empty": State("students", {"students": []}, signed_in=True),
    "session": State("session", {"idle_until": IDLE_UNTIL, "ends_at": ENDS_AT}, signed_in=True),
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
    "district_name": "Atlanta Public Schools",
    "portal_url": "http://portal.localhost:4566/",
    "support_url": "https://support.example.org/tickets",
}
MAILS = ("activation-key", "account-exists", "account-created", "address-changed")


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
    return texts.page(state.page, language=language, root="", data=data)


def mail(kind: str, *languages: str, **more: object) -> texts.RenderedMail:
    """Return one of the mails, filled."""
    return texts.mail(kind, languages=languages, data={**MAIL_DATA, **more})


def write(folder: Path) -> None:
    """Write every page and mail in every language, and the script that the pages load."""
    script = texts.asset("portal.js")
    found = texts.asset_body(script)
    assert found is not None
    (folder / "static").mkdir(parents=True, exist_ok=True)
    (folder / "static" / script).write_text(found[1], encoding="utf-8")
    for language in texts.LANGUAGES:
        for name, state in STATES.items():
            (folder / f"{name}.{language}.html").write_text(render(state, language), "utf-8")
        for name in MAILS:
            rendered = mail(name, language)
            (folder / f"mail-{name}.{language}.html").write_text(rendered.html, "utf-8")
            (folder / f"mail-{name}.{language}.txt").write_text(rendered.text, "utf-8")
    both = mail("activation-key", *texts.LANGUAGES)
    (folder / "mail-activation-key.both.html").write_text(both.html, "utf-8")


if __name__ == "__main__":
    write(Path(sys.argv[1]))
