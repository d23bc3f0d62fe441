"""From a roster to the pages of attendance and grades: what the import keeps apart and counts."""

import json
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import Any

import pytest
import time_machine

from chalicelib.storage import roster
from tests import factories
from tests.aws_stage import AwsStage
from tests.factories import SomeGuardian
from tests.portal_client import HTML, PortalClient
from tests.roster_sets import (
    SHARED,
    Office,
    RosterSet,
    absence,
    delta,
    district,
    guardian_id,
    line_item,
    result,
    student_id,
)

NOON = "2026-03-02T17:00:00+00:00"
Visitors = Callable[[], PortalClient]


@pytest.fixture(autouse=True)
def clock() -> Iterator[Any]:
    """Give a clock that a test moves."""
    with time_machine.travel(NOON) as traveller:
        yield traveller


@pytest.fixture
def office(clock: Any, stage: AwsStage) -> Office:
    """Give the office of a district that never uploaded anything."""
    return Office(stage)


def parent_of(new_visitor: Visitors, guardian: str) -> PortalClient:
    """Return a guardian of the roster, signed in."""
    record = roster.guardian_partition(guardian_id(guardian))
    assert record is not None
    who = SomeGuardian(record.guardian_id, record.email)
    return factories.signed_in(new_visitor, factories.account(who, now=datetime.now(UTC)))


def gradebook(version: str = "1.2") -> RosterSet:
    """Return a set with a weighted category, posted grades and results of every kind."""
    made = district(1)
    items = made.files["lineItems.csv"] = [
        line_item(f"l{number}", "c1", dueDate=f"2026-02-0{number}") for number in range(1, 8)
    ]
    items.append(line_item("p1", "c1", title="Q3", **{"metadata.gradeType": "gradingPeriod"}))
    made.files["results.csv"] = [
        result("r1", "l1", "s1", score="12"),
        result("r2", "l2", "s1", score="0", scoreStatus="exempt"),
        result("r3", "l3", "s1", score="0", scoreStatus="not submitted"),
        result("r4", "l4", "s1", score="5", late="true", missing="false"),
        result("r5", "l5", "s1", score="", inProgress="true", scoreStatus="submitted"),
        result("r6", "l6", "s1", score="", textScore="B+"),
        result("rp", "p1", "s1", score="88", textScore="B"),
    ]
    made.files["categories.csv"][0]["weight"] = "40"
    if version == "1.2":
        made.version = "1.2"
        made.files["roles.csv"] = [
            {
                "sourcedId": f"role-{user['sourcedId']}",
                "userSourcedId": user["sourcedId"],
                "roleType": "primary",
                "role": user.pop("role"),
                "orgSourcedId": user.pop("orgSourcedIds"),
            }
            for user in made.files["users.csv"]
        ]
        for item in items:
            item["academicSessionSourcedId"] = item.pop("gradingPeriodSourcedId")
            item["schoolSourcedId"] = "elm"
    return made


def test_the_gradebook_of_a_roster_comes_out_as_the_contract_has_it(
    office: Office, new_visitor: Visitors
) -> None:
    assert office.upload(gradebook())["status"] == "applied"
    visitor = parent_of(new_visitor, "g1a")
    answer = visitor.get(f"/students/{student_id('s1')}/grades").json()
    (seen,) = answer["classes"]
    assert (seen["title"], seen["term"], answer["next"]) == ("Math c1", "Y26", None)
    assert seen["posted"] == [
        {"grading_period": "Q3", "type": "gradingPeriod", "grade": "B", "score": 88.0}
    ]
    # 12 of 10 and 5 of 10; exempt, not submitted and unscored ones don't count.
    assert seen["category_averages"] == [{"category": "Quiz", "weight": 40.0, "average": 85.0}]
    shown = {one["title"]: (one["score"], one["flags"]) for one in seen["assignments"]}
    assert shown == {
        "Quiz l1": (12.0, []),
        "Quiz l2": (None, ["exempt"]),
        "Quiz l3": (None, ["not-submitted"]),
        "Quiz l4": (5.0, ["late"]),
        "Quiz l5": (None, ["in-progress"]),
        "Quiz l6": (None, []),
    }
    page = visitor.get(f"/students/{student_id('s1')}/grades", accept=HTML).text
    assert "120%" in page
    assert "B+" in page


def test_a_comment_may_hold_every_sign_of_unicode_that_ends_a_line(office: Office) -> None:
    """Text that was pasted from a web page does; cut there, a change could never be written."""
    made = district(1)
    comment = "Well\u2028done,\u2029Kid"
    made.row("results.csv", "r1")["comment"] = comment
    assert office.upload(made)["status"] == "applied"
    items = office.items().values()
    assert comment in [json.loads(item["data"]).get("comment") for item in items if "data" in item]


@pytest.mark.parametrize("earlier", ["a-before", "z-before"])
def test_who_left_a_class_and_came_back_is_in_it(office: Office, earlier: str) -> None:
    made = district(1)
    again = made.row("enrollments.csv", "e-s1-c1")
    again["beginDate"] = "2026-02-01"
    made.files["enrollments.csv"].append(
        again | {"sourcedId": earlier, "beginDate": "2025-08-01", "endDate": "2025-12-01"}
    )
    office.upload(made)
    (summary,) = roster.student_summaries([student_id("s1")])
    assert [one.term_start for one in summary.classes] == ["2026-02-01"]


