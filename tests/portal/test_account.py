"""The guardian's own account: password, address, sessions, and undoing what a thief did."""

from collections.abc import Callable
from typing import Any

import pytest
import time_machine

from chalicelib import errors
from chalicelib.domain import accounts as domain_accounts
from chalicelib.storage import accounts
from tests import factories
from tests.conftest import SentMail
from tests.portal.test_reset_password import token_of
from tests.portal_client import HTML, Answer, PortalClient

NEW = "a new one 42"
OLD_ADDRESS, NEW_ADDRESS = "parent@example.com", "rosa.new@example.net"
Mailbox = Callable[[], list[SentMail]]
Visitors = Callable[[], PortalClient]


@pytest.fixture(autouse=True)
def monday(stage: object) -> Any:
    with time_machine.travel(factories.NOW, tick=False) as clock:
        yield clock


@pytest.fixture
def rosa(stage: object) -> factories.SomeAccount:
    return factories.account(factories.family())


@pytest.fixture
def browser(new_visitor: Visitors, rosa: factories.SomeAccount, mailbox: Mailbox) -> PortalClient:
    visitor = factories.signed_in(new_visitor, rosa)
    mailbox()
    return visitor


def on_record() -> str | None:
    """Return the address on record."""
    account = accounts.read_account("rosa1")
    return account and account.email


def change_password(visitor: PortalClient, current: str, new: str = NEW, **how: Any) -> Answer:
    fields = {"current_password": current, "password": new, "verify_password": new}
    return visitor.post("/account/password", fields, **how)


def change_email(visitor: PortalClient, current: str, email: str = NEW_ADDRESS) -> Answer:
    return visitor.post("/account/email", {"current_password": current, "email": email})


def to(mails: list[SentMail], recipient: str) -> list[SentMail]:
    return [mail for mail in mails if mail.recipient == recipient]


def test_the_page_shows_username_address_and_sessions(
    browser: PortalClient, new_visitor: Visitors, rosa: factories.SomeAccount
) -> None:
    factories.signed_in(new_visitor, rosa, headers={"User-Agent": "x Firefox x Windows"})
    shown = browser.get("/account").json()
    assert (shown["username"], shown["email"]) == ("Rosa1", OLD_ADDRESS)
    assert sorted(s["current"] for s in shown["sessions"]) == [False, True]
    assert {s["device"] for s in shown["sessions"]} == {None, "Firefox, Windows"}


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/account"),
        ("POST", "/account/password"),
        ("POST", "/account/email"),
        ("POST", "/account/sessions/end"),
    ],
)
def test_without_a_session_there_is_no_account(
    portal: PortalClient, method: str, path: str
) -> None:
    assert portal.request(method, path).code == "sign-in-required"


# --- password -----------------------------------------------------------------------------


def test_a_new_password_ends_the_other_sessions_and_open_links_and_is_mailed(
    browser: PortalClient, new_visitor: Visitors, rosa: factories.SomeAccount, mailbox: Mailbox
) -> None:
    other = factories.signed_in(new_visitor, rosa)
    browser.post("/forgot-password", {"username": "Rosa1"})
    token = next(token_of(m) for m in mailbox() if "reset-password?token" in m.html)
    assert change_password(browser, rosa.password).status == 200
    assert browser.get("/students").status == 200
    assert other.get("/students").status == 401
    fields = {"token": token, "password": "other 11", "verify_password": "other 11"}
    assert browser.post("/reset-password", fields).code == "reset-link-invalid"
    assert [m.recipient for m in mailbox()] == [OLD_ADDRESS]
    visitor = new_visitor()
    assert visitor.post("/sign-in", {"username": "Rosa1", "password": NEW}).status == 200


def test_a_wrong_current_password_counts_as_a_failed_sign_in(
    browser: PortalClient, new_visitor: Visitors, rosa: factories.SomeAccount
) -> None:
    for _ in range(10):
        answer = change_password(browser, "wrong 1")
        assert answer.status == 422
        assert [(e["field"], e["code"]) for e in answer.json()["errors"]] == [
            ("current_password", "wrong")
        ]
    assert change_password(browser, rosa.password).status == 429
    fields = {"username": "Rosa1", "password": rosa.password}
    assert new_visitor().post("/sign-in", fields).status == 429


