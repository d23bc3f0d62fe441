"""Nothing of another family: every id of theirs, in every route, method and field (S66, S67, S68).

The answer to each is that to an id which nobody has; nothing of theirs is shown, changed or mailed.
"""

import itertools
import json
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qs, quote, urlencode, urlsplit

import pytest
import time_machine
from moto.core import DEFAULT_ACCOUNT_ID
from moto.dynamodb.models import dynamodb_backends

from chalicelib import settings
from tests import aws_stage, factories, roster_sets, school_records
from tests.aws_stage import AwsStage
from tests.conftest import SentMail
from tests.identity_provider import IdentityProvider
from tests.portal_client import HTML, JSON, Answer, PortalClient

pytestmark = pytest.mark.usefixtures("cheap_hashes")

Visitors = Callable[[], PortalClient]
Mailbox = Callable[[], list[SentMail]]
Invoke = Callable[[str, Any], Any]
FACES = (JSON, HTML)
PROOF = {"current_password": factories.PASSWORD}
# A form posted again is answered as it was at first, so that two answers can be compared.
SAME = {"form_id": "the-same-form"}

# --- every route --------------------------------------------------------------------------


@dataclass(frozen=True)
class Line:
    """What a route takes.

    Attributes:
        fields: bodies, good ones and others; `{own}` is a student of one's own.
        body, query: the fields and parameters in which an id is asked for.
        status: what an id of others in the path, or in one of those, is answered with.
    """

    fields: tuple[Mapping[str, str], ...] = ({},)
    body: tuple[str, ...] = ()
    query: tuple[str, ...] = ()
    status: int | None = None


NO_ID = Line()
STUDENT = Line(status=404)
CHANGE = {
    "action": "change",
    "phone": "404-555-0188",
    "effective_date": "2026-03-10",
    "comment": "new line",
}
SIGNED_IN: dict[tuple[str, str], Line] = {
    ("GET", "/"): NO_ID,
    ("GET", "/students"): NO_ID,
    ("GET", "/students/{id}"): STUDENT,
    ("GET", "/students/{id}/schedule"): STUDENT,
    ("GET", "/students/{id}/attendance"): Line(query=("class", "school_year"), status=404),
    ("GET", "/students/{id}/grades"): Line(query=("class", "before"), status=404),
    ("GET", "/household"): NO_ID,
    ("POST", "/household"): Line(({"action": "confirm"}, CHANGE, {"action": "nothing"})),
    ("GET", "/enrollment"): NO_ID,
    ("POST", "/enrollment"): Line(
        (
            {"student_id": "{own}", "answer": "returning"},
            {"answer": "returning", "comment": "we stay"},
        ),
        body=("student_id",),
        status=404,
    ),
    ("GET", "/account"): NO_ID,
    ("POST", "/account/password"): Line(
        ({**PROOF, "password": factories.PASSWORD, "verify_password": factories.PASSWORD}, {})
    ),
    ("POST", "/account/email"): Line(({**PROOF, "email": "rosa.new@example.net"}, {})),
    ("POST", "/account/sessions/end"): Line((PROOF, {})),
    ("POST", "/account/sso"): Line((PROOF, {})),
    ("POST", "/account/sso/unlink"): Line((PROOF, {})),
    ("GET", "/preferences"): NO_ID,
    ("POST", "/preferences"): Line(({"language": "en", "grades.mail": "true"}, {"language": "xx"})),
    ("GET", "/session"): NO_ID,
    ("POST", "/session"): NO_ID,
    ("POST", "/sign-out"): NO_ID,
    ("GET", "/help"): Line(query=("q",)),
}
# Where nobody is signed in, but somebody may be all the same.
FOR_STRANGERS: dict[tuple[str, str], Line] = {
    ("GET", "/activation-key"): NO_ID,
    ("POST", "/activation-key"): Line(({"student_number": "", "ssn_last4": ""},)),
    ("GET", "/activate"): NO_ID,
    ("POST", "/activate"): Line(body=("activation_key",), status=422),
    ("POST", "/create-account"): Line(body=("activation_key",), status=422),
    ("GET", "/sign-in"): Line(query=("next",)),
    ("POST", "/sign-in"): NO_ID,
    ("GET", "/sso"): NO_ID,
    ("GET", "/sso/callback"): Line(query=("state", "code"), status=403),
    ("GET", "/forgot-username"): NO_ID,
    ("POST", "/forgot-username"): NO_ID,
    ("GET", "/forgot-password"): NO_ID,
    # Whoever types another's username has them mailed a link; it is no field to slip in.
    ("POST", "/forgot-password"): Line(({"username": ""},)),
    **{
        (method, f"/{page}"): Line(**{where: ("token",)}, status=status)  # type: ignore[arg-type]
        for page in ("reset-password", "confirm-email", "not-me")
        for method, where, status in (("GET", "query", None), ("POST", "body", 422))
    },
    ("GET", "/status"): NO_ID,
    ("GET", "/manifest.webmanifest"): NO_ID,
    ("GET", "/service-worker.js"): NO_ID,
    ("GET", "/openapi.json"): NO_ID,
    ("GET", "/static/{name}"): STUDENT,
    ("GET", "/problems/{code}"): STUDENT,
    **{(method, "/{proxy+}"): STUDENT for method in ("GET", "POST")},
}
LINES = SIGNED_IN | FOR_STRANGERS
# Names by which somebody might ask for what isn't theirs.
SLIPPED_IN = (
    *("id", "ids", "student", "student_id", "students", "student_number", "gtid", "class_id"),
    *("guardian", "guardian_id", "household", "household_id", "account", "account_id", "username"),
    *("username_key", "request", "request_id", "requests", "session", "session_hash", "sessions"),
    *("state", "before", "class", "subject", "owner"),
)


