"""Forgot Your Username?: five mails a district day, the sixth try locks until midnight (guide)."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
import time_machine

from chalicelib.storage import accounts, district
from tests import factories
from tests.conftest import SentMail, run_schedule
from tests.portal_client import Answer, PortalClient

PATH = "/forgot-username"
ANN = "ann@example.com"
MIDNIGHT = "2026-03-03T05:00:00Z"
Mailbox = Callable[[], list[SentMail]]
Visitors = Callable[[], PortalClient]


@pytest.fixture(autouse=True)
def monday(stage: object) -> Any:
    with time_machine.travel(factories.NOW, tick=False) as clock:
        yield clock


@pytest.fixture
def ann(stage: object, mailbox: Mailbox) -> factories.SomeAccount:
    made = factories.account(factories.family(email=ANN), username="Ann1")
    mailbox()
    return made


def ask(visitor: PortalClient, email: str = ANN, **how: Any) -> Answer:
    return visitor.post(PATH, {"email": email}, **how)


def lock(new_visitor: Visitors, email: str = ANN) -> Answer:
    return [ask(new_visitor(), email, ip=f"198.51.100.{i}") for i in range(6)][-1]


def sign_in(visitor: PortalClient, who: factories.SomeAccount, password: str = "") -> Answer:
    return visitor.post(
        "/sign-in", {"username": who.username, "password": password or who.password}
    )


def test_one_mail_lists_all_usernames_of_the_address(
    portal: PortalClient, ann: factories.SomeAccount, mailbox: Mailbox
) -> None:
    factories.account(factories.family(email="ANN@Example.com"), username="Bob2")
    mailbox()
    assert ask(portal).status == 202
    (mail,) = mailbox()
    assert mail.recipient in (ANN, "ANN@Example.com")
    assert "Ann1" in mail.html
    assert "Bob2" in mail.html


def test_the_mail_goes_to_the_address_stored_not_to_the_one_typed(
    portal: PortalClient, ann: factories.SomeAccount, mailbox: Mailbox
) -> None:
    ask(portal, " ANN@EXAMPLE.COM ")
    assert [m.recipient for m in mailbox()] == [ANN]


def test_a_guardian_without_an_account_is_told_how_to_make_one(
    portal: PortalClient, mailbox: Mailbox
) -> None:
    factories.family(email="new@example.com")
    ask(portal, "new@example.com")
    (mail,) = mailbox()
    assert mail.recipient == "new@example.com"
    assert "activation-key" in mail.html


def test_an_address_that_nobody_has_gets_nothing(portal: PortalClient, mailbox: Mailbox) -> None:
    assert ask(portal, "nobody@example.com").status == 202
    assert mailbox() == []


def test_known_and_unknown_addresses_answer_and_cost_alike_to_the_lockout(
    new_visitor: Visitors, ann: factories.SomeAccount, aws_calls: list[Any]
) -> None:
    said, traces = [], []
    for address in (ANN, "nobody@example.com"):
        aws_calls.clear()
        said.append([ask(new_visitor(), address) for _ in range(7)])
        traces.append(list(aws_calls))
    assert said[0] == said[1]
    assert traces[0] == traces[1]
    assert [a.status for a in said[0]] == [202] * 5 + [429] * 2


def test_the_sixth_is_locked_until_the_districts_midnight(
    portal: PortalClient, ann: factories.SomeAccount, mailbox: Mailbox, monday: Any
) -> None:
    monday.move_to("2026-03-07T23:59:59-05:00")
    for spelling in (ANN, ANN.upper(), f" {ANN}", ANN.title(), ANN):
        assert ask(portal, spelling).status == 202
    sixth = ask(portal)
    assert (sixth.status, sixth.code) == (429, "locked-out")
    assert sixth.json()["locked_until"] == "2026-03-08T05:00:00Z"
    assert sixth.header("retry-after") == "1"
    monday.move_to("2026-03-08T00:00:00-05:00")
    assert ask(portal).status == 202


def test_two_hundred_at_once_are_five_mails_and_one_lockout(
    new_visitor: Visitors, ann: factories.SomeAccount, mailbox: Mailbox
) -> None:
    with ThreadPoolExecutor(10) as pool:
        statuses = list(
            pool.map(lambda i: ask(new_visitor(), ip=f"198.51.100.{i}").status, range(200))
        )
    assert sorted(statuses) == [202] * 5 + [429] * 195
    subjects = [mail.subject for mail in mailbox()]
    assert len(subjects) == 6
    assert sorted(subjects.count(one) for one in set(subjects)) == [1, 5]


def test_the_same_form_twice_is_one_try(
    portal: PortalClient, ann: factories.SomeAccount, mailbox: Mailbox
) -> None:
    fields = {"email": ANN, "form_id": "f1"}
    assert {portal.post(PATH, fields).status for _ in range(10)} == {202}
    assert len(mailbox()) == 1


def test_one_machine_cant_lock_out_a_district(portal: PortalClient) -> None:
    statuses = [ask(portal, f"parent{i}@example.com").status for i in range(31)]
    assert statuses == [202] * 30 + [429]
    assert ask(portal, "parent30@example.com").code == "too-many-tries"
    assert ask(portal, "parent30@example.com", ip="198.51.100.1").status == 202


@pytest.mark.parametrize(
    "email",
    [
        "",
        "ann",
        "ann@",
        "@example.com",
        "a b@example.com",
        "a@b",
        "x" * 300 + "@example.com",
        "a\r\nBcc: x@example.com",
    ],
)
def test_what_is_no_address_is_named(portal: PortalClient, email: str) -> None:
    answer = ask(portal, email)
    assert (answer.status, answer.code) == (422, "invalid")
    assert [e["field"] for e in answer.json()["errors"]] == ["email"]


# --- the lockout ------------------------------------------------------------------------


def test_a_locked_address_refuses_the_right_password_and_tells_the_time(
    new_visitor: Visitors, ann: factories.SomeAccount, monday: Any
) -> None:
    lock(new_visitor)
    right = sign_in(new_visitor(), ann)
    assert (right.status, right.code) == (403, "locked-out")
    assert right.json()["locked_until"] == MIDNIGHT
    assert "set-cookie" not in right.headers
    assert sign_in(new_visitor(), ann, "wrong 1").code == "sign-in-failed"
    monday.move_to("2026-03-03T04:59:59+00:00")
    assert sign_in(new_visitor(), ann).status == 403
    monday.move_to("2026-03-03T05:00:00+00:00")
    assert sign_in(new_visitor(), ann).status == 200


def test_open_sessions_stay_and_other_addresses_too(
    new_visitor: Visitors, ann: factories.SomeAccount
) -> None:
    other = factories.account(factories.family(email="bob@example.com"), username="Bob2")
    browser = factories.signed_in(new_visitor, ann)
    lock(new_visitor)
    assert browser.get("/students").status == 200
    assert sign_in(new_visitor(), other).status == 200


def test_an_account_made_on_a_locked_address_is_locked_too(new_visitor: Visitors) -> None:
    lock(new_visitor, "late@example.com")
    late = factories.account(factories.family(email="late@example.com"), username="Late1")
    assert sign_in(new_visitor(), late).code == "locked-out"


def test_with_scope_recovery_signing_in_goes_on(
    new_visitor: Visitors, ann: factories.SomeAccount
) -> None:
    district.save_preferences({"lockout_scope": "recovery"})
    assert lock(new_visitor).status == 429
    assert sign_in(new_visitor(), ann).status == 200


def test_the_guardian_is_told_once_and_admins_see_it(
    new_visitor: Visitors, ann: factories.SomeAccount, mailbox: Mailbox, invoke: Any
) -> None:
    for _ in range(2):
        lock(new_visitor)
    told = [mail for mail in mailbox() if "not-me?token=" in mail.html]
    assert [mail.recipient for mail in told] == [ANN]
    (found,) = invoke("find_guardian", {"username": "ann1"})["guardians"]
    assert found["account"]["locked_until"] == MIDNIGHT


def test_unlocking_opens_account_and_recovery_at_once(
    new_visitor: Visitors, ann: factories.SomeAccount, mailbox: Mailbox, invoke: Any
) -> None:
    lock(new_visitor)
    mailbox()
    assert invoke("unlock_account", {"username": "Ann1"})["locked_until"] is None
    assert sign_in(new_visitor(), ann).status == 200
    assert ask(new_visitor()).status == 202


def test_a_late_worker_locks_nothing_that_was_unlocked(
    new_visitor: Visitors, ann: factories.SomeAccount, mailbox: Mailbox, invoke: Any
) -> None:
    lock(new_visitor)
    invoke("unlock_account", {"username": "Ann1"})
    mailbox()
    stored = accounts.read_account("ann1")
    assert stored is not None
    assert stored.locked_until is None


def test_the_reset_clears_what_is_over_and_nothing_else(
    new_visitor: Visitors,
    ann: factories.SomeAccount,
    mailbox: Mailbox,
    portal_app: Any,
    monday: Any,
) -> None:
    lock(new_visitor)
    mailbox()
    run_schedule("reset_lockouts")
    locked = accounts.read_account("ann1")
    assert locked is not None
    assert locked.locked_until is not None
    monday.move_to("2026-03-03T05:10:00+00:00")
    lock(new_visitor, "other@example.com")
    for _ in range(2):
        run_schedule("reset_lockouts")
    opened = accounts.read_account("ann1")
    assert opened is not None
    assert opened.locked_until is None
    assert ask(new_visitor(), "other@example.com").status == 429
