"""Forgot Your Password?: the mailed link, its single use, and what ends it."""

import re
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
import time_machine

from chalicelib.storage import accounts, district
from tests import factories
from tests.conftest import SentMail
from tests.portal_client import Answer, PortalClient

NEW = "a new one 42"
Mailbox = Callable[[], list[SentMail]]
Visitors = Callable[[], PortalClient]


@pytest.fixture(autouse=True)
def monday(stage: object) -> Any:
    with time_machine.travel(factories.NOW, tick=False) as clock:
        yield clock


@pytest.fixture
def rosa(stage: object, mailbox: Mailbox) -> factories.SomeAccount:
    made = factories.account(factories.family())
    mailbox()
    return made


def token_of(mail: SentMail, page: str = "reset-password") -> str:
    found = re.search(rf"{page}\?token=([A-Za-z0-9_-]+)", mail.html)
    assert found, mail.html
    return found[1]


def ask(visitor: PortalClient, username: str = "Rosa1", **how: Any) -> Answer:
    return visitor.post("/forgot-password", {"username": username}, **how)


def link(visitor: PortalClient, mailbox: Mailbox) -> str:
    ask(visitor)
    return token_of(mailbox()[-1])


def reset(visitor: PortalClient, token: str, password: str = NEW, **how: Any) -> Answer:
    fields = {"token": token, "password": password, "verify_password": password}
    return visitor.post("/reset-password", fields, **how)


def sign_in(visitor: PortalClient, password: str, **how: Any) -> Answer:
    return visitor.post("/sign-in", {"username": "Rosa1", "password": password}, **how)


def test_the_link_makes_a_new_password_ends_sessions_and_tells_the_guardian(
    portal: PortalClient, new_visitor: Visitors, rosa: factories.SomeAccount, mailbox: Mailbox
) -> None:
    browsers = [factories.signed_in(new_visitor, rosa) for _ in range(2)]
    mailbox()
    answer = reset(portal, link(portal, mailbox))
    assert answer.status == 200
    assert not [c for c in answer.headers.get("set-cookie", []) if "session" in c]
    assert [browser.get("/students").status for browser in browsers] == [401, 401]
    (mail,) = mailbox()
    assert "not-me?token=" in mail.html
    assert sign_in(portal, rosa.password).status == 401
    assert sign_in(portal, NEW).status == 200


def test_every_name_is_answered_alike(
    new_visitor: Visitors, rosa: factories.SomeAccount, aws_calls: list[Any]
) -> None:
    answers, traces = [], []
    for name in ("Rosa1", "Nobody1", "no name", "x" * 3000):
        aws_calls.clear()
        answers.append(ask(new_visitor(), name))
        traces.append(list(aws_calls))
    assert {(a.status, a.text) for a in answers} == {(202, answers[0].text)}
    assert all(trace == traces[0] for trace in traces)


def test_a_space_behind_the_username_keeps_no_link_back(
    portal: PortalClient, rosa: factories.SomeAccount, mailbox: Mailbox
) -> None:
    mailbox()
    ask(portal, " rosa1 ")
    assert ["reset-password?token=" in mail.html for mail in mailbox()] == [True]


def test_opening_the_link_consumes_nothing_and_moves_the_token_out_of_the_address(
    portal: PortalClient, rosa: factories.SomeAccount, mailbox: Mailbox
) -> None:
    token = link(portal, mailbox)
    portal.accept = "text/html"
    for _ in range(10):
        opened = portal.get(f"/reset-password?token={token}")
        assert (opened.status, opened.header("location")) == (303, "./reset-password")
    page = portal.get("/reset-password")
    assert page.status == 200
    assert token not in page.text
    done = portal.post("/reset-password", {"password": NEW, "verify_password": NEW}, form=True)
    assert (done.status, done.header("location")) == (303, "./reset-password?done")
    assert "reset" not in portal.cookies
    portal.accept = "application/json"
    assert sign_in(portal, NEW).status == 200