def routes(app: Any) -> set[tuple[str, str]]:
    """Return what the app answers; unknown methods of unknown paths are all one route."""
    listed = {(method, path) for path, methods in app.routes.items() for method in methods}
    return {
        (method, path) for method, path in listed if method in ("GET", "POST") or "+" not in path
    }


def test_every_route_has_its_line(portal_app: Any) -> None:
    assert routes(portal_app) == set(LINES)


# --- two families that have nothing in common ----------------------------------------------


@pytest.fixture(autouse=True)
def monday(stage: object) -> Iterator[Any]:
    with time_machine.travel(factories.NOW, tick=False) as clock:
        yield clock


HOME = {"address1": "12 Elm Street", "city": "Atlanta", "state": "GA", "post_code": "30303"}
ROSA = {**HOME, "phone": "404-555-0100", "sms": "404-555-0101", "email": "rosa@example.com"}
QUILL: dict[str, Any] = {
    "given_name": "Boris",
    "family_name": "Quillfeather",
    "email": "boris@quill.example",
    "address1": "77 Secret Pines Drive",
    "address2": "Cabin 9Q",
    "city": "Savannah",
    "state": "GA",
    "post_code": "31401",
    "phone": "912-555-0142",
    "sms": "912-555-0143",
    "household": "hh-of-quillfeathers",
}
SHOWN_TO_QUILL = (
    *("Zelda", "Quillfeather", "77 Secret Pines Drive", "Cabin 9Q", "Savannah", "31401", "7770012"),
    *("912-555-0142", "912-555-0143", "boris@quill.example", "Falconry", "Ms Merlin", "Nest 4"),
    *("Broken wing", "Hunting essay", "Soars above all", "912-555-0199", "from the lawyer"),
    *("stays with me", "7000000123", "QuillB7"),
)


@dataclass
class Families:
    """Rosa, signed in, with a child; and Boris Quillfeather with everything that a family can have."""

    new_visitor: Visitors
    own: factories.SomeStudent
    rosa: factories.SomeAccount
    cookies: dict[str, str]
    boris: PortalClient
    theirs: dict[str, str]
    turns: Iterator[int] = field(default_factory=itertools.count)

    def ask(self, method: str, path: str, fields: Mapping[str, Any], face: str) -> Answer:
        """Ask as Rosa, whose browser keeps nothing from one question to the next."""
        visitor = self.new_visitor()
        visitor.cookies = dict(self.cookies)
        # Limits by address are no matter here.
        visitor.ip = f"198.51.{next(self.turns) % 250}.7"
        if method == "GET":
            answer = visitor.get(path, accept=face)
        else:
            answer = visitor.post(path, {**fields, **SAME}, accept=face, form=face == HTML)
        if "session" not in visitor.cookies:
            self.cookies = factories.signed_in(self.new_visitor, self.rosa).cookies
        return answer