def test_the_same_form_twice_is_one_change_and_one_mail(
    browser: PortalClient, rosa: factories.SomeAccount, mailbox: Mailbox
) -> None:
    fields = {"current_password": rosa.password, "password": NEW, "verify_password": NEW}
    answers = [browser.post("/account/password", fields | {"form_id": "f1"}) for _ in range(3)]
    assert [a.status for a in answers] == [200] * 3
    assert len(mailbox()) == 1
    assert browser.post("/account/password", fields | {"form_id": "f2"}).status == 422


@pytest.mark.parametrize(
    ("path", "fields"),
    [
        ("/account/password", {"password": NEW, "verify_password": NEW}),
        ("/account/email", {"email": NEW_ADDRESS}),
        ("/account/sessions/end", {}),
    ],
)
def test_the_same_wrong_form_many_times_counts_once(
    browser: PortalClient, rosa: factories.SomeAccount, path: str, fields: dict[str, str]
) -> None:
    wrong = fields | {"current_password": "wrong 1", "form_id": "f1"}
    assert {browser.post(path, wrong).status for _ in range(12)} == {422}
    assert change_password(browser, rosa.password).status == 200


# --- address ------------------------------------------------------------------------------


def test_a_new_address_counts_once_its_link_is_opened_and_the_old_one_is_told(
    browser: PortalClient, rosa: factories.SomeAccount, mailbox: Mailbox
) -> None:
    assert change_email(browser, rosa.password).status == 202
    mails = mailbox()
    (told,) = to(mails, OLD_ADDRESS)
    assert "not-me?token=" in told.html
    (confirm,) = to(mails, NEW_ADDRESS)
    token = token_of(confirm, "confirm-email")
    assert "not-me" not in confirm.html
    for _ in range(3):
        browser.get(f"/confirm-email?token={token}", accept="text/html")
    assert browser.get("/account").json()["email"] == OLD_ADDRESS
    assert browser.post("/confirm-email", {"token": token}).status == 200
    assert browser.get("/account").json()["email"] == NEW_ADDRESS
    assert len(to(mailbox(), OLD_ADDRESS)) == 1
    stored = accounts.read_account("rosa1")
    assert stored is not None
    assert stored.email_source == "guardian"


@pytest.mark.parametrize("ending", ["used", "late", "replaced", "reset", "password"])
def test_a_confirm_link_ends(
    browser: PortalClient,
    rosa: factories.SomeAccount,
    mailbox: Mailbox,
    monday: Any,
    ending: str,
) -> None:
    change_email(browser, rosa.password)
    token = token_of(to(mailbox(), NEW_ADDRESS)[0], "confirm-email")
    if ending == "used":
        browser.post("/confirm-email", {"token": token})
        monday.shift(600)
    if ending == "late":
        monday.shift(24 * 3600)
    if ending == "replaced":
        change_email(browser, rosa.password, "third@example.net")
        mailbox()
    if ending == "reset":
        browser.post("/forgot-password", {"username": "Rosa1"})
        link = token_of(mailbox()[0])
        fields = {"token": link, "password": NEW, "verify_password": NEW}
        assert browser.post("/reset-password", fields).status == 200
    if ending == "password":
        change_password(browser, rosa.password)
    answer = browser.post("/confirm-email", {"token": token})
    assert (answer.status, answer.code) == (422, "confirm-link-invalid")


@pytest.mark.parametrize(
    "email", ["", "x", "a@b", "a@example.com, b@example.com", "a\n@example.com"]
)
def test_what_is_no_address_is_named(
    browser: PortalClient, rosa: factories.SomeAccount, email: str
) -> None:
    answer = change_email(browser, rosa.password, email)
    assert answer.status == 422
    assert [e["field"] for e in answer.json()["errors"]] == ["email"]


# --- sessions -----------------------------------------------------------------------------


def test_the_other_sessions_end_and_a_wrong_password_ends_none(
    browser: PortalClient, new_visitor: Visitors, rosa: factories.SomeAccount
) -> None:
    other = factories.signed_in(new_visitor, rosa)
    wrong = browser.post("/account/sessions/end", {"current_password": "wrong 1"})
    assert wrong.status == 422
    assert other.get("/students").status == 200
    right = browser.post("/account/sessions/end", {"current_password": rosa.password})
    assert right.status == 204
    assert other.get("/students").status == 401
    assert browser.get("/students").status == 200