@pytest.mark.parametrize("minutes", [30, 5])
def test_a_link_dies_after_its_time_whatever_is_stored(
    portal: PortalClient, rosa: factories.SomeAccount, mailbox: Mailbox, monday: Any, minutes: int
) -> None:
    district.save_preferences({"reset_link_minutes": minutes})
    early, late = link(portal, mailbox), link(portal, mailbox)
    monday.shift(minutes * 60)
    assert reset(portal, late).code == "reset-link-invalid"
    monday.shift(-1)
    assert reset(portal, early).status == 200


def test_a_newer_link_doesnt_end_an_older_one_but_a_use_ends_all(
    portal: PortalClient, rosa: factories.SomeAccount, mailbox: Mailbox
) -> None:
    older, newer = link(portal, mailbox), link(portal, mailbox)
    assert reset(portal, older).status == 200
    assert reset(portal, newer, "yet another 7").code == "reset-link-invalid"


@pytest.mark.parametrize("change", ["disable", "enable", "require", "delete", "made anew"])
def test_a_change_of_state_ends_open_links(
    portal: PortalClient,
    rosa: factories.SomeAccount,
    mailbox: Mailbox,
    invoke: Any,
    change: str,
) -> None:
    token = link(portal, mailbox)
    if change in ("disable", "enable"):
        invoke("disable_account", {"username": "Rosa1"})
    if change == "enable":
        invoke("enable_account", {"username": "Rosa1"})
    if change == "require":
        invoke("require_password_reset", {"username": "Rosa1", "reason": "phished"})
    if change in ("delete", "made anew"):
        invoke("delete_account", {"username": "Rosa1"})
    if change == "made anew":
        factories.account(rosa.guardian)
    assert reset(portal, token).code == "reset-link-invalid"


@pytest.mark.parametrize("bad", ["", "x", "a" * 5000, "\u0394", "../x", "a b"])
def test_a_token_that_is_none_opens_nothing(portal: PortalClient, bad: str) -> None:
    answer = reset(portal, bad)
    assert (answer.status, answer.code) == (422, "reset-link-invalid")


def test_a_weak_password_is_refused_and_the_link_stays(
    portal: PortalClient, rosa: factories.SomeAccount, mailbox: Mailbox
) -> None:
    token = link(portal, mailbox)
    for password, code in (
        ("ab1", "too-short"),
        ("rosa1 is it", "contains-username"),
        ("qwer1234", "too-common"),
    ):
        answer = reset(portal, token, password)
        assert answer.status == 422
        assert ("password", code) in [(e["field"], e["code"]) for e in answer.json()["errors"]]
    assert reset(portal, token).status == 200


def test_fifty_uses_of_one_link_at_once_set_one_password(
    new_visitor: Visitors, rosa: factories.SomeAccount, mailbox: Mailbox
) -> None:
    token = link(new_visitor(), mailbox)
    with ThreadPoolExecutor(10) as pool:
        answers = list(pool.map(lambda i: reset(new_visitor(), token, f"password {i}"), range(30)))
    assert sorted(a.status for a in answers) == [200] + [422] * 29
    winner = next(i for i, a in enumerate(answers) if a.status == 200)
    assert sign_in(new_visitor(), f"password {winner}").status == 200


def test_the_same_one_posted_twice_is_answered_twice_and_mailed_once(
    portal: PortalClient, rosa: factories.SomeAccount, mailbox: Mailbox, monday: Any
) -> None:
    token = link(portal, mailbox)
    assert [reset(portal, token).status for _ in range(2)] == [200, 200]
    assert len(mailbox()) == 1
    assert reset(portal, token, "some other 9").code == "reset-link-invalid"
    monday.shift(600)
    assert reset(portal, token).code == "reset-link-invalid"


