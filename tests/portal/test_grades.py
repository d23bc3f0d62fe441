"""A student's grades: posted grades, assignments page by page, averages, and whose they are."""

from collections.abc import Callable
from datetime import date, timedelta
from typing import Any

import pytest
import time_machine

from chalicelib import crypto
from tests import factories
from tests.factories import SomeStudent
from tests.portal_client import HTML, PortalClient
from tests.school_records import calls_of_page, class_id, put, remove, result

HOSTILE = "<script>alert('x')</script>\"'{{7*7}}"
Visitors = Callable[[], PortalClient]


@pytest.fixture(autouse=True)
def monday(stage: object) -> Any:
    """Stand in March of the school year 2026."""
    with time_machine.travel(factories.NOW, tick=False) as clock:
        yield clock


def school_class(name: str) -> dict[str, Any]:
    """Return a class as a student's summary lists it."""
    return {
        "id": class_id(name),
        "title": name,
        "periods": ["1"],
        "start_time": None,
        "end_time": None,
        "days": [],
        "teacher": None,
        "room": None,
        "term": "2025-2026",
        "term_start": None,
        "term_end": None,
        "school": None,
    }


def a_child(*results: dict[str, Any], classes: tuple[str, ...] = (), **more: Any) -> SomeStudent:
    """Put a child with results, enrolled in classes."""
    child = factories.student(classes=[school_class(name) for name in classes])
    put(child, results=results, **more)
    return child


def parent_of(new_visitor: Visitors, *children: SomeStudent) -> PortalClient:
    """Return the signed-in parent of children."""
    return factories.signed_in(new_visitor, factories.account(factories.guardian(*children)))


def read(visitor: PortalClient, child: SomeStudent, query: str = "") -> Any:
    """Return the answer to a client."""
    answer = visitor.get(f"/students/{child.student_id}/grades{query}")
    assert answer.status == 200, answer.text
    return answer.json()


def page(visitor: PortalClient, child: SomeStudent, query: str = "") -> str:
    """Return the page."""
    answer = visitor.get(f"/students/{child.student_id}/grades{query}", accept=HTML)
    assert answer.status == 200
    return answer.text


# --- what is shown ----------------------------------------------------------------------


def test_each_class_has_posted_grades_averages_and_assignments(new_visitor: Visitors) -> None:
    child = a_child(
        result(
            "2026-01-30", title="Q2", grade_type="gradingPeriod", grading_period="Q2", grade="B"
        ),
        result("2026-02-06", category_weight=40.0, flags=["late"], comment="Good"),
        classes=("Math",),
    )
    seen = read(parent_of(new_visitor, child), child)
    assert seen == {
        "student_id": child.student_id,
        "classes": [
            {
                "id": class_id("Math"),
                "title": "Math",
                "term": "2025-2026",
                "posted": [
                    {"grading_period": "Q2", "type": "gradingPeriod", "grade": "B", "score": 8.0}
                ],
                "assignments": [
                    {
                        "id": crypto.opaque_id("result", "Math/Quiz/2026-02-06"),
                        "title": "Quiz",
                        "category": "Quizzes",
                        "assigned": "2026-02-06",
                        "due": "2026-02-06",
                        "score": 8.0,
                        "max_score": 10.0,
                        "flags": ["late"],
                        "comment": "Good",
                    }
                ],
                "category_averages": [{"category": "Quizzes", "weight": 40.0, "average": 80.0}],
            }
        ],
        "next": None,
    }


def test_classes_come_as_the_schedule_has_them_then_those_left(new_visitor: Visitors) -> None:
    child = a_child(
        result("2025-09-01", of="Zoology"),
        result("2025-09-02", of="Art", grade_type="final"),
        classes=("Music", "Math"),
    )
    visitor = parent_of(new_visitor, child)
    seen = read(visitor, child)
    assert [one["title"] for one in seen["classes"]] == ["Music", "Math", "Art", "Zoology"]
    assert [one["term"] for one in seen["classes"]] == ["2025-2026"] * 2 + ["Fall"] * 2
    assert seen["classes"][0]["posted"] == seen["classes"][0]["assignments"] == []
    # A class that was left and has nothing on this page is a way to it.
    shown = page(visitor, child)
    assert f'<a href="grades?class={class_id("Art")}"><bdi>Art</bdi></a>' in shown
    assert f'id="class-{class_id("Art")}"' not in shown
    assert f'id="class-{class_id("Zoology")}"' in shown