def test_the_oldest_session_beyond_twenty_ends(
    new_visitor: Visitors, rosa: factories.SomeAccount, monday: Any
) -> None:
    browsers = []
    for _ in range(21):
        monday.shift(1)
        browsers.append(factories.signed_in(new_visitor, rosa))
    assert [b.get("/students").status for b in browsers] == [401] + [200] * 20


# --- telling, and "this wasn't me" ----------------------------------------------------------


def test_an_unknown_device_is_mailed_and_a_known_one_isnt(
    browser: PortalClient, new_visitor: Visitors, rosa: factories.SomeAccount, mailbox: Mailbox
) -> None:
    factories.signed_in(new_visitor, rosa, headers={"User-Agent": "Firefox on Windows"})
    (mail,) = mailbox()
    assert "Firefox" in mail.html
    assert "not-me?token=" in mail.html
    browser.post("/sign-out")
    browser.post("/sign-in", {"username": "Rosa1", "password": rosa.password})
    assert mailbox() == []


def test_a_thief_with_session_and_password_is_put_out_again(
    browser: PortalClient, new_visitor: Visitors, rosa: factories.SomeAccount, mailbox: Mailbox
) -> None:
    thief, thiefs = browser, "thief@example.org"
    change_email(thief, rosa.password, thiefs)
    mails = mailbox()
    thief.post("/confirm-email", {"token": token_of(to(mails, thiefs)[0], "confirm-email")})
    change_password(thief, rosa.password, "thiefs 666")
    later = mailbox()
    theirs = [token_of(m, "not-me") for m in to(later, thiefs) if "not-me" in m.html]
    warning = to(mails, OLD_ADDRESS)[0]

    parent = new_visitor()
    answer = parent.post("/not-me", {"token": token_of(warning, "not-me")})

    assert answer.status == 200
    assert thief.get("/students").status == 401
    fields = {"username": "Rosa1", "password": "thiefs 666"}
    assert thief.post("/sign-in", fields).code == "password-reset-required"
    stored = accounts.read_account("rosa1")
    assert stored is not None
    assert (stored.email, stored.email_source) == (OLD_ADDRESS, "roster")
    links = [m for m in mailbox() if "reset-password?token=" in m.html]
    assert {m.recipient for m in links} == {OLD_ADDRESS}
    for stolen in theirs:
        assert thief.post("/not-me", {"token": stolen}).code == "not-me-link-invalid"
    reset = {"token": token_of(links[0]), "password": NEW, "verify_password": NEW}
    assert parent.post("/reset-password", reset).status == 200
    assert parent.post("/sign-in", {"username": "Rosa1", "password": NEW}).status == 200


def test_a_thief_who_says_not_me_first_ends_no_link_of_the_parents(
    browser: PortalClient,
    new_visitor: Visitors,
    rosa: factories.SomeAccount,
    mailbox: Mailbox,
    monday: Any,
) -> None:
    thief, mails = browser, []
    for stolen in ("thief@example.org", "thief@example.net"):
        change_email(thief, rosa.password, stolen)
        mails += mailbox()
        monday.shift(60)
        confirm = token_of(to(mails, stolen)[0], "confirm-email")
        assert thief.post("/confirm-email", {"token": confirm}).status == 200
        mails += mailbox()
        monday.shift(60)
    # Two mails to each address that was left: a change was asked for, and made.
    theirs, parents = (
        [token_of(m, "not-me") for m in to(mails, who) if "not-me?token=" in m.html]
        for who in ("thief@example.org", OLD_ADDRESS)
    )
    assert thief.post("/not-me", {"token": theirs[0]}).status == 200
    assert on_record() == "thief@example.org"
    monday.shift(60)
    assert new_visitor().post("/not-me", {"token": parents[1]}).status == 200
    assert on_record() == OLD_ADDRESS
    assert thief.post("/not-me", {"token": theirs[1]}).code == "not-me-link-invalid"
    assert on_record() == OLD_ADDRESS


def test_a_not_me_link_is_over_after_ten_days(
    browser: PortalClient, rosa: factories.SomeAccount, mailbox: Mailbox, monday: Any
) -> None:
    change_password(browser, rosa.password)
    token = token_of(mailbox()[0], "not-me")
    monday.shift(10 * 86_400)
    answer = browser.post("/not-me", {"token": token})
    assert (answer.status, answer.code) == (422, "not-me-link-invalid")