@pytest.mark.parametrize("new", ["a-new", "z-new"])
def test_a_class_is_the_teachers_who_has_it_today(office: Office, new: str) -> None:
    made = district(1)
    before = made.row("enrollments.csv", "e-t1-c1")
    before |= {"primary": "true", "endDate": "2025-12-01"}
    made.files["users.csv"].append(
        made.row("users.csv", "t1") | {"sourcedId": "t2", "givenName": "New"}
    )
    made.files["enrollments.csv"].append(
        before | {"sourcedId": new, "userSourcedId": "t2", "primary": "", "endDate": ""}
    )
    office.upload(made)
    (summary,) = roster.student_summaries([student_id("s1")])
    assert [one.teacher for one in summary.classes] == ["New Cher"]


def test_a_student_too_large_to_be_stored_is_named_before_anything_is_written(
    office: Office,
) -> None:
    """Found only while writing, it would keep its place and let no later upload pass."""
    made = district(2)
    for n in range(2_500):
        taught = made.row("classes.csv", "c1") | {"sourcedId": f"k{n}"}
        made.files["classes.csv"].append(taught)
        enrolled = made.row("enrollments.csv", "e-s2-c1")
        enrolled = enrolled | {"sourcedId": f"e{n}", "classSourcedId": f"k{n}"}
        made.files["enrollments.csv"].append(enrolled)
    report = office.upload(made)
    assert (report["status"], report["reason"]) == ("rejected", "user.too-large")
    assert office.faults()[0]["sourcedId"] == "s2"
    assert office.items() == {}
    assert office.upload(district(2))["status"] == "applied"


def test_without_weights_in_the_roster_there_are_no_averages(
    office: Office, new_visitor: Visitors
) -> None:
    office.upload(district(1))
    answer = parent_of(new_visitor, "g1a").get(f"/students/{student_id('s1')}/grades").json()
    assert [one["category_averages"] for one in answer["classes"]] == [[]]


def test_one_class_is_found_among_what_the_import_wrote(
    office: Office, new_visitor: Visitors
) -> None:
    made = district(1)
    made.files["results.csv"].append(result("r2", "l2", "s1"))
    office.upload(made)
    visitor = parent_of(new_visitor, "g1a")
    path = f"/students/{student_id('s1')}/grades"
    whole = visitor.get(path).json()["classes"]
    assert [one["title"] for one in whole] == ["Math c1", "Math c2"]
    for one in whole:
        assert visitor.get(f"{path}?class={one['id']}").json()["classes"] == [one]


def test_years_that_left_the_roster_keep_their_events_and_their_days(
    office: Office, new_visitor: Visitors, clock: Any
) -> None:
    made = district(1)
    # The first week of a year that began earlier in August than the next, and summer school.
    made.files["attendance.csv"] += [
        absence("a8", "s1", "2025-08-05"),
        absence("a9", "s1", "2026-06-20", attendanceStatus="tardy"),
    ]
    office.upload(made)
    clock.move_to("2026-09-01T17:00:00+00:00")
    following = district(1)
    following.files["academicSessions.csv"] = [
        one | {"startDate": "2026-08-10", "endDate": "2027-06-01", "schoolYear": "2027"}
        for one in following.files["academicSessions.csv"]
    ]
    following.files["attendance.csv"] = [absence("b1", "s1", "2026-08-31")]
    assert office.upload(following)["status"] == "applied"
    visitor = parent_of(new_visitor, "g1a")
    path = f"/students/{student_id('s1')}/attendance"
    newest = visitor.get(path).json()
    assert [one["date"] for one in newest["events"]] == ["2026-08-31"]
    assert newest["totals"]["absent"] == 1
    before = visitor.get(f"{path}?school_year=2026").json()
    assert [one["date"] for one in before["events"]] == [
        "2026-06-20",
        "2026-02-03",
        "2025-08-05",
    ]
    assert (before["totals"]["absent"], before["totals"]["tardy"]) == (2, 1)
    (own,) = visitor.get("/").json()["today"]
    assert own["totals"] == newest["totals"]


def test_the_record_changes_only_with_what_it_says(office: Office) -> None:
    office.upload(gradebook("1.1"))
    key = (f"student#{student_id('s1')}", "record")
    before = office.items()[key]
    assert json.loads(before["data"])["classes"][0]["category_averages"] == []
    office.upload(delta(attendance=[absence("a5", "s1", "2026-02-10")]), "second")
    assert office.items()[key] == before
    office.upload(delta(results=[result("r1", "l1", "s1", score="3")]), "third")
    assert office.items()[key] != before


@pytest.mark.parametrize("version", ["v1p1", "v1p2"])
def test_the_real_district_shows_november_2021_when_the_clock_says_so(
    office: Office, new_visitor: Visitors, clock: Any, version: str
) -> None:
    path = SHARED / "edfi-grandbend-derived" / f"grandbend-{version}-attendance.zip"
    if not path.is_file():
        pytest.skip("the shared folder with real rosters isn't beside the project")
    clock.move_to("2021-11-30T17:00:00+00:00")
    office.upload(path)
    child = student_id("604822")
    (first, *_) = roster.guardians_of(child)
    who = SomeGuardian(first.guardian_id, None)
    visitor = factories.signed_in(new_visitor, factories.account(who, now=datetime.now(UTC)))
    seen = visitor.get(f"/students/{child}/attendance").json()
    assert "2021-11-09" in [one["date"] for one in seen["events"]]
    assert seen["totals"]["absent"] >= 2
    shown = visitor.get(f"/students/{child}/attendance?month=2021-11", accept=HTML).text
    assert "School year 2021–2022" in shown
    assert "Nov 9, 2021" in shown
    graded = visitor.get(f"/students/{child}/grades").json()
    (algebra,) = [one for one in graded["classes"] if one["assignments"]]
    assert len(algebra["assignments"]) == 10
    averages = [one["weight"] for one in algebra["category_averages"]]
    assert averages == ([] if version == "v1p1" else [100.0])
