"""When AWS fails in recovery and on the account page: nothing is lost, nothing comes twice (S53, S89).

Every AWS call of every POST is made to fail in turn (`tests/fault_trap.py`); then the parent posts
again, the mail worker works its queue off, and all must be as if nothing had been. The same is done to
every call of the mail worker, for each kind of mail of these flows.
"""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import botocore.client
import pytest
import time_machine

from chalicelib import crypto
from chalicelib.domain import mail
from chalicelib.storage import account_changes, accounts, aws, links
from chalicelib.storage.values import Account
from tests import factories
from tests.conftest import SentMail, _sent, send_mail_to_worker
from tests.fault_trap import (
    SECRET,
    TIMED_OUT,
    WAYS,
    Story,
    Trap,
    Visitors,
    World,
    conflict,
    refusal,
)
from tests.portal_client import PortalClient

Mailbox = Callable[[], list[SentMail]]
Queued = Callable[[], list[dict[str, Any]]]
NEW = "a new one 42"


@pytest.fixture(autouse=True)
def monday(stage: object) -> Any:
    with time_machine.travel(factories.NOW, tick=False) as clock:
        yield clock


# --- a parent -----------------------------------------------------------------------------


@dataclass
class Parent:
    """A guardian with an account, an address of their own, and a browser that is signed in."""

    who: factories.SomeAccount
    address: str
    browser: PortalClient

    @property
    def stored(self) -> Account:
        account = accounts.read_account(self.who.username.lower())
        assert account is not None
        return account

    @property
    def new_address(self) -> str:
        return self.address.replace("example.com", "example.net")

    def has_password(self, password: str) -> bool:
        return crypto.password_matches(self.stored.password_hash, password)

    def link(self, kind: str, email: str, **restore: Any) -> str:
        """Make a mailed link as the worker does."""
        return mail.new_link(
            kind,
            self.stored,
            email,
            lasts=timedelta(minutes=30),
            now=factories.NOW - timedelta(seconds=5),
            **restore,
        )

    def mails(self, sent: list[SentMail], holding: str, *, to: str = "") -> int:
        """Return how many mails that hold a text came to the address (by default the first one)."""
        mine = [one for one in sent if one.recipient == (to or self.address)]
        return len([one for one in mine if holding in one.html])


def parent(new_visitor: Visitors, place: object = 1) -> Parent:
    address = f"parent{place}@example.com"
    who = factories.account(factories.family(email=address), username=f"Parent{place}")
    return Parent(who, address, factories.signed_in(new_visitor, who))


# --- what they do -------------------------------------------------------------------------


Tell = Callable[[Visitors], Story]


def forgetting_the_username(new_visitor: Visitors) -> Story:
    who = parent(new_visitor)
    return Story(
        new_visitor(),
        "/forgot-username",
        {"email": who.address},
        202,
        # Asked for twice, since an answer was lost, it may come twice.
        done=lambda sent: who.mails(sent, who.who.username) in (1, 2),
    )


def locking_the_address(new_visitor: Visitors) -> Story:
    who = parent(new_visitor)
    for other in range(5):
        visitor = new_visitor()
        fields = {"email": who.address}
        assert visitor.post("/forgot-username", fields, ip=f"198.51.100.{other}").status == 202
    return Story(
        new_visitor(),
        "/forgot-username",
        {"email": who.address},
        429,
        done=lambda sent: (
            who.mails(sent, "not-me?token=") == 1 and who.stored.locked_until is not None
        ),
    )


def forgetting_the_password(new_visitor: Visitors) -> Story:
    who = parent(new_visitor)
    return Story(
        new_visitor(),
        "/forgot-password",
        {"username": who.who.username},
        202,
        done=lambda sent: who.mails(sent, "reset-password?token=") in (1, 2),
    )


def resetting_the_password(new_visitor: Visitors) -> Story:
    who = parent(new_visitor)
    token = who.link(links.RESET, who.address)
    return Story(
        new_visitor(),
        "/reset-password",
        {"token": token, "password": NEW, "verify_password": NEW},
        200,
        done=lambda sent: (
            who.has_password(NEW)
            and who.browser.get("/session").status == 401
            and who.mails(sent, "not-me?token=") == 1
        ),
        whole=lambda: who.has_password(NEW) != who.has_password(who.who.password),
    )


