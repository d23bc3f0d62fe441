"""Families at once, on what is deployed: one account for one key and for one name, nothing half-made.

Each request runs in a worker process of its own, as each runs in a container of its own on AWS.
`tests/storage/test_races.py` tries the same on DynamoDB's own conditions.
"""

import threading
import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from typing import Any

import pytest

import local
import sample_district
from chalicelib import texts
from local import LocalStack
from tests.e2e import journeys
from tests.e2e.journeys import PASSWORD, create
from tests.portal_client import Answer

pytestmark = pytest.mark.e2e

STUDENTS, SEED = 60, 7


@pytest.fixture(scope="module")
def school(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalStack]:
    """A stage of this module's own with a small district."""
    folder = tmp_path_factory.mktemp("at-once")
    today = datetime.now(UTC).date()
    sample_district.write_district(folder / "set.zip", students=STUDENTS, seed=SEED, today=today)
    with journeys.fresh_stack(folder) as started:
        assert local.load_roster(started, folder / "set.zip", "set")["status"] == "applied"
        yield started


@pytest.fixture(scope="module")
def guardians(school: LocalStack) -> Iterator[dict[str, Any]]:
    """Guardians as an admin finds them, each once; a test takes as many as it needs."""
    return iter(_guardians(school))


def _guardians(school: LocalStack) -> list[dict[str, Any]]:
    numbers = [
        child.student_number
        for family in sample_district.families(students=STUDENTS, seed=SEED)
        for child in family.students
    ]
    found = {
        guardian["guardian_id"]: guardian
        for number in numbers
        for guardian in school.invoke("find_guardian", {"student_number": number})["guardians"]
    }
    # A barred parent is found too, and sees no student.
    return [one for one in found.values() if one["email"] and one["students"]]


def at_once(calls: Iterable[Callable[[], Answer]]) -> list[Answer]:
    """Send requests at the same moment; return their answers in order."""
    waiting = list(calls)
    barrier = threading.Barrier(len(waiting))

    def send(call: Callable[[], Answer]) -> Answer:
        barrier.wait(timeout=60)
        return call()

    with ThreadPoolExecutor(len(waiting)) as pool:
        return list(pool.map(send, waiting))


@pytest.fixture(scope="module", autouse=True)
def warm(school: LocalStack) -> None:
    """Have thirty workers stand, so that what follows begins together; a few start at a time."""
    for count in range(6, 31, 6):
        visitors = [journeys.visitor(school) for _ in range(count)]
        answers = at_once(lambda v=v: v.get("/status") for v in visitors)
        assert {answer.status for answer in answers} == {200}


def accounts(school: LocalStack) -> dict[str, Any]:
    """Return every account by its folded name."""
    return {row["username_key"]["S"]: row for row in rows(school, "accounts")}


def rows(school: LocalStack, table: str) -> list[Any]:
    pages = school.client("dynamodb").get_paginator("scan")
    pages = pages.paginate(TableName=f"parent-portal-local-{table}")
    return [item for page in pages for item in page["Items"]]


def state_of_key(school: LocalStack, guardian: dict[str, Any]) -> str:
    """Return the state of a guardian's key as an admin sees it."""
    event = {"email": guardian["email"]}
    return next(
        str(one["key"]["state"])
        for one in school.invoke("find_guardian", event)["guardians"]
        if one["guardian_id"] == guardian["guardian_id"]
    )


def test_one_key_used_by_thirty_at_once_makes_one_account(school, guardians):
    rosa = next(guardians)
    key = journeys.returned_key(school, rosa)
    visitors = [journeys.visitor(school) for _ in range(30)]
    answers = at_once(lambda i=i, v=v: create(v, key, f"rosa{i}") for i, v in enumerate(visitors))
    assert sorted(a.status for a in answers) == [201] + [422] * 29
    assert {a.code for a in answers if a.status == 422} == {"activation-key-invalid"}
    (winner,) = [f"rosa{i}" for i, a in enumerate(answers) if a.status == 201]
    made = {name for name in accounts(school) if name.startswith("rosa")}
    assert made == {winner}
    assert state_of_key(school, rosa) == "used"
    journeys.wait_for_mail(school, rosa["email"])
    journeys.wait_until_mail_is_worked_off(school, put_off=True)
    told = [mail for mail in school.mails() if rosa["email"] in mail["To"]]
    assert len(told) == 1
    assert journeys.sign_in(journeys.visitor(school), winner).status == 200


def test_twenty_keys_on_one_username_at_once_make_one_account(school, guardians):
    people = [next(guardians) for _ in range(20)]
    keys = [journeys.returned_key(school, one) for one in people]
    names = ["SAMENAME1", "samename1", "SameName1", "sAMEnAME1"] * 5
    visitors = [journeys.visitor(school) for _ in people]
    answers = at_once(lambda i=i, v=v: create(v, keys[i], names[i]) for i, v in enumerate(visitors))
    assert sorted(a.status for a in answers) == [201] + [422] * 19
    faults = [fault for a in answers if a.status == 422 for fault in a.json()["errors"]]
    assert {(fault["field"], fault["code"]) for fault in faults} == {("username", "taken")}
    (winner,) = [i for i, a in enumerate(answers) if a.status == 201]
    assert accounts(school)["samename1"]["guardian_id"]["S"] == people[winner]["guardian_id"]
    # Nothing half-made: each of the others still gets in, with their own key and another name.
    losers = [i for i in range(20) if i != winner]
    for place in losers[:3]:
        assert state_of_key(school, people[place]) == "issued"
        journeys.get_in(school, keys[place], f"loser{place}")
    linked = {
        item["account"]["S"]
        for item in journeys.items(school).values()
        if item["sk"]["S"] == "access" and "account" in item
    }
    assert linked == set(accounts(school))


