"""A student's attendance: a school year's events, totals, filters, the months, and whose it is."""

from collections.abc import Callable
from typing import Any

import pytest
import time_machine

from tests import factories
from tests.factories import SomeStudent
from tests.portal_client import HTML, PortalClient
from tests.school_records import calls_of_page, class_id, event, put, remove

HOSTILE = "<script>alert('x')</script>\"'{{7*7}}"
NO_TOTALS = dict.fromkeys(("absent", "tardy", "early_departure", "excused", "unexcused"), 0)
EVENTS = (
    event("2025-02-03", "absent", excuse="excused"),
    event("2025-09-10", "absent", excuse="excused", reason="Flu"),
    event("2025-11-03", "tardy", of="Science", excuse="unexcused", period="2", minutes=12),
    event("2025-11-03", "tardy", of="Math", excuse="unexcused", period="10", minutes=12),
    event("2026-02-20", "absent", of="Math", excuse="unexcused", period="10"),
    event("2026-02-20", "earlyDeparture", excuse="unknown"),
    event("2026-02-24", "partial", excuse="excused"),
)


@pytest.fixture(autouse=True)
def monday(stage: object) -> Any:
    """Stand in March of the school year 2026."""
    with time_machine.travel(factories.NOW, tick=False) as clock:
        yield clock


@pytest.fixture
def ana(stage: object) -> SomeStudent:
    """Give a child with events in two school years."""
    child = factories.student()
    put(child, events=EVENTS)
    return child


@pytest.fixture
def parent(new_visitor: Callable[[], PortalClient], ana: SomeStudent) -> PortalClient:
    """Give the child's parent, signed in; a sibling has nothing yet."""
    ben = factories.student(given_name="Ben")
    return factories.signed_in(new_visitor, factories.account(factories.guardian(ana, ben)))


def read(visitor: PortalClient, child: SomeStudent, query: str = "") -> Any:
    """Return the answer to a client."""
    answer = visitor.get(f"/students/{child.student_id}/attendance{query}")
    assert answer.status == 200, answer.text
    return answer.json()


def page(visitor: PortalClient, child: SomeStudent, query: str = "") -> str:
    """Return the page."""
    answer = visitor.get(f"/students/{child.student_id}/attendance{query}", accept=HTML)
    assert answer.status == 200
    return answer.text


# --- a school year ----------------------------------------------------------------------


def test_the_newest_year_with_events_comes_unasked_the_newest_event_first(
    parent: PortalClient, ana: SomeStudent
) -> None:
    seen = read(parent, ana)
    assert set(seen) == {"student_id", "events", "totals"}
    assert seen["student_id"] == ana.student_id
    assert [(one["date"], one["status"], one["period"]) for one in seen["events"]] == [
        ("2026-02-24", "partial", None),
        ("2026-02-20", "earlyDeparture", None),
        ("2026-02-20", "absent", "10"),
        ("2025-11-03", "tardy", "2"),
        ("2025-11-03", "tardy", "10"),
        ("2025-09-10", "absent", None),
    ]
    assert seen["totals"] == {
        "absent": 2,
        "tardy": 2,
        "early_departure": 1,
        "excused": 2,
        "unexcused": 3,
    }
    assert seen["events"][3] == {
        "date": "2025-11-03",
        "type": "section",
        "status": "tardy",
        "excuse": "unexcused",
        "period": "2",
        "class_id": class_id("Science"),
        "class": "Science",
        "reason": None,
        "minutes": 12,
    }


def test_an_earlier_year_shows_its_own_events_and_totals(
    parent: PortalClient, ana: SomeStudent
) -> None:
    seen = read(parent, ana, "?school_year=2025")
    assert [one["date"] for one in seen["events"]] == ["2025-02-03"]
    assert seen["totals"] == {**NO_TOTALS, "absent": 1, "excused": 1}


def test_before_the_first_event_of_a_year_the_last_one_is_shown(
    new_visitor: Callable[[], PortalClient],
) -> None:
    child = factories.student()
    put(child, events=EVENTS[:1])
    visitor = factories.signed_in(new_visitor, factories.account(factories.guardian(child)))
    assert [one["date"] for one in read(visitor, child)["events"]] == ["2025-02-03"]
    assert read(visitor, child, "?school_year=2026")["events"] == []


@pytest.mark.parametrize(
    "query",
    [
        "?school_year=1999",
        "?school_year=",
        "?school_year=2026%23",
        "?school_year=%00%F0%9F%98%80",
        "?school_year=-1&month=0000-99",
        "?class=nobody",
        "?class=%22%7B",
        "?class=",
    ],
)
def test_a_year_or_class_that_nobody_knows_has_no_events(
    parent: PortalClient, ana: SomeStudent, query: str
) -> None:
    seen = read(parent, ana, query)
    assert seen == {"student_id": ana.student_id, "events": [], "totals": NO_TOTALS}
    assert "School year" in page(parent, ana, query) or "school year" in page(parent, ana, query)


@pytest.mark.parametrize("month", ["2026-02", "2025-09", "2024-01", "x", "2025-13", "９999-01"])
def test_whatever_month_is_asked_for_a_page_comes(
    parent: PortalClient, ana: SomeStudent, month: str
) -> None:
    assert "<h1>Attendance</h1>" in page(parent, ana, f"?month={month}")


def test_a_class_shows_its_own_events_and_their_totals(
    parent: PortalClient, ana: SomeStudent
) -> None:
    seen = read(parent, ana, f"?class={class_id('Math')}")
    assert [one["date"] for one in seen["events"]] == ["2026-02-20", "2025-11-03"]
    assert seen["totals"] == {**NO_TOTALS, "absent": 1, "tardy": 1, "unexcused": 2}


