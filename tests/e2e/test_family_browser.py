"""What a family does behind the sign-in, in a browser, and every page of it in every setting.

The way through goes once, on a phone of 320 pixels, with what the school's office does in between; the
functions of the console and the schedule run under their own roles. Each visit is held to what
test_journey_browser holds each to.
"""

from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from playwright.sync_api import expect

import local
import sample_district
from chalicelib import crypto, texts
from local import LocalStack
from sample_district import SampleFamily, SampleStudent
from tests.chromium import PICTURES
from tests.e2e import journeys
from tests.e2e.conftest import DeployedClient, District, wait_for_mail
from tests.e2e.test_journey_browser import (
    PASSWORD,
    NewVisit,
    Visit,
    browser,
    make_account,
    new_visit,
    pytestmark,
    sign_in,
)
from tests.e2e.test_journey_json import hourly

USERNAME = "family1"
NARROW: Mapping[str, Any] = {"viewport": {"width": 320, "height": 640}, "has_touch": True}
WIDTHS, SCHEMES = (320, 1280), ("light", "dark")
# axe takes as long as all else; each width, scheme and language comes once here, and all of them
# when pictures are taken.
AXE = {("en", 1280, "dark"), ("es", 320, "light")}
NEW_NUMBER = "404-555-0099"


@pytest.fixture(scope="module")
def family(stack: LocalStack, district: District) -> SampleFamily:
    """One guardian with two children, with an account, who has answered and asked for nothing yet."""
    make_account(stack, str(district.family.guardians[0].email), USERNAME)
    dynamodb = stack.client("dynamodb")
    for page in dynamodb.get_paginator("scan").paginate(TableName="parent-portal-local-requests"):
        for item in page["Items"]:
            key = {"request_id": item["request_id"]}
            dynamodb.delete_item(TableName="parent-portal-local-requests", Key=key)
    return district.family


@pytest.fixture
def client(stack: LocalStack, family: SampleFamily) -> DeployedClient:
    """The same guardian's program."""
    return client_of(stack, USERNAME)


def client_of(stack: LocalStack, username: str) -> DeployedClient:
    signed_in = DeployedClient(stack, ip="198.51.100.250")
    answer = signed_in.post("/sign-in", {"username": username, "password": PASSWORD})
    assert answer.status == 200, answer.text
    return signed_in


def name_of(child: SampleStudent) -> str:
    return f"{child.given_name} {child.family_name}"


def id_of(child: SampleStudent) -> str:
    return crypto.opaque_id("student", child.sourced_id)


# --- once through, on a phone -----------------------------------------------------------


@pytest.fixture
def visit(new_visit: NewVisit, family: SampleFamily, client: DeployedClient) -> Visit:
    """The guardian on a phone, signed in, in the roster's language."""
    assert client.post("/preferences", {"language": None}).status == 200
    visit = new_visit("family", device=NARROW, locale="en-US")
    assert sign_in(visit, USERNAME) == 200
    return visit


def test_a_parent_looks_at_each_childs_pages(visit, family, client):
    first, second = family.students
    assert visit.title == "Your children"
    assert visit.follow("Students") == 200
    for child in family.students:
        for number in (child.student_number, str(child.gtid)):
            assert number in visit.text
    visit.follow(name_of(first))
    assert (visit.path, visit.title) == (f"/students/{id_of(first)}", name_of(first))
    look_at_the_schedule(visit, first, client)
    look_at_attendance(visit, first, client)
    look_at_grades(visit, first, client)
    # The switch leads to the same page of the other child, and on from there to theirs.
    switch(visit, first, second)
    assert (visit.path, visit.title) == (f"/students/{id_of(second)}/grades", "Grades")
    assert name_of(second) in visit.text
    assert all(one in visit.text for one in titles_of_classes(client, second))
    look_at_attendance(visit, second, client)
    visit.follow("Schedule")
    assert visit.path == f"/students/{id_of(second)}/schedule"
    switch(visit, second, first)
    assert visit.path == f"/students/{id_of(first)}/schedule"


def switch(visit: Visit, here: SampleStudent, there: SampleStudent) -> None:
    switcher = visit.page.get_by_role("navigation", name="Choose a student")
    switcher.get_by_text(name_of(here)).first.tap()
    way = switcher.get_by_role("link", name=name_of(there))
    expect(way).to_be_visible()
    visit.look("switch-open", axe=False)  # it can't judge what the open list covers
    with visit.page.expect_navigation():
        way.tap()


def look_at_the_schedule(visit: Visit, child: SampleStudent, client: DeployedClient) -> None:
    visit.follow("Schedule")
    assert visit.title == "Class schedule"
    classes = client.get(f"/students/{id_of(child)}/schedule").json()["classes"]
    assert classes
    for one in classes:
        assert one["title"] in visit.text
        assert one["teacher"] in visit.text
    visit.page.get_by_role("heading", name="By day of the week").wait_for()