@pytest.mark.parametrize("form_id", ["", "double-tap-1"])
def test_the_same_form_twice_at_once_is_one_account_and_one_mail(school, guardians, form_id):
    rosa = next(guardians)
    key = journeys.returned_key(school, rosa)
    name = f"twice{len(form_id)}"
    sent = len(school.mails())
    parent = journeys.visitor(school)
    taps = [journeys.DeployedClient(school, ip=parent.ip) for _ in range(2)]
    answers = at_once(lambda tap=tap: create(tap, key, name, form_id=form_id) for tap in taps)
    assert [(a.status, a.json()) for a in answers] == [(201, {"username": name})] * 2
    made = [row for row in accounts(school).values() if row["username"]["S"] == name]
    assert [row["guardian_id"]["S"] for row in made] == [rosa["guardian_id"]]
    journeys.wait_for_mail(school, rosa["email"], after=sent)
    journeys.wait_until_mail_is_worked_off(school, put_off=True)
    told = [mail for mail in school.mails()[sent:] if rosa["email"] in mail["To"]]
    assert len(told) == 1


def test_twenty_wrong_passwords_count_and_the_rest_is_refused(school, guardians):
    key = journeys.returned_key(school, next(guardians))
    journeys.get_in(school, key, "guessed1")
    visitors = [journeys.visitor(school) for _ in range(30)]
    wrong = {"username": "guessed1", "password": f"{PASSWORD}x"}
    answers = at_once(lambda v=v: v.post("/sign-in", wrong) for v in visitors)
    assert sorted(a.status for a in answers) == [401] * 20 + [429] * 10


def test_a_school_signs_in_at_once(school, guardians):
    names = [f"evening{i}" for i in range(3)]
    for name in names:
        journeys.get_in(school, journeys.returned_key(school, next(guardians)), name)
    hall = journeys.visitor(school).ip
    visitors = [(journeys.DeployedClient(school, ip=hall), name) for name in names * 10]
    answers = at_once(lambda v=v, n=n: journeys.sign_in(v, n) for v, n in visitors)
    assert {a.status for a in answers} == {200}
    assert all(journeys.sees(v) for v, _ in visitors[:3])


def test_every_new_account_was_told_of_once(school):
    names = [row["username"]["S"] for row in accounts(school).values()]
    assert len(names) >= 10
    # A mail that ran ahead of its account is put off for seconds (policy.MAIL_RETRY_SECONDS).
    deadline = time.monotonic() + 90
    while 0 in times_told(school, names).values() and time.monotonic() < deadline:
        time.sleep(0.5)
    journeys.wait_until_mail_is_worked_off(school, put_off=True)
    assert times_told(school, names) == dict.fromkeys(names, 1)


def times_told(school: LocalStack, names: list[str]) -> dict[str, int]:
    """Return how many mails told of each account that it was made."""
    subjects = [texts.say(one, "mail.account-created.subject") for one in texts.LANGUAGES]
    told = [
        mail["BodyText"]
        for mail in school.mails()
        if any(subject in mail["Subject"] for subject in subjects)
    ]
    return {name: sum(name in text for text in told) for name in names}


def test_two_hundred_forgotten_usernames_are_five_mails_and_one_lockout(school, guardians):
    """Thirty are under way at any moment, from as many addresses as tries (guide, contract)."""
    ann = next(guardians)
    key = journeys.returned_key(school, ann)
    journeys.get_in(school, key, "forgets1")
    journeys.wait_until_mail_is_worked_off(school, put_off=True)
    sent = len(school.mails())

    def ask(place: int) -> Answer:
        visitor = journeys.visitor(school)
        return visitor.post("/forgot-username", {"email": ann["email"]}, ip=f"203.0.113.{place}")

    with ThreadPoolExecutor(30) as pool:
        answers = list(pool.map(ask, range(200)))
    assert sorted(a.status for a in answers) == [202] * 5 + [429] * 195
    assert {a.code for a in answers if a.status == 429} == {"locked-out"}
    journeys.wait_until_mail_is_worked_off(school, put_off=True)
    told = [mail for mail in school.mails()[sent:] if ann["email"] in mail["To"]]
    counted = {
        name: sum(
            any(
                texts.say(one, f"mail.{name}.subject") in mail["Subject"] for one in texts.LANGUAGES
            )
            for mail in told
        )
        for name in ("usernames", "locked-out")
    }
    assert counted == {"usernames": 5, "locked-out": 1}
    refused = journeys.sign_in(journeys.visitor(school), "forgets1")
    assert (refused.status, refused.code) == (403, "locked-out")
