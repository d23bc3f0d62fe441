"""What happens at once in recovery: tries, lockouts, mailed links, resets; on both stores.

The rules are called as the handlers call them, from threads that begin together; the tables'
conditions decide.
"""

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
from chalicelib.domain import mail, recovery
from chalicelib.storage import account_changes, accounts, aws, counters, district, links, sessions
from chalicelib.storage.values import Account
from tests import aws_stage, factories
from tests.conftest import SentMail

# A little ahead of the queue's own clock, by which nothing here is judged.
NOW = datetime.now(UTC).replace(microsecond=0)
ADDRESS, THIEFS = "parent@example.com", "thief@example.org"
PASSWORD = factories.PASSWORD
# A browser without any cookie of ours.
STRANGE = account_rules.Device(name="", cookie=lambda _: None)
Mailbox = Callable[[], list[SentMail]]
Refused = type[errors.Refusal]
_T = TypeVar("_T")

pytestmark = pytest.mark.usefixtures("stage")


@pytest.fixture
def rosa(stage: object, mailbox: Mailbox) -> Account:
    factories.account(factories.family(email=ADDRESS), now=NOW - timedelta(seconds=60))
    mailbox()
    return stored()


def stored() -> Account:
    account = accounts.read_account("rosa1")
    assert account is not None
    return account


def at_once(calls: Iterable[Callable[[], _T]], *, threads: int = 12) -> list[_T | Refused]:
    """Run calls side by side, the first of them begun together; give results or refusals."""
    waiting = list(calls)
    threads = min(threads, len(waiting))
    barrier, places = threading.Barrier(threads), itertools.count()

    def run(call: Callable[[], _T]) -> _T | Refused:
        if next(places) < threads:
            barrier.wait(timeout=30)
        try:
            return call()
        except errors.Refusal as refusal:
            return type(refusal)

    with ThreadPoolExecutor(threads) as pool:
        return list(pool.map(run, waiting))


def rows(table: str) -> list[dict[str, Any]]:
    """Return every item of a table."""
    pages = aws_stage.client("dynamodb").get_paginator("scan")
    found = pages.paginate(TableName=settings.name(table), ConsistentRead=True)
    return [
        {name: next(iter(value.values())) for name, value in item.items()}
        for page in found
        for item in page["Items"]
    ]


def new_link(kind: str, email: str = ADDRESS, **restore: Any) -> str:
    """Make a mailed link as the worker does."""
    made = NOW - timedelta(seconds=30)
    lasts = timedelta(minutes=30)
    return mail.new_link(kind, stored(), email, lasts=lasts, now=made, **restore)


def pending_link(email: str) -> str:
    token = new_link(links.CONFIRM, email)
    assert account_changes.expect_link(stored(), aws.keyring().hash("link", token))
    return token


def open_session() -> account_rules.Session:
    signed_in = account_rules.sign_in(
        "Rosa1", PASSWORD, ip="198.51.100.1", device=STRANGE, carried=None, now=NOW
    )
    return account_rules.look_at_session(signed_in.token, now=NOW)


def is_alive(session: account_rules.Session) -> bool:
    now = sessions.read_session(session.session_hash)
    assert now is not None
    try:
        account_rules.require_account(now)
    except errors.SignInRequired:
        return False
    return True


def reset(token: str, password: str) -> None:
    recovery.reset_password(token, password, password, now=NOW)


def password_is(password: str) -> bool:
    return crypto.password_matches(stored().password_hash, password)


# --- forgotten usernames (S40) --------------------------------------------------------------


def test_two_hundred_forgotten_usernames_at_once_are_five_mails_and_one_lockout(
    rosa: Account, mailbox: Mailbox
) -> None:
    said = at_once(
        lambda i=i: recovery.forgot_username(ADDRESS, ip=f"198.51.{i // 100}.{i % 100}", now=NOW)
        for i in range(200)
    )
    assert Counter(said) == {None: 5, errors.RecoveryLockedOut: 195}
    (counter,) = [row for row in rows("recovery-counters") if "lock_bucket" in row]
    midnight = district.preferences().next_midnight(NOW)
    assert counter["tries"] == "5"
    assert int(counter["locked_until"]) == int(midnight.timestamp())
    mails = mailbox()
    assert {one.recipient for one in mails} == {ADDRESS}
    assert Counter("not-me?token=" in one.html for one in mails) == {False: 5, True: 1}
    assert stored().locked_until == int(midnight.timestamp())


def test_an_unlocking_and_the_copy_of_the_lockout_at_once_leave_nobody_locked(
    rosa: Account,
) -> None:
    day = district.preferences().day(NOW).isoformat()
    address_hash = aws.keyring().hash("address", ADDRESS)
    until = NOW + timedelta(hours=3)
    for place in range(12):
        counters.lock(address_hash, day=day, until=until, now=NOW)
        message = {
            "kind": "locked-out",
            "id": f"m{place}",
            "address": ADDRESS,
            "day": day,
            "until": int(until.timestamp()),
        }
        at_once(
            [
                lambda message=message: recovery.lock_out(message, now=NOW),
                lambda: recovery.unlock(stored(), now=NOW),
            ]
        )
        assert stored().locked_until is None
        assert counters.locked_until([address_hash], day=day, now=NOW) is None


