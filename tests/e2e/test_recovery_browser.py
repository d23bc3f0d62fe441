"""Recovery in a browser on a phone: usernames, lockout, new password, and putting a thief out.

Each visit is held to what test_journey_browser holds each to: no console message, nothing from
elsewhere, axe on every page, no password in it.
"""

import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from local import LocalStack
from tests.e2e.conftest import District, wait_for_mail
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

CHANGED = "The email address of your Parent Portal account was changed"
NEW_PASSWORD, THIEFS_PASSWORD = "green44Horses", "black45Horses"


def address_of(district: District, shape: str) -> str:
    family = next(one for one in district.families if one.shape == shape)
    return str(next(one.email for one in family.guardians if one.email))


def link_from(
    stack: LocalStack, recipient: str, page: str, *, after: int, subject: str = ""
) -> str:
    """Return the path of a mailed link, from the newest mail to an address that has one."""
    saying = subject or f"/{page}?token="
    mail = wait_for_mail(stack, recipient, after=after, saying=saying)
    found = re.search(rf"/({page}\?token=[\w-]+)", mail["BodyText"])
    assert found, mail
    return f"/{found[1]}"


@pytest.mark.parametrize("scripts", [True, False], ids=["with-scripts", "without-scripts"])
def test_five_mails_then_locked_out_until_tomorrow(
    stack: LocalStack,
    district: District,
    new_visit: NewVisit,
    clock: Callable[[timedelta], None],
    scripts: bool,
) -> None:
    address = address_of(district, "foster family" if scripts else "stepparent")
    username = "forgot1" if scripts else "forgot2"
    make_account(stack, address, username)
    stack.invoke("unlock_account", {"username": username})
    visit = new_visit(f"lockout-{scripts}", scripts=scripts, locale="en-US")
    visit.open("/sign-in")
    assert visit.follow("Forgot Your Username?") == 200
    sent = len(stack.mails())
    for number in range(5):
        visit.page.fill("#email", address.upper())
        assert visit.press("Send usernames") == 200
        assert visit.title == "Check your email"
        if number == 0:
            visit.look("forgot-username-done")
            wait_for_mail(stack, address, after=sent, saying=username)
        visit.open("/forgot-username")
    visit.look("forgot-username")
    visit.page.fill("#email", address)
    assert visit.press("Send usernames") == 429
    visit.look("forgot-username-locked")
    assert sign_in(visit, username) == 403
    assert "12:00" in visit.text
    visit.look("sign-in-locked")
    (found,) = stack.invoke("find_guardian", {"username": username})["guardians"]
    midnight = datetime.fromisoformat(found["account"]["locked_until"])
    clock(midnight - datetime.now(UTC) + timedelta(seconds=1))
    assert sign_in(visit, username) == 200
    assert visit.path == "/"
    visit.open("/forgot-username")
    visit.page.fill("#email", address)
    assert visit.press("Send usernames") == 200


@pytest.mark.parametrize("scripts", [True, False], ids=["with-scripts", "without-scripts"])
def test_a_new_password_by_the_mailed_link(
    stack: LocalStack,
    district: District,
    new_visit: NewVisit,
    scripts: bool,
) -> None:
    address = address_of(district, "one parent")
    make_account(stack, address, "reset1")
    visit = new_visit(f"reset-{scripts}", scripts=scripts, locale="en-US")
    visit.open("/sign-in")
    assert visit.follow("Forgot Your Password?") == 200
    visit.look("forgot-password")
    sent = len(stack.mails())
    visit.page.fill("#username", "RESET1")
    assert visit.press("Send link") == 200
    visit.look("forgot-password-done")
    link = link_from(stack, address, "reset-password", after=sent)
    for _ in range(2):
        visit.open(link)
        assert visit.path == "/reset-password"
    visit.look("reset-password")
    for field in ("#password", "#verify_password"):
        assert visit.page.get_attribute(field, "autocomplete") == "new-password"
        visit.page.fill(field, NEW_PASSWORD)
    assert visit.press("Save new password") == 200
    visit.look("reset-password-done")
    visit.open(link)
    assert visit.page.locator("#password").count() == 0
    visit.look("reset-password-spent")
    assert sign_in(visit, "reset1") == 401
    visit.page.fill("#password", NEW_PASSWORD)
    assert visit.press("Sign in") == 200


def test_a_thief_is_put_out_from_the_old_mailbox(
    stack: LocalStack,
    district: District,
    new_visit: NewVisit,
) -> None:
    mailbox, thiefs = address_of(district, "grandparent as guardian"), "thief@example.org"
    make_account(stack, mailbox, "robbed1")
    thief = new_visit("thief", locale="en-US")
    assert sign_in(thief, "robbed1") == 200
    assert thief.follow("Account") == 200
    thief.look("account")
    sent = len(stack.mails())
    thief.page.fill("#email-email", thiefs)
    thief.page.fill("#email-current_password", PASSWORD)
    assert thief.press("Send link") == 200
    thief.look("account-email-sent")
    thief.open(link_from(stack, thiefs, "confirm-email", after=sent))
    thief.look("confirm-email")
    confirm(thief)
    thief.look("confirm-email-done")
    thief.open("/account")
    assert thiefs in thief.text
    thief.page.fill("#password-current_password", PASSWORD)
    thief.page.fill("#password-password", THIEFS_PASSWORD)
    thief.page.fill("#password-verify_password", THIEFS_PASSWORD)
    assert thief.press("Change password") == 200

    parent = new_visit("robbed", locale="es-MX")
    parent.open(link_from(stack, mailbox, "not-me", after=sent, subject=CHANGED))
    assert parent.path == "/not-me"
    parent.look("not-me")
    later = len(stack.mails())
    confirm(parent)
    parent.look("not-me-done")
    thief.open("/account")
    assert thief.path.startswith("/sign-in")
    parent.open(link_from(stack, mailbox, "reset-password", after=later))
    for field in ("#password", "#verify_password"):
        parent.page.fill(field, NEW_PASSWORD)
    confirm(parent)
    (found,) = stack.invoke("find_guardian", {"username": "robbed1"})["guardians"]
    assert found["account"]["state"] == "active"
    assert sign_in_spanish(parent, "robbed1", NEW_PASSWORD) == 200


def confirm(visit: Visit) -> None:
    """Tap the one button of the page's own form."""
    shown = len(visit.answers)
    with visit.page.expect_navigation():
        visit.page.locator("main form button[type=submit], main form button.button").last.tap()
    pages = [one for one in visit.answers[shown:] if one.request.is_navigation_request()]
    assert pages[-1].status == 200


def sign_in_spanish(visit: Visit, username: str, password: str) -> Any:
    visit.open("/sign-in")
    visit.page.fill("#username", username)
    visit.page.fill("#password", password)
    return visit.press("Iniciar sesión")