def look_at_attendance(visit: Visit, child: SampleStudent, client: DeployedClient) -> None:
    visit.follow("Attendance")
    assert visit.title == "Attendance"
    year = client.get(f"/students/{id_of(child)}/attendance").json()
    assert totals_of(visit) == list(year["totals"].values())
    months = visit.page.locator(".figure table").get_by_role("link")
    last = months.nth(months.count() - 1)
    month = last.inner_text()
    with visit.page.expect_navigation():
        last.tap()
    expect(visit.page.locator("#month-title")).to_have_text(month)
    named = [one for one in year["events"] if one["class"]]
    if named:  # which child has such an event depends on the day
        filter_by_class(visit, named)


def filter_by_class(visit: Visit, named: list[dict[str, Any]]) -> None:
    title = named[0]["class"]
    own = [one for one in named if one["class_id"] == named[0]["class_id"]]
    visit.page.get_by_text("Choose a class").tap()
    visit.look("classes-open")
    visit.follow(title)
    assert title in visit.page.inner_text(".lead")
    assert totals_of(visit)[0] == sum(one["status"] == "absent" for one in own)
    visit.page.get_by_text("Choose a class").tap()
    visit.follow("All classes")
    assert "class=" not in visit.path


def totals_of(visit: Visit) -> list[int]:
    return [int(one) for one in visit.page.locator(".totals dd").all_inner_texts()]


def look_at_grades(visit: Visit, child: SampleStudent, client: DeployedClient) -> None:
    visit.follow("Grades")
    assert visit.title == "Grades"
    first_page = client.get(f"/students/{id_of(child)}/grades").json()
    for one in first_page["classes"]:
        assert one["title"] in visit.text
        for work in one["assignments"]:
            assert work["title"] in visit.text
    if first_page["next"]:
        assert visit.follow("Older assignments") == 200
        assert "You are looking at older assignments." in visit.text
        visit.look("older-grades")
        visit.follow("Newest assignments")


def titles_of_classes(client: DeployedClient, child: SampleStudent) -> list[str]:
    grades = client.get(f"/students/{id_of(child)}/grades").json()
    return [str(one["title"]) for one in grades["classes"]]


def test_a_parent_confirms_and_asks_for_a_change_which_the_office_decides(
    visit, stack, family, client
):
    guardian = family.guardians[0]
    visit.follow("Household")
    assert guardian.home.address1 in visit.text
    assert visit.press("This is right") == 200
    assert visit.path == "/household?done=confirmed"
    assert "Last confirmed:" in visit.text
    visit.page.fill("#mobile", NEW_NUMBER)
    assert visit.press("Send request") == 422
    visit.look("household-refused")
    assert visit.page.input_value("#mobile") == NEW_NUMBER
    visit.page.fill("#comment", "We have a new phone.")
    assert visit.press("Send request") == 200
    assert visit.path == "/household?done=requested"
    assert "Waiting for the school" in visit.text
    visit.look("household-requested")

    sent = len(stack.mails())
    waiting = stack.invoke("list_change_requests", {"status": "pending"})
    (asked,) = waiting["requests"]
    assert asked["comment"] == "We have a new phone."
    assert list(asked["changes"]) == ["mobile"]
    decision = {"request_id": asked["id"], "decision": "approve", "comment": "Entered today."}
    assert stack.invoke("decide_change_request", decision)["status"] == "approved"
    assert stack.invoke("list_change_requests", {"status": "pending"})["requests"] == []
    visit.follow("Household")
    assert "Waiting for the school" not in visit.text
    assert "Approved" in visit.text
    assert "Entered today." in visit.text
    visit.look("household-approved")
    mail = wait_for_mail(
        stack, str(guardian.email), after=sent, saying="The school has decided on your request"
    )
    assert "Entered today." in mail["BodyText"]

    exported = stack.invoke("export_changes", {})
    assert exported["count"] == 1
    (row,) = journeys.rows_at(exported["url"])
    # Behind an apostrophe what a spreadsheet would take for a formula.
    assert row["requestId"].removeprefix("'") == asked["id"]
    assert row["sourcedId"] == guardian.sourced_id
    assert row["sms"].removeprefix("'") == asked["changes"]["mobile"]


