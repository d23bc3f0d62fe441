"""What happens at once: one key, one name, one form, one limit, one import; on both stores.

The tables' conditions decide these, so they run on AWS's own engine too. Every visitor stands in a
container of their own, and threads begin together.
"""

import functools
import itertools
import threading
from collections import Counter
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from typing import Any, TypeVar

import pytest

from chalicelib import crypto, errors, settings
from chalicelib.domain import accounts as account_rules
from chalicelib.domain import activation, addresses
from chalicelib.storage import (
    accounts,
    activation_keys,
    aws,
    counters,
    enrollment,
    imports,
    roster,
    roster_writes,
)
from chalicelib.storage.enrollment import EnrollmentAnswer
from chalicelib.storage.roster_writes import GuardianMove
from tests import aws_stage, factories
from tests.conftest import SentMail
from tests.portal_client import Answer, PortalClient
from tests.roster_sets import Office, district, guardian_id

NOW = datetime.now(UTC)
PASSWORD = factories.PASSWORD
Visitors = Callable[[], PortalClient]
_T = TypeVar("_T")

pytestmark = pytest.mark.usefixtures("stage")


def at_once(calls: Iterable[Callable[[], _T]], *, threads: int = 10) -> list[_T]:
    """Run calls side by side, so many at a time, the first of them begun together."""
    waiting = list(calls)
    threads = min(threads, len(waiting))
    barrier = threading.Barrier(threads)
    places = itertools.count()

    def run(call: Callable[[], _T]) -> _T:
        if next(places) < threads:
            barrier.wait(timeout=30)
        return call()

    with ThreadPoolExecutor(threads) as pool:
        return list(pool.map(run, waiting))


def create(visitor: PortalClient, key: str, username: str, ip: str, form_id: str = "") -> Answer:
    fields = {
        "activation_key": key,
        "username": username,
        "password": PASSWORD,
        "verify_password": PASSWORD,
        "form_id": form_id,
    }
    return visitor.post("/create-account", fields, ip=ip)


def sign_in(
    visitor: PortalClient, username: str, password: str, ip: str = "198.51.100.1"
) -> Answer:
    return visitor.post("/sign-in", {"username": username, "password": password}, ip=ip)


def rows(table: str) -> list[dict[str, Any]]:
    """Return every item of a table."""
    pages = aws_stage.client("dynamodb").get_paginator("scan")
    pages = pages.paginate(TableName=settings.name(table), ConsistentRead=True)
    return [
        {name: next(iter(value.values())) for name, value in item.items()}
        for page in pages
        for item in page["Items"]
    ]


def keys_by_state() -> Counter[str]:
    return Counter(row["state"] for row in rows("activation-keys"))


def account_of(guardian: factories.SomeGuardian) -> str | None:
    return activation_keys.key_generation(guardian.guardian_id)[1]


# --- accounts -----------------------------------------------------------------------------


def test_one_key_used_by_thirty_at_once_makes_one_account(new_visitor: Visitors) -> None:
    rosa = factories.family()
    key = factories.activation_key(rosa, now=NOW)
    visitors = [new_visitor() for _ in range(30)]
    answers = at_once(
        lambda i=i, v=v: create(v, key, f"Rosa{i}", f"192.0.2.{i}") for i, v in enumerate(visitors)
    )
    assert sorted(a.status for a in answers) == [201] + [422] * 29
    assert {a.code for a in answers if a.status == 422} == {"activation-key-invalid"}
    winner = next(i for i, a in enumerate(answers) if a.status == 201)
    (made,) = rows("accounts")
    assert (made["username"], made["guardian_id"]) == (f"Rosa{winner}", rosa.guardian_id)
    assert account_of(rosa) == f"rosa{winner}"
    assert keys_by_state() == {"used": 1}


def test_twenty_keys_on_one_username_at_once_make_one_account(new_visitor: Visitors) -> None:
    people = [factories.family() for _ in range(20)]
    keys = [factories.activation_key(one, now=NOW) for one in people]
    names = ["SAMENAME1", "samename1", "SameName1", "sAMEnAME1"] * 5
    visitors = [new_visitor() for _ in range(20)]
    answers = at_once(
        lambda i=i, v=v: create(v, keys[i], names[i], f"192.0.2.{i}")
        for i, v in enumerate(visitors)
    )
    assert sorted(a.status for a in answers) == [201] + [422] * 19
    faults = [a.json()["errors"] for a in answers if a.status == 422]
    assert {(f["field"], f["code"]) for each in faults for f in each} == {("username", "taken")}
    winner = next(i for i, a in enumerate(answers) if a.status == 201)
    (made,) = rows("accounts")
    assert made["guardian_id"] == people[winner].guardian_id
    # Nothing half-made: the losers' keys are unused, their guardians have no account ...
    assert keys_by_state() == {"used": 1, "issued": 19}
    assert [account_of(one) for one in people].count(None) == 19
    # ... and each makes one with another name.
    loser = (winner + 1) % 20
    assert create(visitors[loser], keys[loser], "Other1", "192.0.2.99").status == 201