def test_flags_are_words_and_extra_credit_shows(new_visitor: Visitors) -> None:
    flags = ["late", "missing", "exempt", "not-submitted", "incomplete", "in-progress"]
    child = a_child(
        *(result("2026-02-01", title=flag, score=None, flags=[flag]) for flag in flags),
        result("2026-02-02", title="Bonus", score=22.0, max_score=20.0),
        result("2026-02-03", title="Essay", score=None, max_score=None, grade="B+"),
        result("2026-02-04", title="Reading", score=17.5, max_score=None),
        result("2026-02-05", title="Forgotten", score=0.0, flags=["missing"]),
    )
    visitor = parent_of(new_visitor, child)
    shown = page(visitor, child)
    for word in ("Late", "Missing", "Exempt", "Not submitted", "Incomplete", "In progress"):
        assert f'<span class="flags">{word}</span>' in shown
    assert shown.count("0 of 10") == 1
    assert shown.count("No score") == len(flags)
    assert "22 of 20" in shown
    assert "110%" in shown
    assert "B+" in shown
    assert ">17.5<" in shown
    assert "Con retraso" in page(visitor, child, "?lang=es")
    (of_class,) = read(visitor, child)["classes"]
    scores = {one["title"]: (one["score"], one["max_score"]) for one in of_class["assignments"]}
    assert scores["exempt"] == (None, 10.0)
    assert scores["Bonus"] == (22.0, 20.0)


def test_the_chart_has_a_table_beside_it_and_neither_a_script_nor_a_style(
    new_visitor: Visitors,
) -> None:
    child = a_child(
        result("2026-01-10", score=5.0), result("2026-02-10", score=9.0), result("2026-02-11")
    )
    shown = page(parent_of(new_visitor, child), child)
    assert "<polyline" in shown
    assert 'February 2026</th><td class="count">85%</td><td class="count">2</td>' in shown
    assert 'January 2026</th><td class="count">50%</td>' in shown
    assert "style=" not in shown
    assert shown.count("<script") == 1


def test_one_class_is_shown_alone(new_visitor: Visitors) -> None:
    child = a_child(
        result("2026-02-01", of="Math"),
        result("2026-02-02", of="Science", title='"class_id":"x"'),
        classes=("Math", "Science"),
    )
    visitor = parent_of(new_visitor, child)
    (seen,) = read(visitor, child, f"?class={class_id('Science')}")["classes"]
    assert (seen["title"], len(seen["assignments"])) == ("Science", 1)
    assert "Show all classes" in page(visitor, child, f"?class={class_id('Science')}")
    assert read(visitor, child, "?class=x")["classes"] == []


@pytest.mark.parametrize("asked", ["nobody", "", "%22", "%00", "a" * 300, "%F0%9F%98%80"])
def test_a_class_that_nobody_knows_is_no_class(new_visitor: Visitors, asked: str) -> None:
    child = a_child(result("2026-02-01"))
    visitor = parent_of(new_visitor, child)
    nothing = {"student_id": child.student_id, "classes": [], "next": None}
    assert read(visitor, child, f"?class={asked}") == nothing
    assert "There are no grades for this class." in page(visitor, child, f"?class={asked}")


def test_a_child_without_grades_has_an_empty_page(new_visitor: Visitors) -> None:
    child, fresh = a_child(), factories.student()
    visitor = parent_of(new_visitor, child, fresh)
    for one in (child, fresh):
        assert read(visitor, one)["classes"] == []
        assert "No grades have been posted yet." in page(visitor, one)


