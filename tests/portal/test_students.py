"""A student's pages: whose they are, what they cost, what goes out, and the switch between students."""

import re
from collections.abc import Callable
from typing import Any

import botocore.client
import pytest
import time_machine

from chalicelib import crypto, errors, settings
from chalicelib.domain import family
from tests import aws_stage, factories
from tests.portal_client import PortalClient

Visitors = Callable[[], PortalClient]
SECTIONS = ("", "/schedule")
HTML = "text/html"


@pytest.fixture(autouse=True)
def monday(stage: object) -> Any:
    with time_machine.travel(factories.NOW, tick=False) as clock:
        yield clock


def a_class(number: int, **cells: Any) -> dict[str, Any]:
    """Return a class as the import stores it."""
    return {
        "id": crypto.opaque_id("class", f"c{number}"),
        "title": f"Subject {number}",
        "periods": [str(number)],
        "start_time": f"{7 + number:02}:00",
        "end_time": f"{7 + number:02}:50",
        "days": ["Mon", "Tue", "Wed", "Thu", "Fri"],
        "teacher": f"Teacher {number}",
        "room": str(100 + number),
        "term": "Spring",
        "term_start": "2026-01-05",
        "term_end": "2026-06-30",
        "school": "Elm School",
    } | cells


def an_event(day: int) -> dict[str, Any]:
    """Return an event of attendance as the import stores it."""
    return {
        "date": f"2026-03-{day:02}",
        "type": "section",
        "status": "tardy",
        "excuse": "excused",
        "period": "1",
        "class_id": crypto.opaque_id("class", "c1"),
        "class": "Subject 1",
        "reason": "Bus",
        "minutes": 5,
    }


def a_grade(place: int) -> dict[str, Any]:
    """Return one of the newest grades as the import stores it."""
    return {
        "class": "Subject 1",
        "title": f"Quiz {place}",
        "score": 8.0,
        "max_score": 10.0,
        "grade": "B",
        "date": "2026-02-20",
    }


def signed_in(new_visitor: Visitors, *students: factories.SomeStudent) -> PortalClient:
    """Return the guardian of the students, signed in."""
    return factories.signed_in(new_visitor, factories.account(factories.guardian(*students)))


def delete(pk: str, sk: str) -> None:
    """Delete an item of the roster, as an import does."""
    aws_stage.client("dynamodb").delete_item(
        TableName=settings.name("roster"), Key={"pk": {"S": pk}, "sk": {"S": sk}}
    )


TITLES = (
    *(
        "English Language Arts 8",
        "Mathematics 8 Accelerated",
        "Physical Science",
        "Georgia Studies",
    ),
    *("Spanish II", "Physical Education", "Band: Woodwinds", "Computer Science Discoveries"),
    *("Advisement Homeroom", "Reading Intervention", "Visual Arts Studio", "Personal Finance"),
)


# --- what they show -------------------------------------------------------------------------


def test_a_student_is_answered_with_today(new_visitor: Visitors) -> None:
    over = a_class(3, term_end="2026-02-27")
    ana = factories.student(given_name="Ana", classes=[a_class(2), over, a_class(1)])
    visitor = signed_in(new_visitor, ana)
    answer = visitor.get(f"/students/{ana.student_id}")
    home = visitor.get("/").json()
    today = home["today"][0]
    assert answer.json() == {**home["students"][0], "today": today}
    assert [one["title"] for one in today["classes"]] == ["Subject 1", "Subject 2"]


def test_the_schedule_lists_every_class_by_period(new_visitor: Visitors) -> None:
    late_start = a_class(2, start_time="14:00", end_time="14:50")
    ana = factories.student(classes=[a_class(10), late_start, a_class(3, days=["Tue"])])
    shown = signed_in(new_visitor, ana).get(f"/students/{ana.student_id}/schedule").json()
    assert shown["student_id"] == ana.student_id
    assert [one["period"] for one in shown["classes"]] == ["2", "3", "10"]
    assert shown["classes"][1] == {
        "id": crypto.opaque_id("class", "c3"),
        "title": "Subject 3",
        "period": "3",
        "start_time": "10:00",
        "end_time": "10:50",
        "days": ["Tue"],
        "teacher": "Teacher 3",
        "room": "103",
        "term": "Spring",
        "school": "Elm School",
    }


