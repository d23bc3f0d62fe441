"""What recovery's limits and links hold against: one machine, forged addresses, age, guesses."""

import json
from collections import Counter
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pytest
import time_machine

from chalicelib import settings
from chalicelib.domain import addresses
from chalicelib.storage import accounts, district
from tests import aws_stage, factories
from tests.conftest import SentMail
from tests.portal.test_reset_password import token_of
from tests.portal_client import HTML, PortalClient

Mailbox = Callable[[], list[SentMail]]
Visitors = Callable[[], PortalClient]
ROSA = "parent@example.com"
NEW = "a new one 42"
PAGES = {"reset-password": "reset", "confirm-email": "confirm", "not-me": "not-me"}


@pytest.fixture(autouse=True)
def monday(stage: object) -> Any:
    with time_machine.travel(factories.NOW, tick=False) as clock:
        yield clock


@pytest.fixture
def rosa(stage: object, mailbox: Mailbox) -> factories.SomeAccount:
    made = factories.account(factories.family(email=ROSA))
    mailbox()
    return made


def rows(table: str) -> list[dict[str, Any]]:
    items = aws_stage.client("dynamodb").scan(TableName=settings.name(table))["Items"]
    return sorted(items, key=lambda item: repr(sorted(item.items())))


def forgot(visitor: PortalClient, place: int, **how: Any) -> int:
    email = f"parent{place}@example.com"
    return visitor.post("/forgot-username", {"email": email}, **how).status


# --- limits by IP (S47) -------------------------------------------------------------------


def test_a_refusal_by_ip_counts_nothing_for_the_address(portal: PortalClient) -> None:
    assert [forgot(portal, place) for place in range(31)] == [202] * 30 + [429]
    counted = {row["address_hash"]["S"] for row in rows("recovery-counters")}
    assert addresses.hashed("parent29@example.com") in counted
    assert addresses.hashed("parent30@example.com") not in counted


@pytest.mark.parametrize("path", ["/forgot-username", "/forgot-password"])
def test_what_a_client_says_of_its_address_changes_nothing(
    new_visitor: Visitors, path: str
) -> None:
    statuses = [
        new_visitor()
        .post(
            path,
            {"email": f"parent{place}@example.com", "username": f"Parent{place}"},
            headers={
                "X-Forwarded-For": f"198.51.100.{place}",
                "Forwarded": f"for=198.51.100.{place}",
                "X-Real-IP": f"198.51.100.{place}",
                "True-Client-IP": f"198.51.100.{place}",
            },
        )
        .status
        for place in range(31)
    ]
    assert statuses == [202] * 30 + [429]


def test_two_hosts_of_one_ipv6_network_share_their_limit(portal: PortalClient) -> None:
    for place in range(30):
        assert forgot(portal, place, ip=f"2001:db8:1:2::{place + 1:x}") == 202
    assert forgot(portal, 30, ip="2001:db8:1:2:ffff::1") == 429
    assert forgot(portal, 30, ip="2001:db8:1:3::1") == 202


def test_failed_sign_ins_of_strangers_and_forgotten_names_are_counted_apart(
    new_visitor: Visitors, rosa: factories.SomeAccount
) -> None:
    for place in range(21):
        fields = {"username": rosa.username, "password": "wrong 1"}
        new_visitor().post("/sign-in", fields, ip=f"198.51.100.{place}")
    answer = new_visitor().post("/forgot-username", {"email": ROSA}, ip="198.51.100.1")
    assert answer.status == 202


# --- the guide's lockout (S27) --------------------------------------------------------------


def test_while_locked_out_limits_go_on_counting_and_both_answers_are_logged(
    new_visitor: Visitors, rosa: factories.SomeAccount, capfd: pytest.CaptureFixture[str]
) -> None:
    for place in range(6):
        new_visitor().post("/forgot-username", {"email": ROSA}, ip=f"198.51.100.{place}")
    capfd.readouterr()
    right = {"username": rosa.username, "password": rosa.password}
    wrong = right | {"password": "wrong 1"}
    assert [new_visitor().post("/sign-in", right).status for _ in range(12)] == [403] * 12
    assert [new_visitor().post("/sign-in", wrong).status for _ in range(11)] == [401] * 10 + [429]
    assert new_visitor().post("/sign-in", right).status == 429
    lines = [json.loads(line) for line in capfd.readouterr().err.splitlines()]
    said = Counter((line["event"], line.get("reason")) for line in lines)
    assert said["sign-in-refused", "locked-out"] == 12
    assert said["sign-in-failed", None] == 10


