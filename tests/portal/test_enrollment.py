"""Enrollment verification: whose children, which answers, who sees them, and the reminder on home."""

import json
from collections.abc import Callable
from typing import Any

import pytest
import time_machine

from chalicelib import settings
from chalicelib.domain import family
from chalicelib.storage import enrollment, roster
from tests import aws_stage, factories, permissions
from tests.portal_client import HTML, Answer, PortalClient

Visitors = Callable[[], PortalClient]
# On this Monday of March 2026 the coming school year is the one that begins in August.
YEAR, AT = "2026-27", "2026-03-02T15:00:00Z"
REMINDER = "Please answer the enrollment verification for 2026–27"


@pytest.fixture(autouse=True)
def monday(stage: object) -> Any:
    with time_machine.travel(factories.NOW, tick=False) as clock:
        yield clock


class Family:
    """Ana, who has two guardians, each with an account, and Ben, who has only Rosa."""

    def __init__(
        self, new_visitor: Visitors, *, households: tuple[str, str] = ("h1", "h1")
    ) -> None:
        self.ana, self.ben = factories.student(), factories.student(given_name="Ben")
        self.rosa = self._sign_in(new_visitor, "Rosa", households[0], self.ana, self.ben)
        self.luis = self._sign_in(new_visitor, "Luis", households[1], self.ana)

    @staticmethod
    def _sign_in(
        new_visitor: Visitors, name: str, household: str, *students: factories.SomeStudent
    ) -> PortalClient:
        who = factories.guardian(
            *students,
            given_name=name,
            email=f"{name}@example.com",
            household=household,
            address1="7 Oak Lane",
        )
        account = factories.account(who, username=f"{name}1")
        return factories.signed_in(new_visitor, account)


@pytest.fixture
def rivera(new_visitor: Visitors) -> Family:
    return Family(new_visitor)


def say(
    visitor: PortalClient, child: factories.SomeStudent, answer: str = "returning", **fields: str
) -> Answer:
    return visitor.post("/enrollment", {"student_id": child.student_id, "answer": answer, **fields})


def said(visitor: PortalClient) -> dict[str, Any]:
    """Return what a guardian sees, by student."""
    seen = visitor.get("/enrollment").json()
    assert set(seen) == {"school_year", "students"}
    return {one["student_id"]: one for one in seen["students"]}


def stored() -> list[dict[str, Any]]:
    """Return every item of the table `requests`."""
    rows = aws_stage.client("dynamodb").scan(TableName=settings.name("requests"))["Items"]
    return [{name: next(iter(value.values())) for name, value in row.items()} for row in rows]


def audited() -> list[str]:
    """Return the answers in the audit, the oldest first."""
    rows = aws_stage.client("dynamodb").scan(TableName=settings.name("audit"))["Items"]
    given = [row for row in rows if row["action"]["S"] == "enrollment"]
    return [row["outcome"]["S"] for row in sorted(given, key=lambda row: row["at_id"]["S"])]


# --- answering ----------------------------------------------------------------------------


def test_each_child_waits_for_an_answer_and_then_shows_who_gave_it_and_when(rivera: Family) -> None:
    before = rivera.rosa.get("/enrollment").json()
    assert before["school_year"] == YEAR
    nothing = {"answer": None, "answered_at": None, "answered_by": None}
    assert before["students"] == [
        {"student_id": rivera.ana.student_id, **nothing},
        {"student_id": rivera.ben.student_id, **nothing},
    ]
    answer = say(rivera.rosa, rivera.ana)
    assert answer.status == 200
    assert answer.json() == rivera.rosa.get("/enrollment").json()
    seen = said(rivera.luis)
    assert seen == {
        rivera.ana.student_id: {
            "student_id": rivera.ana.student_id,
            "answer": "returning",
            "answered_at": AT,
            "answered_by": "Rosa Rivera",
        }
    }
    assert said(rivera.rosa)[rivera.ben.student_id]["answer"] is None


def test_an_answer_can_be_changed_by_each_guardian_and_the_last_counts(
    rivera: Family, monday: Any
) -> None:
    say(rivera.rosa, rivera.ana, "returning")
    monday.shift(60)
    say(rivera.luis, rivera.ana, "not-returning", comment="We are moving.")
    for visitor in (rivera.rosa, rivera.luis):
        seen = said(visitor)[rivera.ana.student_id]
        assert (seen["answer"], seen["answered_by"]) == ("not-returning", "Luis Rivera")
    (kept,) = stored()
    assert kept["comment"] == "We are moving."
    assert audited() == ["returning", "not-returning"]