def test_the_week_shows_each_class_on_its_days_in_the_order_of_the_day(
    new_visitor: Visitors,
) -> None:
    classes = [
        a_class(2, title="Biology", days=["Mon", "Wed"]),
        a_class(1, title="Art", days=["Wed"]),
        a_class(3, title="Chorus", days=[]),
        a_class(4, title="Drama", term_end="2026-02-27"),
    ]
    ana = factories.student(classes=classes)
    visitor = signed_in(new_visitor, ana)
    page = visitor.get(f"/students/{ana.student_id}/schedule", accept=HTML).text
    days = re.split(r"<h3>", page)[1:]
    week = {day.split("<")[0]: re.findall(r"<li><b><bdi>([^<]+)", day) for day in days}
    assert week == {
        "Monday": ["Biology", "Chorus"],
        "Tuesday": ["Chorus"],
        "Wednesday": ["Art", "Biology", "Chorus"],
        "Thursday": ["Chorus"],
        "Friday": ["Chorus"],
    }


def test_classes_outside_their_term_are_told_apart(new_visitor: Visitors) -> None:
    classes = [
        a_class(1, title="Now"),
        a_class(2, title="Past", term_end="2026-03-01"),
        a_class(3, title="Last day today", term_end="2026-03-02"),
        a_class(4, title="Soon", term_start="2026-03-03"),
        a_class(5, title="Always", term_start=None, term_end=None),
    ]
    ana = factories.student(classes=classes)
    visitor = signed_in(new_visitor, ana)
    page = visitor.get(f"/students/{ana.student_id}/schedule", accept=HTML).text
    cards = re.split(r'<section class="card[^"]*" aria-labelledby="', page)[1:]
    parts = {card.split('"')[0]: card for card in cards}
    titles = {name: re.findall(r"<b><bdi>([^<]+)", part) for name, part in parts.items()}
    assert titles["by-period"] == ["Now", "Last day today", "Always"]
    assert titles["later"] == ["Soon"]
    assert titles["over"] == ["Past"]
    assert "Jan 5, 2026 to Mar 1, 2026" in parts["over"]


def test_a_missing_gtid_is_answered_with_the_guides_sentence(new_visitor: Visitors) -> None:
    ana, ben = factories.student(gtid="2134567890"), factories.student(given_name="Ben")
    visitor = signed_in(new_visitor, ana, ben)
    known = visitor.get(f"/students/{ana.student_id}", accept=HTML).text
    assert 'data-copy="gtid"' in known
    assert 'data-copy="number"' in known
    missing = visitor.get(f"/students/{ben.student_id}", accept=HTML).text
    assert "please contact the school to verify that all required information" in missing
    assert 'data-copy="gtid"' not in missing


def test_a_page_speaks_the_guardians_language_until_another_is_chosen(
    new_visitor: Visitors,
) -> None:
    ana = factories.student()
    guardian = factories.guardian(ana, language="es-MX")
    visitor = factories.signed_in(new_visitor, factories.account(guardian))
    page = f"/students/{ana.student_id}/schedule"
    assert '<html lang="es"' in visitor.get(page, accept=HTML).text
    assert '<html lang="en"' in visitor.get(page + "?lang=en", accept=HTML).text
    assert '<html lang="en"' in visitor.get(page, accept=HTML).text


# --- the switch between students ------------------------------------------------------------


def switch(page: str) -> list[tuple[str, str]]:
    """Return where the switch leads, and to whom."""
    if 'class="switch"' not in page:
        return []
    part = page[page.index('class="switch"') :]
    return re.findall(r'<a href="([^"]+)"[^>]*><bdi>([^<]+)', part[: part.index("</nav>")])