def test_strangers_can_neither_end_the_link_nor_flood_the_mailbox(
    new_visitor: Visitors, rosa: factories.SomeAccount, mailbox: Mailbox, monday: Any
) -> None:
    token = link(new_visitor(), mailbox)
    for place in range(20):
        assert ask(new_visitor(), ip=f"198.51.100.{place}").status == 202
    assert len(mailbox()) == 5
    assert reset(new_visitor(), token).status == 200
    mailbox()
    monday.shift(3600)
    for _ in range(3):
        ask(new_visitor())
    assert len(mailbox()) == 1


def test_one_ip_asks_thirty_times_an_hour(portal: PortalClient) -> None:
    statuses = [ask(portal, f"Nobody{i}").status for i in range(31)]
    assert statuses == [202] * 30 + [429]


def test_a_reset_clears_throttling_but_not_the_guides_lockout(
    new_visitor: Visitors, rosa: factories.SomeAccount, mailbox: Mailbox, monday: Any
) -> None:
    for place in range(21):
        sign_in(new_visitor(), "wrong 1", ip=f"198.51.100.{place}")
    assert sign_in(new_visitor(), rosa.password).status == 429
    assert reset(new_visitor(), link(new_visitor(), mailbox)).status == 200
    assert sign_in(new_visitor(), NEW).status == 200
    for place in range(6):
        new_visitor().post(
            "/forgot-username", {"email": "parent@example.com"}, ip=f"198.51.100.{place}"
        )
    mailbox()
    assert reset(new_visitor(), link(new_visitor(), mailbox), "third 333").status == 200
    assert sign_in(new_visitor(), "third 333").code == "locked-out"
    monday.move_to("2026-03-03T05:00:00+00:00")
    assert sign_in(new_visitor(), "third 333").status == 200


def test_an_admin_can_ask_for_a_new_password(
    new_visitor: Visitors, rosa: factories.SomeAccount, mailbox: Mailbox, invoke: Any
) -> None:
    browser = factories.signed_in(new_visitor, rosa)
    mailbox()
    event = {"username": "Rosa1", "reason": "password in a leak"}
    assert invoke("require_password_reset", event)["state"] == "reset-required"
    assert browser.get("/students").status == 401
    mails = mailbox()
    assert len(mails) == 2
    token = next(token_of(m) for m in mails if "reset-password?token=" in m.html)
    refused = sign_in(new_visitor(), rosa.password)
    assert (refused.status, refused.code) == (403, "password-reset-required")
    assert len(mailbox()) == 1
    assert reset(new_visitor(), token).status == 200
    assert sign_in(new_visitor(), NEW).status == 200
    stored = accounts.read_account("rosa1")
    assert stored is not None
    assert stored.state == "active"


def test_send_password_reset_hands_no_link_to_the_admin(
    portal: PortalClient, rosa: factories.SomeAccount, mailbox: Mailbox, invoke: Any
) -> None:
    said = invoke("send_password_reset", {"username": "Rosa1"})
    token = token_of(mailbox()[0])
    assert token not in str(said)
    assert reset(portal, token).status == 200


def test_a_known_device_signs_in_through_strangers_failures(
    new_visitor: Visitors, rosa: factories.SomeAccount, mailbox: Mailbox
) -> None:
    phone = factories.signed_in(new_visitor, rosa)
    phone.post("/sign-out")
    for place in range(30):
        sign_in(new_visitor(), "wrong 1", ip=f"198.51.100.{place}")
    assert sign_in(new_visitor(), rosa.password).status == 429
    assert sign_in(phone, rosa.password).status == 200
    phone.post("/sign-out")
    (name,) = (name for name in phone.cookies if name.startswith("device-"))
    forged = new_visitor()
    value = phone.cookies[name]
    forged.cookies[name] = value[:-1] + ("A" if value[-1] != "A" else "E")
    assert sign_in(forged, rosa.password).status == 429
    reset(new_visitor(), link(new_visitor(), mailbox), rosa.password)
    for place in range(21):
        sign_in(new_visitor(), "wrong 1", ip=f"198.51.100.{place}")
    assert sign_in(phone, rosa.password).status == 429