def test_the_office_finds_every_answer_in_the_audit_and_no_comment(rivera: Family) -> None:
    say(rivera.rosa, rivera.ana, "corrections", comment="The name is Anna.")
    rows = aws_stage.client("dynamodb").scan(TableName=settings.name("audit"))["Items"]
    (entry,) = (row for row in rows if row["action"]["S"] == "enrollment")
    assert entry["subject"]["S"] == f"student#{rivera.ana.student_id}"
    assert entry["operator"]["S"] == "guardian"
    assert set(json.loads(entry["details"]["S"])) == {"school_year", "guardian_id"}
    assert "Anna" not in json.dumps(rows)


def test_posted_twice_is_one_answer(rivera: Family, monday: Any) -> None:
    first = say(rivera.rosa, rivera.ana, form_id="f1")
    monday.shift(30)
    again = say(rivera.rosa, rivera.ana, form_id="f1")
    assert (first.status, again.status) == (200, 200)
    assert again.json() == first.json()
    assert audited() == ["returning"]


def test_a_browser_comes_back_to_the_page_which_says_it_is_saved(rivera: Family) -> None:
    fields = {"student_id": rivera.ana.student_id, "answer": "returning", "comment": ""}
    answer = rivera.rosa.post("/enrollment", fields, form=True, accept=HTML)
    assert (answer.status, answer.header("location")) == (303, "./enrollment?done")
    page = rivera.rosa.get("/enrollment?done", accept=HTML)
    assert page.status == 200
    assert "Your answer has been saved." in page.text
    assert "You answered on " in page.text
    assert page.header("cache-control") == "no-store"


# --- what doesn't fit ---------------------------------------------------------------------


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({"answer": ""}, [("answer", "required")]),
        ({"answer": "maybe"}, [("answer", "unknown")]),
        ({"answer": "corrections"}, [("comment", "required")]),
        ({"answer": "corrections", "comment": " \r\n "}, [("comment", "required")]),
        ({"answer": "returning", "comment": "x" * 1001}, [("comment", "too-long")]),
        ({"answer": "returning", "comment": "a\x07b"}, [("comment", "control-character")]),
        ({"comment": "\x1b"}, [("answer", "required"), ("comment", "control-character")]),
        ({"answer": ["returning"]}, [("answer", "format")]),
        ({"answer": "returning", "comment": 7}, [("comment", "format")]),
    ],
)
def test_what_does_not_fit_is_named_and_nothing_is_stored(
    rivera: Family, fields: dict[str, Any], expected: list[tuple[str, str]]
) -> None:
    answer = rivera.rosa.post("/enrollment", {"student_id": rivera.ana.student_id, **fields})
    assert (answer.status, answer.code) == (422, "invalid")
    assert [(e["field"], e["code"]) for e in answer.json()["errors"]] == expected
    assert stored() == []


def test_no_student_is_a_field_at_fault(rivera: Family) -> None:
    for fields in ({}, {"student_id": ""}, {"student_id": [1]}):
        answer = rivera.rosa.post("/enrollment", {**fields, "answer": "returning"})
        assert answer.status == 422
        assert [e["field"] for e in answer.json()["errors"]] == ["student_id"]
        assert rivera.rosa.post("/enrollment", fields, accept=HTML).status == 422


def test_a_refused_form_keeps_what_was_typed_at_the_child_it_is_about(rivera: Family) -> None:
    fields = {"student_id": rivera.ben.student_id, "comment": "Please call me."}
    page = rivera.rosa.post("/enrollment", fields, form=True, accept=HTML)
    assert page.status == 422
    assert f'href="#{rivera.ben.student_id}-answer"' in page.text
    assert page.text.count("Please call me.") == 1
    assert page.text.index("Please call me.") > page.text.index(f"{rivera.ben.student_id}-comment")


def test_a_comment_of_several_lines_and_letters_is_kept(rivera: Family) -> None:
    comment = "Se llama Ana\u00a0Mar\u00eda \U0001f642\r\n<b>&amp;</b>"
    assert say(rivera.rosa, rivera.ana, "corrections", comment=comment).status == 200
    (kept,) = stored()
    assert kept["comment"] == comment.replace("\r\n", "\n")
    page = rivera.luis.get("/enrollment", accept=HTML)
    assert "&lt;b&gt;&amp;amp;&lt;/b&gt;" in page.text