def test_nobody_signs_in_after_the_address_is_locked(rosa: Account) -> None:
    day = district.preferences().day(NOW).isoformat()
    address_hash = aws.keyring().hash("address", ADDRESS)
    locked: list[str | None] = []

    def lock() -> None:
        until = NOW + timedelta(hours=3)
        locked.append(counters.lock(address_hash, day=day, until=until, now=NOW))

    said = at_once([open_session, open_session, lock, open_session, open_session])
    assert len(locked) == 1
    assert set(said) - {errors.LockedOut, None} == {
        one for one in said if isinstance(one, account_rules.Session)
    }
    with pytest.raises(errors.LockedOut):
        open_session()


# --- reset links (S43) -----------------------------------------------------------------------


def test_fifty_uses_of_one_link_at_once_set_one_password_and_end_every_session(
    rosa: Account, mailbox: Mailbox
) -> None:
    sessions = [open_session() for _ in range(3)]
    mailbox()
    token = new_link(links.RESET)
    said = at_once(lambda i=i: reset(token, f"password {i}") for i in range(50))
    counted = Counter(said)
    assert counted[None] == 1
    # Thirty tries with one link in an hour, right or wrong.
    assert set(counted) == {None, errors.ResetLinkInvalid, errors.TooManyTries}
    assert counted[errors.TooManyTries] == 20
    assert password_is(f"password {said.index(None)}")
    assert not any(is_alive(session) for session in sessions)
    assert [one.recipient for one in mailbox()] == [ADDRESS]


def test_the_same_password_by_one_link_at_once_is_one_change_and_one_mail(
    rosa: Account, mailbox: Mailbox
) -> None:
    token = new_link(links.RESET)
    said = at_once(lambda: reset(token, "password 1") for _ in range(12))
    assert Counter(said) == {None: 12}
    assert stored().password_generation == 1
    assert len(mailbox()) == 1


def test_of_two_links_used_at_once_one_opens(rosa: Account, mailbox: Mailbox) -> None:
    for place in range(6):
        tokens = [new_link(links.RESET), new_link(links.RESET)]
        said = at_once(
            lambda token=token, to=f"password {place}{i}": reset(token, to)
            for i, token in enumerate(tokens)
        )
        assert Counter(said) == {None: 1, errors.ResetLinkInvalid: 1}
        assert password_is(f"password {place}{said.index(None)}")
    assert len(mailbox()) == 6


def test_a_reset_and_a_change_of_password_at_once_are_one_of_the_two(rosa: Account) -> None:
    for _ in range(6):
        session, before = open_session(), stored()
        token = new_link(links.RESET)

        def change(session: Any = session, before: Account = before) -> None:
            account_rules.change_password(
                session,
                before,
                PASSWORD,
                "changed 1",
                "changed 1",
                ip="198.51.100.2",
                device=STRANGE,
                now=NOW,
            )

        said = at_once([lambda token=token: reset(token, "was reset 1"), change])
        assert Counter(said)[None] == 1
        assert password_is(["was reset 1", "changed 1"][said.index(None)])
        assert is_alive(session) == (said[1] is None)
        reset(new_link(links.RESET), PASSWORD)


def test_a_reset_while_other_sessions_are_ended_is_not_refused(rosa: Account) -> None:
    for place in range(6):
        session = open_session()
        reset_to = f"password {place}"
        token = new_link(links.RESET)
        before = stored()
        said = at_once(
            [
                lambda token=token, to=reset_to: reset(token, to),
                lambda s=session, b=before: account_rules.end_other_sessions(s, b),
            ]
        )
        assert said[0] is None
        assert password_is(reset_to)
        assert not is_alive(session)
        reset(new_link(links.RESET), PASSWORD)


# --- addresses and "this wasn't me" (S38, S55) ------------------------------------------------


def test_one_confirm_link_used_at_once_is_one_change_and_one_mail(
    rosa: Account, mailbox: Mailbox
) -> None:
    token = pending_link("new@example.net")
    said = at_once(lambda: recovery.confirm_address(token, now=NOW) for _ in range(12))
    assert Counter(said) == {None: 12}
    assert (stored().email, stored().link_generation) == ("new@example.net", 1)
    assert [one.recipient for one in mailbox()] == [ADDRESS]


def test_of_confirm_links_mailed_at_once_one_opens(rosa: Account, mailbox: Mailbox) -> None:
    def ask(email: str) -> None:
        message = {
            "kind": "email-confirm",
            "id": email,
            "username_key": "rosa1",
            "account_id": rosa.account_id,
            "link_generation": 0,
            "email": email,
        }
        recovery.mail_address_link(message, now=NOW)

    asked = [f"new{i}@example.net" for i in range(8)]
    at_once(lambda email=email: ask(email) for email in asked)
    pending = stored().pending_link
    good = [
        row["email"]
        for row in rows("recovery-counters")
        if row["day"] == "confirm" and row["address_hash"] == pending
    ]
    assert len(good) == 1
    assert good[0] in asked