@pytest.mark.parametrize("form_id", ["", "f1"])
def test_the_same_form_twice_at_once_is_one_account_and_one_mail(
    new_visitor: Visitors, mailbox: Callable[[], list[SentMail]], form_id: str
) -> None:
    rosa = factories.family()
    key = factories.activation_key(rosa, now=NOW)
    visitors = [new_visitor(), new_visitor()]
    answers = at_once(lambda v=v: create(v, key, "Rosa1", "192.0.2.1", form_id) for v in visitors)
    assert [(a.status, a.json()) for a in answers] == [(201, {"username": "Rosa1"})] * 2
    assert len(rows("accounts")) == 1
    assert [mail.recipient for mail in mailbox()] == ["parent@example.com"]


def test_two_keys_of_one_guardian_at_once_make_one_account(new_visitor: Visitors) -> None:
    rosa = factories.family()
    keys = [factories.activation_key(rosa, now=NOW) for _ in range(8)]
    visitors = [new_visitor() for _ in keys]
    answers = at_once(
        lambda i=i, v=v: create(v, keys[i], f"Rosa{i}", f"192.0.2.{i}")
        for i, v in enumerate(visitors)
    )
    assert sorted(a.status for a in answers) == [201] + [422] * 7
    assert {a.code for a in answers if a.status == 422} == {"activation-key-invalid"}
    (made,) = rows("accounts")
    assert account_of(rosa) == made["username_key"]


def test_a_key_revoked_while_it_is_used_makes_an_account_or_nothing() -> None:
    people = [factories.family() for _ in range(10)]
    keys = [factories.activation_key(one, now=NOW) for one in people]

    def race(place: int) -> tuple[bool, int]:
        made, _ = at_once(
            [
                lambda: makes_account(keys[place], f"Rosa{place}"),
                lambda: activation.revoke(people[place].guardian_id),
            ]
        )
        return bool(made), place

    for made, place in at_once((lambda i=i: race(i) for i in range(10)), threads=5):
        assert (account_of(people[place]) is not None) == made
        assert (accounts.read_account(f"rosa{place}") is not None) == made
        # Whoever won, the key opens nothing any more.
        with pytest.raises(errors.ActivationKeyInvalid):
            activation.check_key(keys[place], ip=f"203.0.113.{place}", now=NOW)


def makes_account(key: str, username: str) -> bool:
    place = username.removeprefix("Rosa")
    try:
        activation.create_account(key, username, PASSWORD, PASSWORD, ip=f"192.0.2.{place}", now=NOW)
    except errors.ActivationKeyInvalid:
        return False
    return True


# --- an import beside it --------------------------------------------------------------------


def move(guardian: factories.SomeGuardian, email: str | None) -> GuardianMove:
    """Return an import's change of a guardian's address."""
    profile = next(
        row
        for row in rows("roster")
        if row["pk"] == f"guardian#{guardian.guardian_id}" and row["sk"] == "profile"
    )
    attributes = {"data": profile["data"].replace("old@", "new@"), "name_key": profile["name_key"]}
    hashed = addresses.hashed(email)
    return GuardianMove(
        guardian_id=guardian.guardian_id,
        profile=attributes | ({"address_hash": hashed} if hashed else {}),
        profile_changes=True,
        email=email,
        address_hash=hashed,
        had_address=True,
    )