def test_the_switch_leads_to_the_same_page_of_the_other(new_visitor: Visitors) -> None:
    ben, ana = factories.student(given_name="Ben"), factories.student(given_name="Ana")
    visitor = signed_in(new_visitor, ben, ana)
    shown = switch(visitor.get(f"/students/{ben.student_id}/schedule", accept=HTML).text)
    assert shown == [
        (f"../../students/{ana.student_id}/schedule", "Ana Rivera"),
        (f"../../students/{ben.student_id}/schedule", "Ben Rivera"),
    ]
    shown = switch(visitor.get(f"/students/{ben.student_id}", accept=HTML).text)
    assert [way for way, _ in shown] == [
        f"../students/{ana.student_id}",
        f"../students/{ben.student_id}",
    ]
    for page in ("/", "/students"):
        assert [name for _, name in switch(visitor.get(page, accept=HTML).text)] == [
            "Ana Rivera",
            "Ben Rivera",
        ]


def test_who_has_one_student_is_offered_no_switch(new_visitor: Visitors) -> None:
    ana = factories.student()
    visitor = signed_in(new_visitor, ana)
    for page in ("/", "/students", f"/students/{ana.student_id}"):
        assert 'class="switch"' not in visitor.get(page, accept=HTML).text


def test_home_leads_into_each_students_pages(new_visitor: Visitors) -> None:
    ana, ben = factories.student(), factories.student(given_name="Ben")
    visitor = signed_in(new_visitor, ana, ben)
    for path in ("/", "/students"):
        links = re.findall(r'href="(students/[^"]+)"', visitor.get(path, accept=HTML).text)
        for one in (ana, ben):
            for section in ("", "/schedule", "/attendance", "/grades"):
                assert f"students/{one.student_id}{section}" in links


# --- whose they are (S66, S67) --------------------------------------------------------------


@pytest.mark.parametrize("section", SECTIONS)
def test_a_student_of_others_is_like_one_that_is_not_there(
    new_visitor: Visitors, aws_calls: list[Any], section: str
) -> None:
    theirs = [factories.student(given_name="Zoe"), factories.student(given_name="Yan")]
    factories.account(factories.guardian(*theirs), username="Other1")
    barred = factories.student(given_name="Max")
    mine = factories.guardian(factories.student())
    factories.link(mine.guardian_id, barred, portal_access=False)
    visitor = factories.signed_in(new_visitor, factories.account(mine))
    ids = [one.student_id for one in (*theirs, barred)]
    ids += [crypto.opaque_id("student", "nobody"), mine.guardian_id, "-", "profile", "x" * 300]
    ids += [
        ids[0] + "x",
        ids[0][:-1],
        ids[0].swapcase(),
        "%23",
        "a%23b",
        "..",
        "student%23" + ids[0],
    ]
    ids += ["%00", "%0A", "%F0%9F%91%A9", "*", "' OR 1=1"]
    seen = set()
    for one in ids:
        aws_calls.clear()
        answer = visitor.get(f"/students/{one}{section}")
        trace = tuple(call for call in aws_calls if not call[2].endswith("-preferences"))
        seen.add((answer.status, answer.code, answer.text, trace))
        page = visitor.get(f"/students/{one}{section}", accept=HTML)
        assert page.status == 404
        for name in ("Zoe", "Yan", "Max"):
            assert name not in page.text
    assert len(seen) == 1
    ((status, code, _, calls),) = seen
    assert (status, code) == (404, "not-found")
    # The page, and in which language it is refused.
    made = [operation for _, operation, _ in calls]
    assert made == ["UpdateItem", "BatchGetItem", "GetItem", "BatchGetItem"]