# --- whose (S66, S67, S68) ----------------------------------------------------------------


def test_without_a_session_there_is_nothing(portal: PortalClient, rivera: Family) -> None:
    assert portal.get("/enrollment").code == "sign-in-required"
    assert say(portal, rivera.ana).code == "sign-in-required"
    sent = portal.get("/enrollment", accept=HTML)
    assert sent.header("location") == "./sign-in?next=%2Fenrollment"


@pytest.mark.parametrize(
    "fields",
    [
        {"answer": "returning"},
        {"answer": "maybe"},
        {},
        {"answer": 7},
        {"answer": "corrections", "comment": "x"},
    ],
)
def test_a_student_of_others_is_answered_like_one_who_is_not_there(
    rivera: Family, fields: dict[str, Any]
) -> None:
    say(rivera.rosa, rivera.ben)
    before = stored()
    answers = []
    for student_id in (
        rivera.ben.student_id,
        "nobody",
        f"{YEAR}#{rivera.ana.student_id}",
        "x" * 900,
    ):
        answer = rivera.luis.post("/enrollment", {"student_id": student_id, **fields})
        assert (answer.status, answer.code) == (404, "not-found")
        answers.append(answer.text)
    assert len(set(answers)) == 1
    assert stored() == before
    assert rivera.ben.student_id not in rivera.luis.get("/enrollment").text


def test_access_that_an_import_takes_is_gone_at_once(rivera: Family, new_visitor: Visitors) -> None:
    say(rivera.rosa, rivera.ana)
    (one,) = (link for link in roster.guardians_of(rivera.ana.student_id) if not_rosa(link))
    take_link(one.guardian_id, rivera.ana)
    assert rivera.luis.get("/enrollment").json()["students"] == []
    assert say(rivera.luis, rivera.ana).code == "not-found"


def not_rosa(link: Any) -> bool:
    record = roster.guardian_partition(link.guardian_id)
    return record is not None and record.given_name != "Rosa"


def take_link(guardian_id: str, child: factories.SomeStudent) -> None:
    """Take a guardian's access to a student, as an import does."""
    key = {"pk": {"S": f"guardian#{guardian_id}"}, "sk": {"S": f"student#{child.student_id}"}}
    taking = {settings.name("roster"): [{"DeleteRequest": {"Key": key}}]}
    with permissions.as_function("continue_import"):
        aws_stage.client("dynamodb").batch_write_item(RequestItems=taking)


def test_access_taken_while_an_answer_is_on_its_way_stores_nothing(
    rivera: Family, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The link is a condition of the write, not only of the page before it."""
    home = family.home

    def then_taken(*asked: Any, **how: Any) -> family.Home:
        seen = home(*asked, **how)
        take_link(seen.session.guardian_id, rivera.ana)
        return seen

    monkeypatch.setattr(family, "home", then_taken)
    assert say(rivera.luis, rivera.ana).code == "not-found"
    assert stored() == []
    assert audited() == []


def test_the_other_household_learns_what_and_when_but_not_who_nor_the_comment(
    new_visitor: Visitors,
) -> None:
    apart = Family(new_visitor, households=("h1", "h2"))
    say(apart.rosa, apart.ana, "corrections", comment="We live at 9 Elm Street now.")
    seen = said(apart.luis)[apart.ana.student_id]
    assert (seen["answer"], seen["answered_at"]) == ("corrections", AT)
    assert seen["answered_by"] == "Another parent or guardian"
    for page in (
        apart.luis.get("/enrollment", accept=HTML).text,
        apart.luis.get("/enrollment").text,
        apart.luis.get("/", accept=HTML).text,
        apart.luis.post(
            "/enrollment", {"student_id": apart.ana.student_id}, form=True, accept=HTML
        ).text,
        say(apart.luis, apart.ana, form_id="f").text,
    ):
        assert "Rosa" not in page
        assert "Elm Street" not in page
    spanish = apart.luis.get("/enrollment?lang=es", accept=HTML)
    assert "Usted respondió el " in spanish.text


def test_guardians_without_a_household_do_not_count_as_one(new_visitor: Visitors) -> None:
    nobody: Any = (None, None)
    apart = Family(new_visitor, households=nobody)
    say(apart.rosa, apart.ana, comment="Our secret")
    assert said(apart.luis)[apart.ana.student_id]["answered_by"] == "Another parent or guardian"
    assert said(apart.rosa)[apart.ana.student_id]["answered_by"] == "Rosa Rivera"
    assert "Our secret" not in apart.luis.get("/enrollment", accept=HTML).text


# --- two at once --------------------------------------------------------------------------


def test_an_answer_that_was_held_up_does_not_replace_a_later_one(
    rivera: Family, monday: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Both read the page, then Luis's later answer is stored before Rosa's earlier one."""
    put = enrollment.put
    held = []

    def hold_up(answer: Any, **how: Any) -> bool:
        if not held:
            held.append(answer)
            monday.shift(5)
            assert say(rivera.luis, rivera.ana, "not-returning").status == 200
            monday.shift(-5)
        return put(answer, **how)

    monkeypatch.setattr(enrollment, "put", hold_up)
    answer = say(rivera.rosa, rivera.ana, "returning")
    assert answer.status == 200
    (shown,) = (s for s in answer.json()["students"] if s["student_id"] == rivera.ana.student_id)
    assert (shown["answer"], shown["answered_by"]) == ("not-returning", "Luis Rivera")
    assert audited() == ["not-returning"]


# --- which year ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("now", "expected"),
    [
        ("2026-07-31T23:59:59-04:00", "2026-27"),
        ("2026-08-01T00:00:00-04:00", "2027-28"),
        ("2026-12-31T12:00:00-05:00", "2027-28"),
        ("2098-09-01T12:00:00-04:00", "2099-00"),
    ],
)
def test_the_coming_year_is_the_one_that_begins_next(
    new_visitor: Visitors, now: str, expected: str
) -> None:
    account = factories.account(factories.family())
    with time_machine.travel(now, tick=False):
        visitor = factories.signed_in(new_visitor, account)
        assert visitor.get("/enrollment").json()["school_year"] == expected