def test_a_not_me_link_opens_no_account_made_later(
    browser: PortalClient, rosa: factories.SomeAccount, mailbox: Mailbox, invoke: Any
) -> None:
    change_password(browser, rosa.password)
    token = token_of(mailbox()[0], "not-me")
    invoke("delete_account", {"username": "Rosa1"})
    factories.account(rosa.guardian)
    for bad in (token, token[::-1], ""):
        assert browser.post("/not-me", {"token": bad}).code == "not-me-link-invalid"


def test_a_disabled_account_is_opened_to_a_new_password_where_the_old_one_is_over(
    browser: PortalClient,
    new_visitor: Visitors,
    rosa: factories.SomeAccount,
    mailbox: Mailbox,
    invoke: Any,
) -> None:
    change_password(browser, rosa.password, "thiefs 666")
    token = token_of(mailbox()[0], "not-me")
    invoke("disable_account", {"username": "Rosa1"})
    assert new_visitor().post("/not-me", {"token": token}).status == 200
    (found,) = invoke("find_guardian", {"username": "Rosa1"})["guardians"]
    assert found["account"]["state"] == "disabled"
    assert invoke("enable_account", {"username": "Rosa1"})["state"] == "reset-required"
    fields = {"username": "Rosa1", "password": "thiefs 666"}
    assert new_visitor().post("/sign-in", fields).code == "password-reset-required"
    (link, *_) = [m for m in mailbox() if "reset-password?token=" in m.html]
    reset = {"token": token_of(link), "password": NEW, "verify_password": NEW}
    assert new_visitor().post("/reset-password", reset).status == 200
    # The new password is over with nothing: disabled and enabled, it opens the account.
    invoke("disable_account", {"username": "Rosa1"})
    assert invoke("enable_account", {"username": "Rosa1"})["state"] == "active"
    assert new_visitor().post("/sign-in", fields | {"password": NEW}).status == 200


def test_a_required_reset_opens_no_disabled_account_and_outlasts_the_disabling(
    new_visitor: Visitors, rosa: factories.SomeAccount, mailbox: Mailbox, invoke: Any
) -> None:
    require = {"username": "Rosa1", "reason": "a leak"}
    right = {"username": "Rosa1", "password": rosa.password}
    invoke("disable_account", {"username": "Rosa1"})
    assert invoke("require_password_reset", require)["state"] == "disabled"
    assert not [m for m in mailbox() if "reset-password?token=" in m.html]
    assert new_visitor().post("/sign-in", right).code == "account-disabled"
    assert invoke("enable_account", {"username": "Rosa1"})["state"] == "reset-required"
    invoke("disable_account", {"username": "Rosa1"})
    assert invoke("enable_account", {"username": "Rosa1"})["state"] == "reset-required"
    assert new_visitor().post("/sign-in", right).code == "password-reset-required"


def test_a_change_of_state_is_mailed(
    rosa: factories.SomeAccount, mailbox: Mailbox, invoke: Any
) -> None:
    mailbox()
    for function in ("disable_account", "enable_account"):
        invoke(function, {"username": "Rosa1"})
        assert [m.recipient for m in mailbox()] == [OLD_ADDRESS]


def test_a_session_that_ends_while_a_form_is_refused_leads_to_signing_in(
    browser: PortalClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    count_failure = accounts.count_failure

    def and_end_sessions(username_key: str) -> None:
        count_failure(username_key)
        account = accounts.read_account(username_key)
        assert account is not None
        accounts.end_account_sessions(account)

    # The race: another device ends every session between judging the form and showing it again.
    monkeypatch.setattr(accounts, "count_failure", and_end_sessions)
    answer = change_password(browser, "wrong 1", form=True, accept=HTML)
    assert answer.status == 303
    assert answer.header("location").endswith("sign-in?next=%2Faccount&note=session-ended")


def test_a_form_posted_again_after_its_account_changed_leads_to_signing_in_again(
    browser: PortalClient, rosa: factories.SomeAccount, monkeypatch: pytest.MonkeyPatch
) -> None:
    def overtaken(*_: object, **__: object) -> None:
        raise errors.SignInRequired

    fields = {"current_password": rosa.password, "password": NEW, "verify_password": NEW}
    fields["form_id"] = "one-form"
    # The race: the account was changed by another request while this one was judged.
    with monkeypatch.context() as race:
        race.setattr(domain_accounts, "change_password", overtaken)
        first = browser.post("/account/password", fields, form=True, accept=HTML)
    again = browser.post("/account/password", fields, form=True, accept=HTML)
    assert first.status == again.status == 303
    assert first.header("location") == again.header("location")