def changing_the_password(new_visitor: Visitors) -> Story:
    who = parent(new_visitor)
    old = who.who.password
    return Story(
        who.browser,
        "/account/password",
        {"current_password": old, "password": NEW, "verify_password": NEW},
        200,
        done=lambda sent: (
            who.has_password(NEW)
            and who.browser.get("/session").status == 200
            and who.mails(sent, "not-me?token=") == 1
        ),
        whole=lambda: who.has_password(NEW) != who.has_password(old),
        # Where only the answer was lost, the current password is the new one, which is the truth.
        again=frozenset({422}),
    )


def asking_for_another_address(new_visitor: Visitors) -> Story:
    who = parent(new_visitor)
    return Story(
        who.browser,
        "/account/email",
        {"current_password": who.who.password, "email": who.new_address},
        202,
        done=lambda sent: (
            who.mails(sent, "not-me?token=") == 1
            and who.mails(sent, "confirm-email?token=", to=who.new_address) in (1, 2)
        ),
        whole=lambda: who.stored.email == who.address,
    )


def confirming_an_address(new_visitor: Visitors) -> Story:
    who = parent(new_visitor)
    token = who.link(links.CONFIRM, who.new_address)
    assert account_changes.expect_link(who.stored, aws.keyring().hash("link", token))
    return Story(
        who.browser,
        "/confirm-email",
        {"token": token},
        200,
        done=lambda sent: (
            who.stored.email == who.new_address and who.mails(sent, "not-me?token=") == 1
        ),
        whole=lambda: (
            (who.stored.email == who.new_address) == (who.stored.email_source == "guardian")
        ),
    )


def ending_other_sessions(new_visitor: Visitors) -> Story:
    who = parent(new_visitor)
    other = factories.signed_in(new_visitor, who.who)
    return Story(
        who.browser,
        "/account/sessions/end",
        {"current_password": who.who.password},
        204,
        done=lambda _: (
            other.get("/session").status == 401 and who.browser.get("/session").status == 200
        ),
    )


def saying_that_it_was_not_me(new_visitor: Visitors) -> Story:
    who = parent(new_visitor)
    token = who.link(links.NOT_ME, who.address, restore=who.address, restore_source="roster")
    theirs = who.link(links.CONFIRM, who.new_address)
    assert account_changes.expect_link(who.stored, aws.keyring().hash("link", theirs))
    assert new_visitor().post("/confirm-email", {"token": theirs}).status == 200
    return Story(
        new_visitor(),
        "/not-me",
        {"token": token},
        200,
        done=lambda sent: (
            (who.stored.email, who.stored.email_source) == (who.address, "roster")
            and who.stored.state == accounts.RESET_REQUIRED
            and who.browser.get("/session").status == 401
            and who.mails(sent, "reset-password?token=") == 1
            and who.mails(sent, "reset-password?token=", to=who.new_address) == 0
        ),
        whole=lambda: (
            (who.stored.email == who.address) == (who.stored.state == accounts.RESET_REQUIRED)
        ),
    )


STORIES: Mapping[str, Tell] = {
    tell.__name__: tell
    for tell in (
        forgetting_the_username,
        locking_the_address,
        forgetting_the_password,
        resetting_the_password,
        changing_the_password,
        asking_for_another_address,
        confirming_an_address,
        ending_other_sessions,
        saying_that_it_was_not_me,
    )
}


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("story", STORIES)
def test_each_call_of_a_post_may_fail_and_nothing_is_lost_or_comes_twice(
    world: World, trap: Trap, mailbox: Mailbox, story: str, way: str
) -> None:
    told = STORIES[story](world.new_visitor)
    mailbox()
    for place in world.each_call(trap, way):
        answer = told.post(form_id="f1")
        failed = trap.disarm()
        assert told.whole()
        if answer.status != told.success:
            assert answer.status in (500, 503), answer.text
            assert SECRET not in answer.text + str(answer.headers)
            assert not [c for c in answer.headers.get("set-cookie", []) if c.startswith("session=")]
            again = told.post()
            assert again.status in {told.success} | told.again, (failed, again.text)
            assert told.whole()
        assert told.done(mailbox()), (failed, place)
        if failed is None:
            break
    assert answer.status == told.success
    # Nothing was left out: secret twice, preferences, and at least the one write of the act.
    assert place >= (3 if way == "refused" else 1)