def test_hostile_text_shows_as_text(new_visitor: Visitors) -> None:
    of = {"category": HOSTILE, "comment": HOSTILE, "grade": HOSTILE, "flags": [HOSTILE]}
    child = a_child(
        result("2026-02-01", of=HOSTILE, title=HOSTILE, category_weight=1.0, **of),
        result("2026-02-01", of=HOSTILE, grade_type="final", grading_period=HOSTILE, grade=HOSTILE),
    )
    visitor = parent_of(new_visitor, child)
    shown = page(visitor, child)
    assert "<script>alert" not in shown
    assert shown.count("&lt;script&gt;alert") >= 7
    (seen,) = read(visitor, child)["classes"]
    assert seen["assignments"][0]["comment"] == HOSTILE


# --- page by page -----------------------------------------------------------------------

SUBJECTS = [f"Subject number {number:02}" for number in range(12)]
MANY = 2_000


@pytest.fixture
def busy(stage: object) -> SomeStudent:
    """Give a child with 2,000 assignments in 12 classes, each with posted grades."""
    first = date(2025, 8, 15)
    work = [
        result(
            (first + timedelta(days=number % 190)).isoformat(),
            of=SUBJECTS[number % 12],
            title=f"Assignment {number} with some words of a title",
            category=("Quizzes", "Homework", "Projects")[number % 3],
            category_weight=30.0,
            flags=["late"] if number % 9 == 0 else [],
            comment="Please show your work next time." if number % 4 == 0 else None,
        )
        for number in range(MANY)
    ]
    posted = [
        result(
            f"2025-{month}-20",
            of=of,
            title=period,
            grade_type="gradingPeriod",
            grading_period=period,
            grade="A-",
            score=91.0,
        )
        for of in SUBJECTS
        for month, period in (("10", "Quarter 1"), ("12", "Quarter 2"))
    ]
    return a_child(*work, *posted, classes=tuple(SUBJECTS))


def test_every_assignment_of_2000_is_on_one_page_and_every_page_is_small_and_three_calls(
    new_visitor: Visitors, busy: SomeStudent, aws_calls: list[tuple[str, str, str]]
) -> None:
    visitor = parent_of(new_visitor, busy)
    seen: list[str] = []
    dates: list[str] = []
    query, pages = "", 0
    while True:
        aws_calls.clear()
        answer = read(visitor, busy, query)
        assert calls_of_page(aws_calls) == ["UpdateItem", "BatchGetItem", "Query"]
        if pages % 4 == 0 or answer["next"] is None:
            assert len(page(visitor, busy, query).encode()) < 60_000
        assert len(answer["classes"]) == 12
        assert all(len(one["posted"]) == 2 for one in answer["classes"])
        of_page = [work for one in answer["classes"] for work in one["assignments"]]
        seen += [work["id"] for work in of_page]
        dates.append(max(work["due"] for work in of_page))
        pages += 1
        if answer["next"] is None:
            break
        assert len(of_page) == 50
        query = f"?before={answer['next']}"
    assert pages == MANY / 50
    assert len(seen) == len(set(seen)) == MANY
    assert dates == sorted(dates, reverse=True)


def test_one_class_of_twelve_goes_page_by_page_too(
    new_visitor: Visitors, busy: SomeStudent
) -> None:
    visitor = parent_of(new_visitor, busy)
    of = class_id(SUBJECTS[3])
    seen: list[str] = []
    query = f"?class={of}"
    while query:
        answer = read(visitor, busy, query)
        (one,) = answer["classes"]
        seen += [work["id"] for work in one["assignments"]]
        query = f"?class={of}&before={answer['next']}" if answer["next"] else ""
    assert len(seen) == len(set(seen)) == len(range(3, MANY, 12))