def test_what_can_be_no_id_never_comes_into_a_key(
    new_visitor: Visitors, monkeypatch: pytest.MonkeyPatch
) -> None:
    """API Gateway decodes what stands in a path, so an id may hold anything."""
    ana = factories.student()
    visitor = signed_in(new_visitor, ana)
    token = next(value for name, value in visitor.cookies.items() if name.endswith("session"))
    calls = watched(monkeypatch)
    assert family.child(token, ana.student_id, now=factories.NOW).summary.given_name == "Ana"
    own = ana.student_id
    for one in (
        "",
        "a/b",
        f"{own}#",
        f"#{own}",
        f"{own}\n",
        f"{own[:-1]}/",
        "é" * 20,
        "\0",
        "x" * 300,
    ):
        calls.clear()
        with pytest.raises(errors.NotFound):
            family.child(token, one, now=factories.NOW)
        (_, read) = calls[-1]
        (asked,) = (keys for table, keys in read["RequestItems"].items() if "roster" in table)
        students = {key["pk"]["S"] for key in asked["Keys"]} | {
            key["sk"]["S"] for key in asked["Keys"]
        }
        assert {name for name in students if name.startswith("student#")} == {"student#-"}


@pytest.mark.parametrize("section", SECTIONS)
def test_without_a_session_every_id_asks_to_sign_in(new_visitor: Visitors, section: str) -> None:
    ana = factories.student()
    factories.account(factories.guardian(ana))
    stranger = new_visitor()
    for one in (ana.student_id, "x" * 20, "x"):
        answer = stranger.get(f"/students/{one}{section}")
        assert (answer.status, answer.code) == (401, "sign-in-required")
    sent_away = stranger.get(f"/students/{ana.student_id}{section}", accept=HTML)
    assert sent_away.status == 303
    assert f"next=%2Fstudents%2F{ana.student_id}" in str(sent_away.header("location"))


@pytest.mark.parametrize("section", SECTIONS)
@pytest.mark.parametrize("how", ["link", "barred", "student"])
def test_access_taken_between_two_requests_is_gone_at_the_second(
    new_visitor: Visitors, section: str, how: str
) -> None:
    ana, ben = factories.student(given_name="Ana"), factories.student(given_name="Ben")
    mine = factories.guardian(ana, ben)
    visitor = factories.signed_in(new_visitor, factories.account(mine))
    page = f"/students/{ben.student_id}{section}"
    assert visitor.get(page).status == 200
    if how == "link":
        delete(f"guardian#{mine.guardian_id}", f"student#{ben.student_id}")
    elif how == "barred":
        # An item as no import leaves it, so that the flag is seen to count all the same.
        factories.link(mine.guardian_id, ben, portal_access=False, barred_in_place=True)
    else:
        delete(f"student#{ben.student_id}", "summary")
    assert (visitor.get(page).status, visitor.get(page).code) == (404, "not-found")
    assert visitor.get(f"/students/{ana.student_id}{section}").status == 200


@pytest.mark.parametrize("section", SECTIONS)
@pytest.mark.parametrize("function", ["disable_account", "delete_account", "end_sessions"])
def test_an_account_that_is_shut_sees_nothing_more(
    new_visitor: Visitors, invoke: Callable[[str, Any], Any], section: str, function: str
) -> None:
    ana = factories.student()
    visitor = signed_in(new_visitor, ana)
    assert visitor.get(f"/students/{ana.student_id}{section}").status == 200
    invoke(function, {"username": "Rosa1"})
    for one in (ana.student_id, "x"):
        assert visitor.get(f"/students/{one}{section}").code == "sign-in-required"


# --- what they cost -------------------------------------------------------------------------


@pytest.mark.parametrize(("children", "classes"), [(1, 1), (1, 12), (6, 12)])
def test_a_page_is_three_consistent_calls_at_most_and_under_60_kb(
    new_visitor: Visitors, monkeypatch: pytest.MonkeyPatch, children: int, classes: int
) -> None:
    children_of = [
        busy(number, classes, absent_all_day=number == children - 1) for number in range(children)
    ]
    visitor = signed_in(new_visitor, *children_of)
    calls = watched(monkeypatch)
    own = [f"/students/{children_of[-1].student_id}{section}" for section in SECTIONS]
    for page in ("/", "/students", *own):
        for accept, language in ((HTML, "en"), (HTML, "es"), ("application/json", "en")):
            calls.clear()
            answer = visitor.get(f"{page}?lang={language}", accept=accept)
            assert answer.status == 200
            assert len(answer.text.encode()) < 60_000, (page, accept, language)
            assert len(calls) <= 3, page
            for operation, parameters in calls:
                assert operation == "UpdateItem" or is_consistent(parameters), (page, operation)