def test_an_address_corrected_while_the_key_is_used_leaves_no_account_at_the_old_one() -> None:
    people = [factories.family(email="old@example.com") for _ in range(12)]
    keys = [factories.activation_key(one, now=NOW) for one in people]
    moves = [move(one, "new@example.com") for one in people]

    def race(place: int) -> tuple[bool, bool]:
        made, told = at_once(
            [
                lambda: makes_account(keys[place], f"Rosa{place}"),
                lambda: roster_writes.move_guardian(moves[place]),
            ]
        )
        return bool(made), bool(told)

    outcomes = at_once((lambda i=i: race(i) for i in range(12)), threads=6)
    for place, (made, told) in enumerate(outcomes):
        guardian = roster.guardian_partition(people[place].guardian_id)
        assert guardian is not None
        assert guardian.email == "new@example.com"
        account = accounts.read_account(f"rosa{place}")
        assert (account is not None) == made == (guardian.account is not None)
        # An account that was made first moved with the roster, and its old address is told.
        assert told == made
        if account is not None:
            assert account.email == "new@example.com"
            assert account.address_hash == addresses.hashed("new@example.com")
        with pytest.raises(errors.ActivationKeyInvalid):
            activation.check_key(keys[place], ip=f"203.0.113.{place}", now=NOW)


def test_an_upload_announced_ten_times_at_once_is_imported_once() -> None:
    office = Office(_stage_of())
    version_id = office.put(district())
    at_once(lambda: office.announce(version_id) for _ in range(10))
    messages = office.messages()
    assert messages
    at_once((lambda m=m: office.deliver(m) for m in messages), threads=4)
    office.continue_imports()
    assert office.report()["status"] == "applied"
    assert office.report()["files"]["users.csv"]["added"] == 10
    assert roster.guardian_partition(guardian_id("g1a")) is not None
    assert imports.pending() == []
    assert imports.current() is None


def test_one_of_many_runners_gets_the_place_and_one_the_lost_lease() -> None:
    one = imports.receive("i1", "imports/a.zip", "v1", now=NOW)
    assert at_once(lambda: imports.take_place(one, now=NOW) for _ in range(10)).count(True) == 1
    current = imports.current()
    assert current is not None
    _, lease = current
    later = NOW + timedelta(seconds=imports.LEASE_SECONDS + 1)
    renewed = at_once(lambda: imports.renew_lease("i1", lease, now=later) for _ in range(10))
    assert renewed.count(True) == 1


def _stage_of() -> aws_stage.AwsStage:
    return aws_stage.AwsStage(
        {}, settings.mail_queue_url(), settings.import_queue_url(), settings.roster_bucket()
    )


# --- signing in -----------------------------------------------------------------------------


def test_forty_wrong_passwords_at_once_from_forty_addresses_are_hashed_twenty_times(
    new_visitor: Visitors, monkeypatch: pytest.MonkeyPatch
) -> None:
    factories.account(factories.family(), now=NOW)
    hashed: list[bool] = []
    matches = crypto.password_matches
    monkeypatch.setattr(
        crypto, "password_matches", lambda s, p: (hashed.append(True), matches(s, p))[1]
    )
    visitors = [new_visitor() for _ in range(40)]
    answers = at_once(
        lambda i=i, v=v: sign_in(v, "Rosa1", "wrong 1", f"198.51.100.{i}")
        for i, v in enumerate(visitors)
    )
    assert Counter(a.status for a in answers) == {401: 20, 429: 20}
    assert len(hashed) == 20


def test_a_hundred_right_sign_ins_at_once_from_one_school_all_succeed(
    new_visitor: Visitors,
) -> None:
    names = [f"Parent{i}" for i in range(20)]
    for name in names:
        factories.account(factories.family(), username=name, now=NOW)
    visitors = [(new_visitor(), name) for name in names for _ in range(5)]
    answers = at_once(lambda v=v, n=n: sign_in(v, n, PASSWORD) for v, n in visitors)
    assert Counter(a.status for a in answers) == {200: 100}
    assert len({v.cookies["session"] for v, _ in visitors}) == 100
    # They were given back: the school has its failures left.
    assert sign_in(new_visitor(), "Parent1", "wrong 1").status == 401


def test_no_session_survives_a_disabling_at_the_same_moment(new_visitor: Visitors) -> None:
    for place in range(6):
        name = f"Parent{place}"
        factories.account(factories.family(), username=name, now=NOW)
        visitor = new_visitor()
        answer, _ = at_once(
            [
                lambda v=visitor, n=name: sign_in(v, n, PASSWORD),
                lambda n=name: account_rules.disable(n, now=factories.NOW),
            ]
        )
        assert (answer.status, answer.code) in {(200, None), (403, "account-disabled")}
        assert visitor.get("/students").code == "sign-in-required"


# --- counters -------------------------------------------------------------------------------


def passes(**how: Any) -> bool:
    try:
        counters.count("c", day="-", ends=NOW + timedelta(hours=1), now=NOW, **how)
    except counters.Exhausted:
        return False
    return True


