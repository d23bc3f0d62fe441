"""A student's pages: whose they are, what they cost, what goes out, and the switch between students."""

from collections.abc import Callable
from typing import Any

import pytest
import time_machine

from chalicelib import crypto, settings
from tests import aws_stage, factories
from tests.portal_client import PortalClient

Visitors = Callable[[], PortalClient]
PAGES = ("", "/schedule")
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


def signed_in(new_visitor: Visitors, *students: factories.SomeStudent) -> PortalClient:
    """Return the guardian of the students, signed in."""
    return factories.signed_in(new_visitor, factories.account(factories.guardian(*students)))


def delete(pk: str, sk: str) -> None:
    """Delete an item of the roster, as an import does."""
    aws_stage.client("dynamodb").delete_item(
        TableName=settings.name("roster"), Key={"pk": {"S": pk}, "sk": {"S": sk}}
    )


# --- what they show -------------------------------------------------------------------------


def test_a_student_is_answered_with_today(new_visitor: Visitors) -> None:
    ana = factories.student(given_name="Ana", classes=[a_class(2), a_class(1)])
    visitor = signed_in(new_visitor, ana)
    answer = visitor.get(f"/students/{ana.student_id}")
    assert answer.status == 200
    home = visitor.get("/").json()
    today = home["today"][0]
    assert answer.json() == {**home["students"][0], "today": today}
    assert [one["title"] for one in today["classes"]] == ["Subject 1", "Subject 2"]
