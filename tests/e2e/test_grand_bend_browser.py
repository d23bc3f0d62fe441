"""A parent of Grand Bend, a district that was not made for us, on a school day of its data.

The stage is this file's own: its clock stands in November 2021, and so it was when the roster came.
"""

import csv
import io
import zipfile
from collections import Counter
from collections.abc import Iterator
from datetime import UTC, datetime

import pytest

import local
from chalicelib import crypto, texts
from local import LocalStack
from tests.e2e import journeys
from tests.e2e.test_family_browser import client_of, look_at_every_page, totals_of
from tests.e2e.test_journey_browser import browser, make_account, new_visit, pytestmark, sign_in
from tests.e2e.test_journey_json import REAL

ROSTER = REAL / "grandbend-v1p1-attendance.zip"
# Terrance Rivers has absences in November, a class and scores; his father has an address.
CHILD, FATHER, USERNAME = "604940", "Rivers@example1.com", "rivers1"
# A Tuesday on which he was absent; ten in the morning in New York.
NOW = datetime(2021, 11, 16, 15, tzinfo=UTC)


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalStack]:
    """Give Grand Bend on a stage of its own, in November 2021, with the father's account."""
    if not ROSTER.is_file():
        pytest.skip("the shared folder with real rosters isn't beside the project")
    with journeys.fresh_stack(tmp_path_factory.mktemp("grandbend")) as started:
        keep_what_expired(started)
        started.move_clock(NOW - datetime.now(UTC))
        report = local.load_roster(started, ROSTER, "grandbend")
        assert report["status"] == "applied", report
        make_account(started, FATHER, USERNAME)
        yield started


def keep_what_expired(stack: LocalStack) -> None:
    """Have DynamoDB delete nothing: by its own clock all sessions of 2021 are long over."""
    dynamodb = stack.client("dynamodb")
    for name in dynamodb.list_tables()["TableNames"]:
        told = dynamodb.describe_time_to_live(TableName=name)["TimeToLiveDescription"]
        if told["TimeToLiveStatus"] == "ENABLED":
            off = {"Enabled": False, "AttributeName": told["AttributeName"]}
            dynamodb.update_time_to_live(TableName=name, TimeToLiveSpecification=off)


def rows_of_child(file: str, column: str) -> list[dict[str, str]]:
    with zipfile.ZipFile(ROSTER) as opened:
        text = opened.read(file).decode("utf-8-sig")
    return [row for row in csv.DictReader(io.StringIO(text)) if row[column] == CHILD]


def test_a_parent_sees_the_month_as_the_school_noted_it(stack, new_visit):
    visit = new_visit("grandbend", locale="en-US")
    assert sign_in(visit, USERNAME) == 200
    assert "Terrance Rivers" in visit.text
    assert "Unexcused" in visit.text  # today
    visit.follow("Attendance")
    events = rows_of_child("attendance.csv", "studentSourcedId")
    assert totals_of(visit)[0] == Counter(row["attendanceStatus"] for row in events)["absent"]
    visit.follow("November 2021")
    noted = visit.page.locator("#month .rows .when").all_inner_texts()
    november = [row["date"] for row in events if row["date"].startswith("2021-11")]
    days = sorted((datetime.fromisoformat(day) for day in november), reverse=True)
    assert noted == [f"{day:%b} {day.day}, {day.year}" for day in days]
    assert len(noted) == 4

    visit.follow("Schedule")
    assert visit.title == "Class schedule"
    (enrolled,) = rows_of_child("enrollments.csv", "userSourcedId")
    client = client_of(stack, USERNAME)
    way = f"/students/{crypto.opaque_id('student', CHILD)}"
    (taught,) = client.get(f"{way}/schedule").json()["classes"]
    assert taught["id"] == crypto.opaque_id("class", enrolled["classSourcedId"])
    assert taught["title"] in visit.text

    visit.follow("Grades")
    scores = rows_of_child("results.csv", "studentSourcedId")
    listed = [
        one for of in client.get(f"{way}/grades").json()["classes"] for one in of["assignments"]
    ]
    assert sorted(one["score"] for one in listed) == sorted(float(row["score"]) for row in scores)
    for one in listed:
        assert one["title"] in visit.text


@pytest.mark.parametrize("language", texts.LANGUAGES)
def test_every_page_of_grand_bend_fits_in_every_setting(stack, new_visit, language):
    visit = new_visit("grandbend", locale="en-US")
    assert sign_in(visit, USERNAME) == 200
    look_at_every_page(visit, client_of(stack, USERNAME), language)