def test_a_child_without_events_has_an_empty_page(
    new_visitor: Callable[[], PortalClient],
) -> None:
    for recorded in (True, False):
        child = factories.student()
        if recorded:
            put(child)
        who = factories.account(factories.guardian(child), username=f"Rosa{recorded:d}9")
        visitor = factories.signed_in(new_visitor, who)
        assert read(visitor, child)["events"] == []
        assert "Nothing has been reported." in page(visitor, child)


# --- the page ---------------------------------------------------------------------------


def test_the_page_shows_totals_months_and_what_happened(
    parent: PortalClient, ana: SomeStudent
) -> None:
    shown = page(parent, ana)
    assert "School year 2025–2026" in shown
    assert '<h2 id="month-title">February 2026</h2>' in shown
    assert "Absent, Unexcused" in shown
    # Months without an event are there too, up to the one that runs.
    for month in ("August 2025", "October 2025", "March 2026"):
        assert month in shown
    assert "April 2026" not in shown
    assert "<svg" in shown
    assert "<script>" not in shown
    assert "style=" not in shown


def test_another_month_shows_what_happened_then(parent: PortalClient, ana: SomeStudent) -> None:
    shown = page(parent, ana, "?month=2025-11")
    assert '<h2 id="month-title">November 2025</h2>' in shown
    assert "Minutes: 12" in shown
    assert "Flu" not in shown
    assert "Flu" in page(parent, ana, "?month=2025-09")


def test_a_change_of_language_keeps_what_was_chosen(parent: PortalClient, ana: SomeStudent) -> None:
    shown = page(parent, ana, "?school_year=2025&month=2025-02&lang=es")
    assert "Año escolar 2024–2025" in shown
    assert "school_year=2025&amp;month=2025-02&amp;lang=en" in shown


def test_hostile_text_shows_as_text(new_visitor: Callable[[], PortalClient]) -> None:
    child = factories.student(given_name=HOSTILE)
    put(child, events=[event("2026-02-03", HOSTILE, of=HOSTILE, reason=HOSTILE, period=HOSTILE)])
    visitor = factories.signed_in(new_visitor, factories.account(factories.guardian(child)))
    shown = page(visitor, child)
    assert "<script>alert" not in shown
    assert "&lt;script&gt;alert" in shown
    assert "49" not in shown.replace("{{7*7}}", "")[shown.index("<main") :]
    assert read(visitor, child)["events"][0]["reason"] == HOSTILE


def test_a_year_full_of_absences_is_a_page_under_60_kb(
    new_visitor: Callable[[], PortalClient],
) -> None:
    days = [f"2025-{month:02}-{day:02}" for month in (9, 10, 11, 12) for day in range(1, 29)]
    titles = [f"A class with a long title, number {number}" for number in range(8)]
    child = factories.student()
    put(
        child,
        events=[
            event(day, of=title, excuse="unexcused", period=str(number))
            for day in days
            for number, title in enumerate(titles)
        ],
    )
    visitor = factories.signed_in(new_visitor, factories.account(factories.guardian(child)))
    assert len(read(visitor, child)["events"]) == len(days) * len(titles)
    assert len(page(visitor, child).encode()) < 60_000


# --- whose ------------------------------------------------------------------------------


def test_the_page_takes_three_calls_all_consistent(
    parent: PortalClient, ana: SomeStudent, aws_calls: list[tuple[str, str, str]]
) -> None:
    for query in ("", f"?class={class_id('Math')}", "?school_year=2025"):
        aws_calls.clear()
        read(parent, ana, query)
        assert calls_of_page(aws_calls) == ["UpdateItem", "BatchGetItem", "Query"]


def test_somebody_elses_child_is_not_found(
    parent: PortalClient, new_visitor: Callable[[], PortalClient]
) -> None:
    other = factories.student()
    put(other, events=EVENTS)
    factories.guardian(other, email="other@example.com")
    for student_id in (other.student_id, "nobody", "x" * 20, "%23", "a%2Fb", "%00"):
        for accept in ("application/json", HTML):
            for query in ("", "?school_year=2026", "?school_year=x&class=%22"):
                answer = parent.get(f"/students/{student_id}/attendance{query}", accept=accept)
                assert answer.status == 404
    assert parent.get(f"/students/{other.student_id}/attendance").code == "not-found"
    assert new_visitor().get(f"/students/{other.student_id}/attendance").status == 401


def test_access_that_is_taken_is_gone_at_the_next_request(
    new_visitor: Callable[[], PortalClient],
) -> None:
    child = factories.student()
    put(child, events=EVENTS)
    who = factories.guardian(child)
    visitor = factories.signed_in(new_visitor, factories.account(who))
    assert read(visitor, child)["events"]
    remove(f"guardian#{who.guardian_id}", f"student#{child.student_id}")
    assert visitor.get(f"/students/{child.student_id}/attendance").code == "not-found"


def test_nothing_goes_out_but_the_fields_of_the_contract(
    new_visitor: Callable[[], PortalClient],
) -> None:
    child = factories.student()
    put(child, events=EVENTS, ssn="123-45-6789", sourced_id="secret-row")
    visitor = factories.signed_in(new_visitor, factories.account(factories.guardian(child)))
    for text in (str(read(visitor, child)), page(visitor, child)):
        assert "123-45-6789" not in text
        assert "secret-row" not in text