def test_the_pages_lead_to_each_other(new_visitor: Visitors, busy: SomeStudent) -> None:
    visitor = parent_of(new_visitor, busy)
    following = read(visitor, busy)["next"]
    first = page(visitor, busy)
    assert f'<a href="grades?before={following}" rel="next">Older assignments</a>' in first
    assert "Newest assignments" not in first
    second = page(visitor, busy, f"?before={following}")
    assert '<a href="grades">Newest assignments</a>' in second
    assert f"?before={following}&amp;lang=es" in second


def test_an_assignment_that_went_meanwhile_costs_no_other(new_visitor: Visitors) -> None:
    work = [result(f"2026-01-{day:02}", title=f"T{n}") for day in range(1, 28) for n in range(4)]
    child = a_child(*work)
    visitor = parent_of(new_visitor, child)
    first = read(visitor, child)
    remove(f"student#{child.student_id}", f"grade#{first['next'].replace('.', '#')}")
    seen = [one["id"] for one in first["classes"][0]["assignments"]]
    second = read(visitor, child, f"?before={first['next']}")
    third = read(visitor, child, f"?before={second['next']}")
    for answer in (second, third):
        seen += [one["id"] for one in answer["classes"][0]["assignments"]]
    assert sorted(seen) == sorted(one["id"] for one in work)
    assert third["next"] is None


@pytest.mark.parametrize(
    "before",
    [
        "",
        "x",
        "2026-02-01",
        "2026-02-01.",
        "2026-02-01.a%23b",
        "record",
        "2026-02-01.a/b",
        "2026-02-01.%00",
        "٢٠٢٦-02-01.a",
        "2026-02-01.a%0A",
        "2026-02-01." + "a" * 3000,
    ],
)
def test_a_forged_cursor_is_no_page(new_visitor: Visitors, before: str) -> None:
    child = a_child(result("2026-02-01"))
    visitor = parent_of(new_visitor, child)
    for query in (f"?before={before}", f"?class={class_id('Math')}&before={before}"):
        path = f"/students/{child.student_id}/grades{query}"
        assert visitor.get(path).code == "not-found"
        assert visitor.get(path, accept=HTML).status == 404


def test_a_cursor_before_everything_ends_the_pages(new_visitor: Visitors) -> None:
    child = a_child(result("2026-02-01"), classes=("Math",))
    seen = read(parent_of(new_visitor, child), child, "?before=1999-01-01.a")
    assert (seen["classes"][0]["assignments"], seen["next"]) == ([], None)


# --- whose ------------------------------------------------------------------------------


def test_somebody_elses_child_is_not_found(new_visitor: Visitors) -> None:
    own, other = a_child(result("2026-02-01")), a_child(result("2026-02-01"))
    factories.guardian(other, email="other@example.com")
    visitor = parent_of(new_visitor, own)
    for student_id in (other.student_id, "nobody", "x" * 20, "%23", "a%2Fb", "%00"):
        for accept in ("application/json", HTML):
            for query in ("", "?before=x", f"?class={class_id('Math')}"):
                answer = visitor.get(f"/students/{student_id}/grades{query}", accept=accept)
                assert answer.status == 404
    assert visitor.get(f"/students/{other.student_id}/grades").code == "not-found"
    assert new_visitor().get(f"/students/{other.student_id}/grades").status == 401


def test_access_that_is_taken_is_gone_at_the_next_request(new_visitor: Visitors) -> None:
    child = a_child(result("2026-02-01"))
    who = factories.guardian(child)
    visitor = factories.signed_in(new_visitor, factories.account(who))
    assert read(visitor, child)["classes"]
    remove(f"guardian#{who.guardian_id}", f"student#{child.student_id}")
    assert visitor.get(f"/students/{child.student_id}/grades").code == "not-found"


def test_nothing_goes_out_but_the_fields_of_the_contract(new_visitor: Visitors) -> None:
    child = a_child(result("2026-02-01"), ssn="123-45-6789", sourced_id="secret-row")
    visitor = parent_of(new_visitor, child)
    for text in (str(read(visitor, child)), page(visitor, child)):
        assert "123-45-6789" not in text
        assert "secret-row" not in text