def test_of_many_tries_at_once_exactly_as_many_pass_as_the_limit_says() -> None:
    assert at_once(lambda: passes(most=7) for _ in range(40)).count(True) == 7
    assert counters.tries("c", day="-", now=NOW) == 7


def test_the_limit_of_a_part_is_exact_too() -> None:
    of_a = [lambda: passes(most=20, part="a", most_of_part=5)] * 15
    of_b = [lambda: passes(most=20, part="b", most_of_part=5)] * 15
    passed = at_once([*of_a, *of_b])
    assert (passed[:15].count(True), passed[15:].count(True)) == (5, 5)


def test_a_window_that_ended_begins_anew_with_exactly_its_tries() -> None:
    yesterday = NOW - timedelta(days=1)
    counters.count("c", day="-", most=5, ends=yesterday + timedelta(hours=1), now=yesterday)
    assert at_once(lambda: passes(most=5) for _ in range(30)).count(True) == 5


def test_tries_given_back_at_once_are_all_given_back() -> None:
    counted = [
        counters.count("c", day="-", most=20, ends=NOW + timedelta(hours=1), now=NOW)
        for _ in range(20)
    ]
    assert not passes(most=20)
    at_once(lambda one=one: counters.give_back(one) for one in counted)
    assert counters.tries("c", day="-", now=NOW) == 0


def test_what_is_to_be_done_once_is_claimed_by_one() -> None:
    assert (
        at_once(lambda: counters.claim("m", seconds=60, now=NOW) for _ in range(20)).count(True)
        == 1
    )
    later = NOW + timedelta(seconds=61)
    assert (
        at_once(lambda: counters.claim("m", seconds=60, now=later) for _ in range(20)).count(True)
        == 1
    )


def test_keys_and_sessions_are_stored_only_as_hashes(new_visitor: Visitors) -> None:
    rosa = factories.family()
    key = factories.activation_key(rosa, now=NOW)
    visitor = new_visitor()
    create(visitor, key, "Rosa1", "192.0.2.1")
    sign_in(visitor, "Rosa1", PASSWORD)
    stored = str([rows(name) for name in ("activation-keys", "accounts", "sessions")])
    for secret in (key, key.replace("-", ""), visitor.cookies["session"], PASSWORD):
        assert secret not in stored
    assert aws.keyring().hash("session", visitor.cookies["session"]) in stored


# --- enrollment verification --------------------------------------------------------------


def test_answers_for_one_child_at_once_end_as_the_last_one_with_an_entry_for_each_stored() -> None:
    """Two guardians answer again and again; in AWS the transactions overlap on one item."""
    child = factories.student()
    guardians = [factories.guardian(child), factories.guardian(child)]

    def give(second: int) -> bool:
        who = guardians[second % 2].guardian_id
        at = NOW + timedelta(seconds=second)
        one = EnrollmentAnswer(
            student_id=child.student_id,
            school_year="2026-27",
            answer="returning" if second % 2 else "not-returning",
            comment=f"{second}",
            guardian_id=who,
            guardian="Rosa Rivera",
            household="h1",
            answered_at=int(at.timestamp()),
            purge_at=int(at.timestamp()) + 86_400,
        )
        return enrollment.put(one, request_id="r", now=at)

    stored = at_once([functools.partial(give, second) for second in range(20)])
    stands = enrollment.read("2026-27", child.student_id)
    assert stands is not None
    assert (stands.comment, stands.guardian_id) == ("19", guardians[1].guardian_id)
    rows = aws_stage.client("dynamodb").scan(TableName=settings.name("audit"))["Items"]
    assert len(rows) == stored.count(True)


def test_no_answer_is_stored_once_the_link_is_gone() -> None:
    child, other = factories.student(), factories.student()
    barred = factories.guardian(child, portal_access=False)
    for student in (child, other):
        one = EnrollmentAnswer(
            student_id=student.student_id,
            school_year="2026-27",
            answer="returning",
            comment=None,
            guardian_id=barred.guardian_id,
            guardian="Rosa Rivera",
            household="h1",
            answered_at=int(NOW.timestamp()),
            purge_at=int(NOW.timestamp()) + 86_400,
        )
        with pytest.raises(enrollment.LinkGone):
            enrollment.put(one, request_id="r", now=NOW)
        assert enrollment.read("2026-27", student.student_id) is None
    assert aws_stage.client("dynamodb").scan(TableName=settings.name("audit"))["Count"] == 0