def busy(number: int, classes: int, *, absent_all_day: bool) -> factories.SomeStudent:
    """Put a child whose classes all meet today, with all that a summary holds."""
    taught = {"teacher": "Montgomery, Alexandra", "room": "H-192"}
    events = [an_event(day) for day in range(1, 21)]
    if absent_all_day:
        events = [
            an_event(2) | {"status": "absent", "period": str(place), "class": title}
            for place, title in enumerate(TITLES[:classes])
        ]
    return factories.student(
        given_name=("Alejandra", "Benjamin", "Catalina", "Dominic", "Esperanza", "Francisco")[
            number
        ],
        gtid=f"213456789{number}",
        classes=[a_class(place, title=TITLES[place], **taught) for place in range(classes)],
        recent_attendance=events,
        newest_grades=[
            a_grade(place) | {"title": "Chapter 7 test: cells and genetics", "class": TITLES[place]}
            for place in range(5)
        ],
    )


def test_what_was_noted_alike_in_every_class_is_one_line_that_names_them(
    new_visitor: Visitors,
) -> None:
    ana = busy(0, 12, absent_all_day=True)
    visitor = signed_in(new_visitor, ana, factories.student(recent_attendance=[an_event(2)]))
    assert len(visitor.get("/").json()["today"][0]["attendance"]) == 12
    for path in ("/", f"/students/{ana.student_id}"):
        page = visitor.get(path, accept=HTML).text
        (line,) = re.findall(r"<li>.*<b>Absent, Excused</b>\s*<span>(.*)</span></span></li>", page)
        assert re.sub("<[^>]+>", "", line) == ", ".join(
            f"{title} (Period {place})" for place, title in enumerate(TITLES)
        )
    assert "<b>Tardy, Excused</b>" in visitor.get("/", accept=HTML).text


def watched(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, Any]]:
    """Return the list that every AWS call from now on is added to: operation and parameters."""
    calls: list[tuple[str, Any]] = []
    make = botocore.client.BaseClient._make_api_call  # type: ignore[attr-defined]

    def record(client: Any, operation: str, parameters: Any) -> Any:
        # Preferences are read once a minute, whatever the page.
        if not parameters.get("TableName", "").endswith("-preferences"):
            calls.append((operation, parameters))
        return make(client, operation, parameters)

    monkeypatch.setattr(botocore.client.BaseClient, "_make_api_call", record)
    return calls


def is_consistent(parameters: Any) -> bool:
    """Whether a read asks for what was written last, in every table."""
    tables = parameters.get("RequestItems", {"one": parameters}).values()
    return all(table.get("ConsistentRead") for table in tables)


# --- what goes out (S70) --------------------------------------------------------------------


def test_only_listed_fields_go_out(new_visitor: Visitors) -> None:
    marked = {"secret_note": "never-shown"}
    ana = factories.student(
        classes=[a_class(1, **marked)],
        recent_attendance=[an_event(2) | marked],
        newest_grades=[a_grade(1) | marked],
        birth_date="never-shown",
        **marked,
    )
    visitor = signed_in(new_visitor, ana, factories.student(given_name="Ben"))
    for page in ("/", "/students", *(f"/students/{ana.student_id}{one}" for one in SECTIONS)):
        for accept in (HTML, "application/json"):
            answer = visitor.get(page, accept=accept)
            assert answer.status == 200
            assert "never-shown" not in answer.text
            assert "secret_note" not in answer.text
            assert ana.last4 not in answer.text
            assert answer.header("cache-control") == "no-store"