# --- nothing ends by age (S18) --------------------------------------------------------------


def test_a_password_of_three_years_ago_signs_in(
    new_visitor: Visitors, rosa: factories.SomeAccount, monday: Any
) -> None:
    monday.move_to(datetime(2029, 3, 2, 15, 0, tzinfo=UTC))
    factories.signed_in(new_visitor, rosa)


# --- the known device (S26) -----------------------------------------------------------------


def test_a_device_known_to_one_account_is_unknown_to_another(
    new_visitor: Visitors, rosa: factories.SomeAccount
) -> None:
    luis = factories.account(factories.family(email="luis@example.com"), username="Luis2")
    phone = factories.signed_in(new_visitor, luis)
    (of_luis,) = (value for name, value in phone.cookies.items() if name.startswith("device-"))
    browser = factories.signed_in(new_visitor, rosa)
    (name,) = (name for name in browser.cookies if name.startswith("device-"))
    for place in range(21):
        fields = {"username": rosa.username, "password": "wrong 1"}
        new_visitor().post("/sign-in", fields, ip=f"198.51.100.{place}")
    right = {"username": rosa.username, "password": rosa.password}
    stranger = new_visitor()
    stranger.cookies[name] = of_luis
    assert stranger.post("/sign-in", right, ip="203.0.113.1").status == 429
    assert browser.post("/sign-in", right, ip="203.0.113.2").status == 200


def test_a_known_device_is_held_to_its_own_ips_failures(
    new_visitor: Visitors, rosa: factories.SomeAccount
) -> None:
    phone = factories.signed_in(new_visitor, rosa)
    wrong = {"username": rosa.username, "password": "wrong 1"}
    statuses = [phone.post("/sign-in", wrong).status for _ in range(11)]
    assert statuses == [401] * 10 + [429]


@pytest.mark.parametrize("path", ["/account/password", "/account/email", "/account/sessions/end"])
def test_strangers_failures_keep_no_known_device_from_its_own_account(
    new_visitor: Visitors, rosa: factories.SomeAccount, path: str
) -> None:
    browser = factories.signed_in(new_visitor, rosa)
    wrong = {"username": rosa.username, "password": "wrong 1"}
    for place in range(21):
        new_visitor().post("/sign-in", wrong, ip=f"198.51.100.{place}")
    fields = {
        "current_password": rosa.password,
        "email": "new@example.net",
        "password": "a new one 42",
        "verify_password": "a new one 42",
    }
    thief = new_visitor()
    thief.cookies = {n: v for n, v in browser.cookies.items() if not n.startswith("device-")}
    assert thief.post(path, fields).code == "too-many-tries"
    assert browser.post(path, fields).status in (200, 202, 204)


# --- links (S43, S45) -----------------------------------------------------------------------


def all_links(
    new_visitor: Visitors, rosa: factories.SomeAccount, mailbox: Mailbox
) -> dict[str, str]:
    """Have one of each link mailed; return their tokens by page."""
    browser = factories.signed_in(new_visitor, rosa)
    asking = {"current_password": rosa.password, "email": "new@example.net"}
    assert browser.post("/account/email", asking).status == 202
    assert browser.post("/forgot-password", {"username": rosa.username}).status == 202
    mails = mailbox()
    return {
        page: next(token_of(one, page) for one in mails if f"{page}?token=" in one.html)
        for page in PAGES
    }


@pytest.mark.parametrize("page", PAGES)
def test_no_get_of_a_mailed_link_changes_a_table_and_the_post_after_it_works(
    new_visitor: Visitors, rosa: factories.SomeAccount, mailbox: Mailbox, page: str
) -> None:
    token = all_links(new_visitor, rosa, mailbox)[page]
    tables = ("accounts", "recovery-counters", "sessions", "audit")
    before = [rows(table) for table in tables]
    scanner = new_visitor()
    for _ in range(10):
        assert scanner.get(f"/{page}?token={token}", accept=HTML).status == 303
        assert scanner.get(f"/{page}", accept=HTML).status == 200
        assert new_visitor().get(f"/{page}?token={token}").status == 200
    assert [rows(table) for table in tables] == before
    fields = {"token": token, "password": NEW, "verify_password": NEW}
    assert new_visitor().post(f"/{page}", fields).status == 200