def test_when_the_year_begins_its_answers_stay_and_the_next_ones_are_asked_for(
    new_visitor: Visitors, rivera: Family
) -> None:
    say(rivera.rosa, rivera.ana)
    with time_machine.travel("2026-08-01T12:00:00-04:00", tick=False):
        visitor = new_visitor()
        visitor.post("/sign-in", {"username": "Rosa1", "password": factories.PASSWORD})
        assert said(visitor)[rivera.ana.student_id]["answer"] is None
        say(visitor, rivera.ana, "not-returning")
    assert sorted((row["school_year"], row["answer"]) for row in stored()) == [
        (YEAR, "returning"),
        ("2027-28", "not-returning"),
    ]


# --- home ---------------------------------------------------------------------------------


def test_home_reminds_until_every_child_is_answered_for(rivera: Family) -> None:
    page = rivera.rosa.get("/", accept=HTML).text
    assert f"{REMINDER}: <bdi>Ana</bdi>, <bdi>Ben</bdi>." in page
    say(rivera.luis, rivera.ana)
    page = rivera.rosa.get("/", accept=HTML).text
    assert f"{REMINDER}: <bdi>Ben</bdi>." in page
    assert REMINDER not in rivera.luis.get("/", accept=HTML).text
    say(rivera.rosa, rivera.ben, "not-returning")
    assert REMINDER not in rivera.rosa.get("/", accept=HTML).text


def test_a_guardian_of_a_whole_group_home_sees_every_child(new_visitor: Visitors) -> None:
    """A child costs two keys, and DynamoDB takes a hundred a call."""
    names = [f"Kid{n}" for n in range(60)]
    visitor = factories.signed_in(
        new_visitor, factories.account(factories.family(given_names=names))
    )
    children = visitor.get("/students").json()
    for child in children[::30]:
        answer = {"student_id": child["id"], "answer": "returning"}
        assert visitor.post("/enrollment", answer).status == 200
    seen = said(visitor)
    assert [one["id"] for one in children] == list(seen)
    assert [one["answer"] for one in seen.values()].count("returning") == 2


@pytest.mark.parametrize("path", ["/", "/enrollment"])
def test_a_page_takes_three_calls_whatever_the_number_of_children(
    new_visitor: Visitors, aws_calls: list[tuple[str, str, str]], path: str
) -> None:
    names = [f"Kid{n}" for n in range(12)]
    visitor = factories.signed_in(
        new_visitor, factories.account(factories.family(given_names=names))
    )
    visitor.get(path)
    aws_calls.clear()
    assert visitor.get(path).status == 200
    assert [operation for service, operation, _ in aws_calls] == [
        *("UpdateItem", "Query", "BatchGetItem")
    ]