def test_a_parent_answers_for_each_child_and_is_reminded_until_then(visit, stack, family):
    first, second = family.students
    for child in family.students:
        visit.follow("Home")
        reminder = visit.page.locator(".note", has_text="Please answer the enrollment")
        expect(reminder).to_contain_text(child.given_name)
        with visit.page.expect_navigation():
            reminder.get_by_role("link", name="Answer now").tap()
        card = visit.page.get_by_role("article", name=name_of(child))
        if child is first:
            assert visit.press(f"Save the answer for {child.given_name}") == 422
            visit.look("enrollment-refused")
        card.get_by_label("Yes, and what the school has on record is right").check()
        assert visit.press(f"Save the answer for {child.given_name}") == 200
        expect(card).to_contain_text("Coming back")
        visit.look("enrollment-answered")
    visit.follow("Home")
    assert "Please answer the enrollment" not in visit.text

    report = stack.invoke("enrollment_report", {})
    rows = {row["student_number"].lstrip("'"): row for row in journeys.rows_at(report["url"])}
    assert sum(school["students"] for school in report["schools"]) == len(rows)
    assert sum(school["returning"] for school in report["schools"]) == 2
    answered = {number for number, row in rows.items() if row["answer"] == "returning"}
    assert answered == {first.student_number, second.student_number}


def test_what_is_chosen_holds_for_pages_and_the_digest_at_five(
    visit, stack, family, clock, tmp_path
):
    child, guardian = family.students[1], family.guardians[0]
    visit.follow("Preferences")
    visit.page.get_by_role("group", name="Language").get_by_text("Español").tap()
    visit.page.get_by_role("group", name="Attendance").get_by_text("Email").tap()
    assert visit.press("Save preferences") == 200
    assert visit.path == "/preferences?done"
    assert "Se guardaron sus preferencias." in visit.text
    visit.look("preferences-saved")
    for menu, title in (("Inicio", "Sus hijos"), ("Hogar", "Su hogar"), ("Cuenta", "Su cuenta")):
        visit.follow(menu)
        assert (visit.page.get_attribute("html", "lang"), visit.title) == ("es", title)

    five = next_five(ZoneInfo(stack.invoke("show_preferences", {})["time_zone"]))
    path = tmp_path / "absent.zip"
    sample_district.write_delta(
        path,
        students=local.SAMPLE_STUDENTS,
        seed=local.SAMPLE_SEED,
        today=five.date(),
        absences=[child.sourced_id],
    )
    assert local.load_roster(stack, path, "absent")["status"] == "applied"
    sent = len(stack.mails())
    clock(five - datetime.now(UTC) + timedelta(minutes=1))
    stack.invoke("send_digests", hourly())
    mail = wait_for_mail(stack, str(guardian.email), after=sent, saying="novedades de la escuela")
    assert f"Asistencia de {child.given_name}" in mail["BodyText"]
    assert "Ausente" in mail["BodyText"]


def next_five(zone: ZoneInfo) -> datetime:
    """Return the next moment at which it is five in the afternoon."""
    now = datetime.now(zone)
    five = now.replace(hour=17, minute=0, second=0, microsecond=0)
    return five if five > now else five + timedelta(days=1)


def test_a_parent_finds_help_and_their_account(visit, family):
    visit.follow("Help")
    visit.page.fill("#q", "gtid")
    expect(visit.page.locator("section#gtid")).to_be_visible()
    expect(visit.page.locator("section#phone")).to_be_hidden()
    visit.look("help-found")
    visit.page.fill("#q", "xyzzy")
    expect(visit.page.get_by_text("No topic has these words.")).to_be_visible()
    visit.look("help-nothing-found")
    visit.follow("Account")
    assert USERNAME in visit.text
    assert str(family.guardians[0].email) in visit.text


# --- every page, in every setting ---------------------------------------------------------


@pytest.mark.parametrize("language", texts.LANGUAGES)
def test_every_page_fits_in_every_setting(new_visit, client, family, language):
    visit = new_visit("family", device=NARROW, locale="en-US")
    assert sign_in(visit, USERNAME) == 200
    look_at_every_page(visit, client, language)


def look_at_every_page(visit: Visit, client: DeployedClient, language: str) -> None:
    """Hold each page of who is signed in to fit at both widths and in both schemes."""
    visit.open(f"/?lang={language}")
    for name, path in pages_of(client):
        visit.open(path)
        assert visit.page.get_attribute("html", "lang") == language, path
        for width in WIDTHS:
            visit.page.set_viewport_size({"width": width, "height": 800})
            for scheme in SCHEMES:
                visit.page.emulate_media(color_scheme=scheme)
                setting = (language, width, scheme)
                shown = f"{name}-{language}-{width}-{scheme}"
                visit.look(shown, axe=bool(PICTURES) or setting in AXE)


def pages_of(client: DeployedClient) -> Iterator[tuple[str, str]]:
    yield "home", "/"
    for name in (
        "students",
        "household",
        "preferences",
        "enrollment",
        "help",
        "account",
        "session",
    ):
        yield name, f"/{name}"
    for number, child in enumerate(client.get("/students").json(), 1):
        way = f"/students/{child['id']}"
        yield f"child{number}", way
        for section in ("schedule", "attendance", "grades"):
            yield f"child{number}-{section}", f"{way}/{section}"
        following = client.get(f"{way}/grades").json()["next"]
        if following:
            yield f"child{number}-older", f"{way}/grades?before={following}"