@pytest.mark.parametrize("page", PAGES)
def test_a_page_of_a_link_gives_its_token_to_nobody(
    new_visitor: Visitors, rosa: factories.SomeAccount, mailbox: Mailbox, page: str
) -> None:
    token = all_links(new_visitor, rosa, mailbox)[page]
    browser = new_visitor()
    moved = browser.get(f"/{page}?token={token}", accept=HTML)
    assert moved.header("location") == f"./{page}"
    assert moved.text == ""
    (cookie,) = (line for line in moved.headers["set-cookie"] if line.startswith(PAGES[page]))
    assert {"HttpOnly", "SameSite=Lax", "Path=/", "Max-Age=1800"} <= set(cookie.split("; "))
    shown = browser.get(f"/{page}", accept=HTML)
    assert token not in shown.text + str(shown.headers)
    for one in (moved, shown):
        assert one.header("referrer-policy") == "strict-origin"
        assert one.header("cache-control") == "no-store"
        assert "default-src 'none'" in (one.header("content-security-policy") or "")


# --- telling of events (S55) ----------------------------------------------------------------


def bring_about(
    event: str, browser: PortalClient, new_visitor: Visitors, rosa: factories.SomeAccount
) -> None:
    own = {"current_password": rosa.password}
    if event == "locked out":
        for place in range(6):
            fields = {"email": ROSA}
            new_visitor().post("/forgot-username", fields, ip=f"198.51.100.{place}")
    if event == "new password":
        changed = own | {"password": NEW, "verify_password": NEW}
        assert browser.post("/account/password", changed).status == 200
    if event == "address asked for":
        asked = own | {"email": "new@example.net"}
        assert browser.post("/account/email", asked).status == 202


@pytest.mark.parametrize(
    "event", ["account made", "unknown device", "locked out", "new password", "address asked for"]
)
def test_the_not_me_link_of_each_mail_ends_sessions_and_asks_for_a_new_password(
    new_visitor: Visitors, mailbox: Mailbox, event: str
) -> None:
    rosa = factories.account(factories.family(email=ROSA))
    mails = mailbox()
    browser = factories.signed_in(new_visitor, rosa)
    if event != "account made":
        mails = mailbox()
    if event != "unknown device":
        bring_about(event, browser, new_visitor, rosa)
        mails = mailbox() or mails
    (mail,) = [one for one in mails if "not-me?token=" in one.html]
    assert mail.recipient == ROSA
    mailbox()
    assert new_visitor().post("/not-me", {"token": token_of(mail, "not-me")}).status == 200
    assert browser.get("/students").status == 401
    account = accounts.read_account("rosa1")
    assert account is not None
    assert (account.state, account.email) == ("reset-required", ROSA)
    (sent,) = [one for one in mailbox() if "reset-password?token=" in one.html]
    fields = {"token": token_of(sent), "password": "next 1234", "verify_password": "next 1234"}
    assert new_visitor().post("/reset-password", fields).status == 200


# --- a change of the district's zone (S49) ----------------------------------------------------


def test_a_lockout_ends_when_it_was_said_to_after_a_move_to_the_west(
    new_visitor: Visitors, rosa: factories.SomeAccount, monday: Any
) -> None:
    def ask() -> Any:
        return new_visitor().post("/forgot-username", {"email": ROSA})

    fields = {"username": rosa.username, "password": rosa.password}
    said = [ask() for _ in range(6)][-1].json()["locked_until"]
    assert said == "2026-03-03T05:00:00Z"
    district.save_preferences({"time_zone": "Pacific/Honolulu"})
    refused = (ask(), new_visitor().post("/sign-in", fields))
    assert [one.json()["locked_until"] for one in refused] == [said, said]
    monday.move_to(datetime(2026, 3, 3, 5, 0, tzinfo=UTC))
    assert ask().status == 202
    assert new_visitor().post("/sign-in", fields).status == 200


def test_a_lockout_ends_with_the_day_after_a_move_to_the_east(
    new_visitor: Visitors, rosa: factories.SomeAccount
) -> None:
    for place in range(6):
        new_visitor().post("/forgot-username", {"email": ROSA}, ip=f"198.51.100.{place}")
    # It is ten in the morning on the 2nd in New York, and midnight between 2nd and 3rd in Tokyo.
    district.save_preferences({"time_zone": "Asia/Tokyo"})
    factories.signed_in(new_visitor, rosa)
    assert new_visitor().post("/forgot-username", {"email": ROSA}).status == 202