def test_not_me_used_at_once_is_one_undoing_and_one_link(rosa: Account, mailbox: Mailbox) -> None:
    token = new_link(links.NOT_ME)
    said = at_once(lambda: recovery.not_me(token, request_id="r1", now=NOW) for _ in range(12))
    assert Counter(said) == {None: 12}
    assert stored().password_generation == 1
    assert stored().state == accounts.RESET_REQUIRED
    (sent,) = mailbox()
    assert "reset-password?token=" in sent.html


@pytest.mark.parametrize("what", ["changes the password", "confirms", "ends the others"])
def test_the_parents_not_me_wins_whatever_the_thief_does_at_the_same_moment(
    rosa: Account, what: str
) -> None:
    for _ in range(6):
        thief = open_session()
        before = stored()
        parents = new_link(links.NOT_ME, restore=ADDRESS, restore_source="roster")
        theirs = pending_link(THIEFS)
        acts = {
            "changes the password": lambda t=thief, b=before: account_rules.change_password(
                t,
                b,
                PASSWORD,
                "thiefs 666",
                "thiefs 666",
                ip="198.51.100.3",
                device=STRANGE,
                now=NOW,
            ),
            "confirms": lambda token=theirs: recovery.confirm_address(token, now=NOW),
            "ends the others": lambda t=thief, b=before: account_rules.end_other_sessions(t, b),
        }
        said = at_once(
            [
                lambda token=parents: recovery.not_me(token, request_id="r1", now=NOW),
                acts[what],
            ]
        )
        assert said[0] is None
        after = stored()
        assert (after.email, after.email_source) == (ADDRESS, "roster")
        assert after.state == accounts.RESET_REQUIRED
        assert not is_alive(thief)
        with pytest.raises(errors.ConfirmLinkInvalid):
            recovery.confirm_address(theirs, now=NOW + timedelta(minutes=11))
        reset(new_link(links.RESET), PASSWORD)
        forget_not_me()


def test_nobody_opens_an_account_while_its_password_is_taken_back(rosa: Account) -> None:
    accounts.set_state(rosa, accounts.DISABLED)
    before = stored()
    recovery.not_me(new_link(links.NOT_ME), request_id="r1", now=NOW)
    with pytest.raises(accounts.AccountChanged):
        accounts.set_state(before, accounts.ACTIVE)
    assert account_rules.enable("Rosa1", now=NOW).state == accounts.RESET_REQUIRED


def forget_not_me() -> None:
    """Let links made before now count again, as those of a later day would."""
    aws_stage.client("dynamodb").update_item(
        TableName=settings.name("accounts"),
        Key={"username_key": {"S": "rosa1"}},
        UpdateExpression="REMOVE not_me_used",
    )


# --- the scheduled reset (S48) ----------------------------------------------------------------


def lock_many(people: int) -> None:
    """Lock accounts and their counters until half an hour ago, and others until tonight."""
    day = district.preferences().day(NOW).isoformat()
    for place in range(people):
        over = place % 3 != 0
        ends = NOW + (timedelta(minutes=-30) if over else timedelta(hours=5))
        address = f"parent{place}@example.com"
        factories.account(factories.family(email=address), username=f"Parent{place}", now=NOW)
        address_hash = aws.keyring().hash("address", address)
        before = NOW - timedelta(hours=2)
        counters.lock(address_hash, day=day, until=ends, now=before)
        accounts.copy_lockout(
            f"parent{place}", address_hash=address_hash, day=day, until=ends, now=before
        )


def tables_without_locks_that_are_over() -> list[dict[str, Any]]:
    """Return accounts and counters as they must be after a reset."""
    found = rows("accounts") + rows("recovery-counters")
    for row in found:
        if int(row.get("locked_until", 2**40)) <= NOW.timestamp():
            del row["locked_until"], row["lock_bucket"]
    return in_order(found)


def in_order(found: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return sorted(found, key=lambda row: sorted(row.items()))


def run_reset(seconds_left: Callable[[], float] = lambda: 300.0) -> int:
    return recovery.reset_lockouts(now=NOW, seconds_left=seconds_left)


def test_resets_at_once_unlock_each_once_and_touch_nothing_else(stage: object) -> None:
    lock_many(12)
    expected = tables_without_locks_that_are_over()
    done = at_once([run_reset, run_reset, run_reset])
    assert sum(one for one in done if isinstance(one, int)) == 16
    assert in_order(rows("accounts") + rows("recovery-counters")) == expected
    assert run_reset() == 0


def test_a_reset_cut_off_after_each_item_is_finished_by_the_next_ones(stage: object) -> None:
    lock_many(6)
    expected = tables_without_locks_that_are_over()
    assert [run_reset(lambda: 5.0) for _ in range(9)] == [1] * 8 + [0]
    assert in_order(rows("accounts") + rows("recovery-counters")) == expected