def a_class(name: str) -> dict[str, Any]:
    return {
        "id": school_records.class_id(name),
        "title": name,
        "periods": ["1"],
        "start_time": "08:00",
        "end_time": "08:50",
        "days": ["Mon", "Tue"],
        "teacher": "Ms Merlin" if name == "Falconry" else "Mr Plain",
        "room": "Nest 4" if name == "Falconry" else "1",
        "term": "2025-2026",
        "term_start": None,
        "term_end": None,
        "school": None,
    }


@pytest.fixture
def families(new_visitor: Visitors, provider: IdentityProvider, mailbox: Mailbox) -> Families:
    own = factories.student(classes=[a_class("Math")])
    school_records.put(own, results=[school_records.result("2026-02-06")])
    rosa = factories.account(factories.guardian(own, **ROSA), username="Rosa1")
    zelda = factories.student(
        given_name="Zelda",
        family_name="Quillfeather",
        number="7770012",
        gtid="7000000123",
        household="hh-of-quillfeathers",
        classes=[a_class("Falconry")],
    )
    essays = [
        school_records.result(
            f"2026-02-{day:02}",
            of="Falconry",
            title=f"Hunting essay {n}",
            comment="Soars above all",
        )
        for day in range(1, 27)
        for n in range(2)
    ]
    sick = school_records.event("2026-02-09", of="Falconry", reason="Broken wing")
    school_records.put(zelda, results=essays, events=[sick])
    boris = factories.guardian(zelda, **QUILL)
    account = factories.account(boris, username="QuillB7")
    visitor = factories.signed_in(new_visitor, account)
    factories.signed_in(new_visitor, account)
    change = {**CHANGE, "phone": "912-555-0199", "comment": "from the lawyer"}
    said = {"student_id": zelda.student_id, "answer": "returning", "comment": "stays with me"}
    assert visitor.post("/household", {"action": "confirm"}).status == 200
    assert visitor.post("/household", change).status == 200
    assert visitor.post("/enrollment", said).status == 200
    way = visitor.post("/account/sso", PROOF).json()["location"]
    grades = visitor.get(f"/students/{zelda.student_id}/grades").json()
    (request,) = visitor.get("/household").json()["requests"]
    row = next(row for row in rows("accounts") if row.get("username") == {"S": "QuillB7"})
    session = next(row for row in rows("sessions") if row.get("username_key") == {"S": "quillb7"})
    theirs = {
        "student": zelda.student_id,
        "number": zelda.number,
        "gtid": str(zelda.gtid),
        "guardian": boris.guardian_id,
        "household": "hh-of-quillfeathers",
        "request": request["id"],
        "username": "QuillB7",
        "account": row["account_id"]["S"],
        "session": session["session_hash"]["S"],
        "class": school_records.class_id("Falconry"),
        "assignment": grades["classes"][0]["assignments"][0]["id"],
        "cursor": grades["next"],
        "sso state": parse_qs(urlsplit(way).query)["state"][0],
        "sso handle": visitor.cookies["sso"],
    }
    assert all(theirs.values())
    cookies = factories.signed_in(new_visitor, rosa).cookies
    mailbox()
    return Families(new_visitor, own, rosa, cookies, visitor, theirs)


# --- what is compared ---------------------------------------------------------------------

RANDOM = re.compile(
    r'((?:state|nonce|code_challenge)=|name="form_id" value="|"reference": ")[A-Za-z0-9_-]+'
)