def test_while_the_queue_is_down_no_try_is_used_up(
    new_visitor: Visitors, mailbox: Mailbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    who = parent(new_visitor)
    mailbox()
    make = botocore.client.BaseClient._make_api_call

    def no_queue(client: Any, operation: str, parameters: Any) -> Any:
        if operation == "SendMessage":
            raise refusal("broken", operation)
        return make(client, operation, parameters)

    def ask() -> int:
        return new_visitor().post("/forgot-username", {"email": who.address}).status

    with monkeypatch.context() as while_down:
        while_down.setattr(botocore.client.BaseClient, "_make_api_call", no_queue)
        assert [ask() for _ in range(8)] == [503] * 8
    assert [ask() for _ in range(6)] == [202] * 5 + [429]
    assert len(mailbox()) == 6


def test_a_lockout_whose_mail_could_not_be_queued_is_told_of_by_the_next_try(
    world: World, trap: Trap, mailbox: Mailbox
) -> None:
    told = locking_the_address(world.new_visitor)
    mailbox()
    world.keep()
    world.put_back()
    trap.arm(None)
    told.post()
    at = trap.made.index("SendMessage")
    mailbox()
    world.put_back()
    # One that is cut off right after the lock: the next one queues what it owed.
    trap.arm(at, "denied")
    assert told.post().status in (500, 503)
    assert trap.disarm() == "SendMessage"
    assert mailbox() == []
    for _ in range(3):
        assert told.post().code == "locked-out"
    assert told.done(mailbox())


# --- transactions that conflict -----------------------------------------------------------


@pytest.mark.parametrize("times", [3, 1_000_000])
@pytest.mark.parametrize(
    "story",
    [
        "resetting_the_password",
        "changing_the_password",
        "confirming_an_address",
        "ending_other_sessions",
        "saying_that_it_was_not_me",
    ],
)
def test_a_transaction_that_conflicts_is_tried_again_and_without_end_changes_nothing(
    new_visitor: Visitors,
    mailbox: Mailbox,
    monkeypatch: pytest.MonkeyPatch,
    story: str,
    times: int,
) -> None:
    told = STORIES[story](new_visitor)
    mailbox()
    make, conflicts = botocore.client.BaseClient._make_api_call, [0]

    def conflicting(client: Any, operation: str, parameters: Any) -> Any:
        if operation == "TransactWriteItems" and conflicts[0] < times:
            conflicts[0] += 1
            raise conflict(operation, len(parameters["TransactItems"]))
        return make(client, operation, parameters)

    before = accounts.read_account("parent1")
    with monkeypatch.context() as while_busy:
        while_busy.setattr("time.sleep", lambda _: None)
        while_busy.setattr(botocore.client.BaseClient, "_make_api_call", conflicting)
        answer = told.post()
    assert conflicts[0] == min(times, 8)
    if times == 3:
        assert answer.status == told.success
        assert told.done(mailbox())
        return
    assert answer.status in (500, 503)
    assert accounts.read_account("parent1") == before
    assert told.post().status == told.success
    assert told.done(mailbox())


# --- the mail worker ----------------------------------------------------------------------


def posted(tell: Tell) -> Callable[[Visitors], None]:
    def post(new_visitor: Visitors) -> None:
        tell(new_visitor).post()

    return post


def no_account(new_visitor: Visitors) -> None:
    factories.family(email="new@example.com")
    new_visitor().post("/forgot-username", {"email": "new@example.com"})


# What is queued last in each, and whom its mail goes to; every kind of message of these flows.
MESSAGES: Mapping[str, tuple[Callable[[Visitors], None], str]] = {
    "usernames": (posted(forgetting_the_username), "parent1@example.com"),
    "usernames, no account": (no_account, "new@example.com"),
    "locked-out": (posted(locking_the_address), "parent1@example.com"),
    "password-reset": (posted(forgetting_the_password), "parent1@example.com"),
    "notice": (posted(changing_the_password), "parent1@example.com"),
    "email-confirm": (posted(asking_for_another_address), "parent1@example.net"),
    "address-changed": (posted(saying_that_it_was_not_me), "parent1@example.net"),
}
OUT = "SendEmail"


@pytest.fixture
def queued(world: World, queued_mail: Queued) -> Callable[[str], dict[str, Any]]:
    """Give a function that brings one of these messages about and takes it from the queue."""

    def bring_about(message: str) -> dict[str, Any]:
        MESSAGES[message][0](world.new_visitor)
        kind = message.partition(",")[0]
        return [one for one in queued_mail() if one["kind"] == kind][-1]

    return bring_about


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("message", MESSAGES)
def test_each_call_of_the_worker_may_fail_and_the_mail_is_neither_lost_nor_doubled(
    queued: Callable[[str], dict[str, Any]],
    world: World,
    trap: Trap,
    *,
    monday: Any,
    message: str,
    way: str,
) -> None:
    recipient, body = MESSAGES[message][1], queued(message)
    for place in world.each_call(trap, way):
        monday.move_to(factories.NOW)
        before = len(_sent())
        failed = send_mail_to_worker(body)
        made = list(trap.made)
        sprung = trap.disarm()
        # The queue delivers what failed again after its visibility timeout, and then once too often.
        monday.shift(180)
        for _ in range(2 if failed else 1):
            assert send_mail_to_worker(body) == []
        came = [one.recipient for one in _sent()[before:]]
        doubled = OUT in made and (sprung != OUT or way == TIMED_OUT)
        # SES has no token: a crash after the sending costs one mail more, never two (S53).
        assert came in ([recipient], [recipient] * (2 if failed and doubled else 1)), (
            sprung,
            place,
        )
        if sprung is None:
            assert failed == []
            break
    # The mail is claimed, sent and noted.
    assert place >= (5 if way == "refused" else 3)


def test_ten_messages_of_which_one_fails_are_nine_mails_and_one_to_deliver_again(
    new_visitor: Visitors, queued_mail: Queued
) -> None:
    people = [parent(new_visitor, place) for place in range(9)]
    queued_mail()
    for place, one in enumerate(people):
        new_visitor().post("/forgot-username", {"email": one.address}, ip=f"198.51.100.{place}")
    good = queued_mail()
    before = len(_sent())
    bodies: list[Any] = [*good[:4], {"kind": "usernames", "id": "x"}, *good[4:]]
    assert send_mail_to_worker(*bodies) == ["m4"]
    assert sorted(one.recipient for one in _sent()[before:]) == [one.address for one in people]
    assert send_mail_to_worker(*bodies) == ["m4"]
    assert len(_sent()) == before + 9


def test_what_tells_of_something_that_never_came_to_be_waits_and_is_dropped(
    new_visitor: Visitors, queued_mail: Queued, monday: Any
) -> None:
    who = parent(new_visitor)
    queued_mail()
    mail.queue_notice(
        "password-changed", who.stored, proof={"password_generation": 1}, now=factories.NOW
    )
    (body,) = queued_mail()
    assert json.loads(json.dumps(body)) == body
    assert send_mail_to_worker(body) == ["m0"]
    monday.shift(180)
    before = len(_sent())
    assert send_mail_to_worker(body) == []
    assert len(_sent()) == before


@pytest.mark.parametrize(
    "story", ["resetting_the_password", "confirming_an_address", "saying_that_it_was_not_me"]
)
def test_no_mail_tells_of_a_change_that_another_one_forestalled(
    new_visitor: Visitors, mailbox: Mailbox, monkeypatch: pytest.MonkeyPatch, story: str
) -> None:
    told = STORIES[story](new_visitor)
    mailbox()
    make, overtaken = botocore.client.BaseClient._make_api_call, []

    def overtake() -> None:
        """Let the guardian say "this wasn't me" by an older mail: it moves every generation on."""
        account = accounts.read_account("parent1")
        assert account is not None
        made = factories.NOW - timedelta(minutes=1)
        how: Any = {"lasts": timedelta(days=1), "now": made}
        token = mail.new_link(links.NOT_ME, account, str(account.email), **how)
        link = links.read(links.NOT_ME, aws.keyring().hashes("link", token))
        assert link is not None
        used = [(link.created_at, int(factories.NOW.timestamp()))]
        account_changes.take_back(
            account, link, restored_hash=None, not_me_used=used, now=factories.NOW
        )

    def late(client: Any, operation: str, parameters: Any) -> Any:
        if operation == "TransactWriteItems" and not overtaken:
            overtaken.append(operation)
            overtake()
        return make(client, operation, parameters)

    monkeypatch.setattr(botocore.client.BaseClient, "_make_api_call", late)
    answer = told.post()
    assert overtaken
    assert str(answer.code).endswith("-link-invalid")
    assert mailbox() == []