def rows(table: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = (
        aws_stage.client("dynamodb").scan(TableName=settings.name(table)).get("Items", [])
    )
    return found


def tables() -> dict[str, str]:
    """Return every row of every table by table and key, from where moto keeps them."""
    found = {}
    for name, table in dynamodb_backends[DEFAULT_ACCOUNT_ID][aws_stage.REGION].tables.items():
        keys = [part["AttributeName"] for part in table.schema]
        for item in table.all_items():
            row = item.to_json()["Attributes"]
            found[json.dumps([name, *(row[key] for key in keys)])] = json.dumps(row, sort_keys=True)
    return found


def changed(before: Mapping[str, str]) -> dict[str, str]:
    """Return what was written, changed or deleted since, before and after."""
    after = tables()
    return {
        key: f"{before.get(key)} -> {after.get(key)}"
        for key in before.keys() | after.keys()
        if before.get(key) != after.get(key)
    }


# Ids that nobody has: one like ours, and one like a place among a student's assignments.
NOBODYS = {False: "A" * 20, True: "2026-02-05." + "A" * 20}
# Where an id of others is no page; a class or a year of others only leaves the page without any.
REFUSED = {"{id}", "{name}", "{code}", "{proxy+}", "student_id", "activation_key", "code"}


def plain(answer: Answer, *sent: str) -> tuple[object, ...]:
    """Return an answer without what is random, and without what was sent: forms show it again."""
    said = [RANDOM.sub(r"\1…", one) for one in (answer.text, answer.header("location") or "")]
    for value in sorted(sent, key=len, reverse=True):
        said = [text.replace(value, "…") for text in said]
    text, location = said
    kept = {line.partition("=")[0] for line in answer.headers.get("set-cookie", [])} - {"lang"}
    return answer.status, answer.header("content-type"), location, sorted(kept), text


def leaked(said: tuple[object, ...]) -> list[str]:
    """Return what of Boris's family stands in an answer."""
    return [value for value in SHOWN_TO_QUILL if value in f"{said[2]} {said[4]}"]


def own_ids(families: Families, fields: Mapping[str, str]) -> dict[str, str]:
    return {k: v.replace("{own}", families.own.student_id) for k, v in fields.items()}


# --- each id of theirs --------------------------------------------------------------------


@dataclass(frozen=True)
class Place:
    """Where a route takes an id: in its path, a parameter or a field."""

    method: str
    route: str
    name: str
    fields: Mapping[str, str] = field(default_factory=dict)

    def ask(self, families: Families, value: str, face: str) -> Answer:
        fields, path = own_ids(families, self.fields), self.route
        if self.name in path:
            path = path.replace(self.name, quote(value, safe=""))
        else:
            path = path.replace("{id}", families.own.student_id)
            if self.method == "POST":
                fields |= {self.name: value}
            else:
                path += f"?{urlencode({self.name: value})}"
        return families.ask(self.method, path, fields, face)


def places() -> Iterator[tuple[Place, Line]]:
    for (method, route), line in LINES.items():
        for parameter in re.findall(r"\{.+?\}", route):
            yield Place(method, route, parameter), line
        for name in (*line.query, *line.body):
            for fields in line.fields:
                yield Place(method, route, name, fields), line


def test_an_id_of_others_is_answered_like_one_that_nobody_has(
    families: Families, mailbox: Mailbox
) -> None:
    wrong = []
    for place, line in places():
        before = tables()
        faces = FACES if (place.method, place.route) in SIGNED_IN else (HTML,)
        controls = {
            (face, shape): plain(place.ask(families, value, face), value)
            for shape, value in NOBODYS.items()
            for face in faces
        }
        for kind, value in families.theirs.items():
            for face in faces:
                said = plain(place.ask(families, value, face), value)
                if said != controls[face, kind == "cursor"] or leaked(said):
                    wrong.append((str(place), kind, face, str(said[0])))
                if place.name in REFUSED and said[0] != line.status:
                    wrong.append((str(place), kind, face, str(said[0])))
        written = changed(before)
        if line.status == 404 and written:
            wrong.append((str(place), "wrote", "", str(written)))
        wrong += [(str(place), "touched", "", row) for row in touched(families, written)]
    assert wrong == []
    assert mailbox() == []


def touched(families: Families, written: Mapping[str, str]) -> list[str]:
    """Return the rows, of those that were written, in which anything of Boris's family stands."""
    theirs = (*families.theirs.values(), *SHOWN_TO_QUILL, "quillb7")
    return [f"{x} {key} {row}" for key, row in written.items() for x in theirs if x in key + row]


# --- slipped in beside what is asked for --------------------------------------------------


def slipped_in(families: Families) -> dict[str, str]:
    """Return one of Boris's ids for each name that somebody might try."""
    theirs = families.theirs
    exact = {
        "gtid": "gtid",
        "student_number": "number",
        "class_id": "class",
        "account_id": "account",
        "request_id": "request",
        "requests": "request",
        "session_hash": "session",
        "sessions": "session",
        "household_id": "household",
        "guardian_id": "guardian",
        "username_key": "username",
        "state": "sso state",
        "before": "cursor",
        "owner": "account",
        "subject": "account",
    }
    return {
        name: theirs[exact.get(name, name if name in theirs else "student")] for name in SLIPPED_IN
    }


def test_what_is_slipped_in_is_not_looked_at(families: Families, mailbox: Mailbox) -> None:
    wrong, slips = [], slipped_in(families)
    for (method, route), line in LINES.items():
        path = re.sub(r"\{id\}", families.own.student_id, route)
        path = re.sub(r"\{.+\}", "nothing", path)
        for fields in line.fields:
            for face in FACES:
                before, answers = tables(), []
                for slip in (slips, dict.fromkeys(slips, NOBODYS[False])):
                    extra = {
                        name: value
                        for name, value in slip.items()
                        if name not in (*line.query, *fields, *line.body)
                    }
                    answer = families.ask(
                        method,
                        f"{path}?{urlencode(extra)}",
                        {**extra, **own_ids(families, fields)},
                        face,
                    )
                    answers.append(plain(answer, *slip.values()))
                real, control = answers
                # What was done twice may be there twice.
                if method == "POST" and real[0] in (200, 201, 202):
                    real, control = real[:4], control[:4]
                if real != control or leaked(answers[0]):
                    wrong.append((method, route, dict(fields), face, real[0], leaked(answers[0])))
                written = changed(before)
                if method == "GET" and route != "/sso" and written:
                    wrong.append((method, route, "wrote", written, 0, []))
                wrong += [
                    (method, route, "touched", row, 0, []) for row in touched(families, written)
                ]
    assert wrong == []
    assert {mail.recipient for mail in mailbox()} <= {"rosa@example.com", "rosa.new@example.net"}


def test_what_must_not_be_seen_is_there_to_be_seen(families: Families) -> None:
    """The family of whom nothing is shown sees all of it, so that the searches search for something."""
    student = f"/students/{families.theirs['student']}"
    pages = ["/", "/students", "/household", "/account", "/enrollment", student]
    pages += [f"{student}/{section}" for section in ("schedule", "attendance", "grades")]
    seen = "".join(families.boris.get(page, accept=face).text for page in pages for face in FACES)
    assert [value for value in SHOWN_TO_QUILL if value not in seen] == []
    older = families.boris.get(f"{student}/grades?before={families.theirs['cursor']}")
    assert older.json()["classes"][0]["assignments"]


# --- one child, two households (S68) -------------------------------------------------------


def pages(visitor: PortalClient, student_id: str) -> str:
    """Return all that a guardian gets: every route, shown and refused, as a page and as data."""
    cookies, said = dict(visitor.cookies), []
    for method, route in SIGNED_IN:
        path = route.replace("{id}", student_id)
        for face in FACES:
            if method == "GET":
                answer = visitor.get(path, accept=face)
            elif route != "/sign-out":
                answer = visitor.post(path, accept=face, form=face == HTML)
            said.append(f"{answer.headers} {answer.text}")
            visitor.cookies = dict(cookies)
    return "".join(said)


@dataclass(frozen=True)
class Household:
    """One parent of the child, signed in, and what only they and the school know."""

    visitor: PortalClient
    address: str
    secrets: tuple[str, ...]


def moved_in(
    new_visitor: Visitors,
    invoke: Invoke,
    child: factories.SomeStudent,
    name: str,
    place: str,
    **how: Any,
) -> Household:
    """Return a parent who confirmed, asked for a change that was decided, and asked for another."""
    email, home = f"{name}@{place}.example", f"77 {place} Drive"
    numbers = {"phone": f"912-555-01{len(name)}0", "sms": f"912-555-01{len(name)}1"}
    parent = factories.guardian(
        child, given_name=name, email=email, **{**HOME, "address1": home}, **numbers, **how
    )
    who = factories.account(parent, username=f"{name}1")
    visitor = factories.signed_in(new_visitor, who)
    assert visitor.post("/household", {"action": "confirm"}).status == 200
    asked = []
    for comment in ("lawyer", "court"):
        change = {**CHANGE, "phone": f"912-555-01{len(name)}2", "comment": f"{comment} of {name}"}
        (request, *_) = visitor.post("/household", change).json()["requests"]
        asked.append(request["id"])
    decided = {"request_id": asked[0], "decision": "deny", "comment": f"no lease of {name}"}
    assert "error" not in invoke("decide_change_request", decided)
    known = (home, email, name, *numbers.values(), f"912-555-01{len(name)}2")
    return Household(visitor, email, (*known, f"lawyer of {name}", f"court of {name}", *asked))


@pytest.mark.parametrize("household", ["h1", "h2"])
def test_two_households_of_a_child_learn_nothing_of_each_other(
    new_visitor: Visitors, mailbox: Mailbox, invoke: Invoke, household: str | None
) -> None:
    """Also where the roster gives both one id: an address of their own parts them."""
    child = factories.student(given_name="Zelda", family_name="Quillfeather")
    both = (
        moved_in(new_visitor, invoke, child, "Rosalind", "Elm"),
        moved_in(new_visitor, invoke, child, "Barnaby", "Pine", household=household),
    )
    for own, other in (both, both[::-1]):
        comment = f"answered at {own.address}"
        said = {"student_id": child.student_id, "answer": "returning", "comment": comment}
        assert own.visitor.post("/enrollment", said).status == 200
        seen = pages(other.visitor, child.student_id)
        assert "Zelda" in seen
        assert [value for value in (*own.secrets, comment) if value in seen] == []
        assert comment in pages(own.visitor, child.student_id)
    mails = mailbox()
    for own, other in (both, both[::-1]):
        told = "".join(mail.subject + mail.html for mail in mails if mail.recipient == own.address)
        assert "no lease of" in told
        assert [value for value in other.secrets if value in told] == []
    assert {mail.recipient for mail in mails} == {one.address for one in both}


# --- access that an import takes (S67) -----------------------------------------------------


def test_a_delta_that_bars_a_parent_takes_the_child_out_of_open_sessions_on_every_route(
    stage: AwsStage, new_visitor: Visitors
) -> None:
    """One parent keeps another child, one has none left."""
    office = roster_sets.Office(stage)
    families = roster_sets.district(3, relationships=True)
    families.files["relationships.csv"].append(roster_sets.relationship("s2", "g1a"))
    office.upload(families)
    kept, lost, only = (roster_sets.student_id(one) for one in ("s1", "s2", "s3"))
    visitors = {}
    for parent, child in (("g1a", lost), ("g3a", only)):
        known = factories.SomeGuardian(roster_sets.guardian_id(parent), None)
        who = factories.account(known, username=f"Parent{parent}")
        visitors[child] = factories.signed_in(new_visitor, who)
        assert child in pages(visitors[child], child)
    barred = [
        roster_sets.relationship(*of, portalAccess="false", dateLastModified="2026-03-02T00:00:00Z")
        for of in (("s2", "g1a"), ("s3", "g3a"))
    ]
    office.upload(roster_sets.delta(relationships=barred))
    for child, name in ((lost, "Kid2"), (only, "Kid3")):
        seen = pages(visitors[child], kept)
        assert (child in seen, name in seen) == (False, False)
        answers = [
            visitors[child].request(method, route.replace("{id}", child), accept=face)
            for method, route in LINES
            if "{id}" in route
            for face in FACES
        ]
        said = {"student_id": child, "answer": "returning"}
        answers += [visitors[child].post("/enrollment", said, form=form) for form in (True, False)]
        assert {answer.status for answer in answers} == {404}
        assert name not in "".join(answer.text for answer in answers)
    assert "Kid1" in pages(visitors[lost], kept)
    for act in ({}, {"action": "confirm"}, CHANGE):
        assert visitors[only].post("/household", act).code == "not-found"
    assert visitors[only].get("/household").code == "not-found"
