"""What the script does once a session is over: a half-filled form waits, and nothing is kept for it."""

from collections.abc import Iterator
from datetime import timedelta

import pytest
from playwright.sync_api import Browser, Page

from tests import gallery
from tests.chromium import CHROMIUM, ORIGIN, Portal
from tests.chromium import browser as browser  # noqa: PLC0414 - the fixture

pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(not CHROMIUM.exists(), reason="no Chromium at /usr/bin/chromium"),
]
TYPED = "dolores.new@example.net"
LATER = gallery.NOW + timedelta(hours=1)


@pytest.fixture
def portal(browser: Browser) -> Iterator[Portal]:
    """Give a signed-in page with a form, its clock in the test's hand."""
    context = browser.new_context(viewport={"width": 320, "height": 640})
    portal = Portal(context.new_page())
    portal.page.clock.install(time=gallery.NOW)
    portal.open("account")
    yield portal
    context.close()


def end_the_session(portal: Portal) -> None:
    portal.session = (401, gallery.IDLE_UNTIL)
    portal.page.clock.run_for("31:00")
    portal.page.get_by_role("heading", name="Please sign in again").wait_for(state="visible")


def sign_in_again(portal: Portal, password: str) -> None:
    page = portal.page
    page.fill("#over-password", password)
    page.get_by_role("dialog").get_by_role("button", name="Sign in", exact=True).click()


def stored(page: Page) -> str:
    return str(
        page.evaluate(
            """async () => JSON.stringify([{...localStorage}, {...sessionStorage}, document.cookie,
              window.isSecureContext ? await caches.keys() : []])"""
        )
    )


def test_a_half_filled_form_waits_for_its_guardian_to_sign_in_again(portal):
    page = portal.page
    page.fill("[name=email]", TYPED)
    end_the_session(portal)
    assert page.evaluate("document.activeElement.id") == "over-password"
    assert page.input_value("#over-username") == "okafor22"
    assert page.get_attribute("#over-username", "readonly") is not None
    # Off the screen, and off paper too.
    assert not page.locator("main").is_visible()
    page.emulate_media(media="print")
    assert not page.locator("h1").is_visible()
    page.emulate_media(media="screen")
    for _ in range(3):
        page.keyboard.press("Escape")
    page.locator("dialog").wait_for(state="visible")
    assert not page.locator("main h1").is_visible()
    assert stored(page) == '[{},{},"",[]]'

    portal.session = (200, LATER)
    with page.expect_response(f"{ORIGIN}/session"):
        sign_in_again(portal, "Sunshine-42")
    page.locator("dialog").wait_for(state="hidden")
    assert page.locator("main h1").is_visible()
    assert page.input_value("[name=email]") == TYPED
    assert page.inner_text("#live").startswith("You are signed in again.")
    assert page.input_value("#over-password") == ""
    posted = portal.posted[-1]
    assert posted == f'{ORIGIN}/sign-in {{"username":"okafor22","password":"Sunshine-42"}}'


def test_a_refused_sign_in_says_why_and_the_form_goes_on_waiting(portal):
    page = portal.page
    page.fill("[name=email]", TYPED)
    end_the_session(portal)
    portal.signing_in = (401, {"detail": "No security authorization. Please log in."})
    sign_in_again(portal, "wrong")
    page.get_by_role("alert").get_by_text("No security authorization.").wait_for()
    assert page.input_value("#over-password") == ""
    portal.signing_in = (422, {"detail": "x", "errors": [{"detail": "Enter a password."}]})
    sign_in_again(portal, "")
    page.get_by_role("alert").get_by_text("Enter a password.").wait_for()
    assert page.locator("dialog").is_visible()
    assert page.input_value("[name=email]") == TYPED


def test_a_page_that_nobody_typed_into_leaves_the_screen(portal):
    portal.session = (401, gallery.IDLE_UNTIL)
    with portal.page.expect_navigation():
        portal.page.clock.run_for("31:00")


def test_a_form_sent_after_the_end_is_held_back_until_its_guardian_is_there(portal):
    """A laptop that slept: the button is pressed before anything noticed that time has passed."""
    page = portal.page
    page.fill("[name=email]", TYPED)
    page.clock.set_fixed_time(LATER)
    portal.session = (401, gallery.IDLE_UNTIL)
    page.locator("form[action='account/email'] .button").click()
    page.get_by_role("heading", name="Please sign in again").wait_for(state="visible")
    assert portal.posted == []
    assert page.input_value("[name=email]") == TYPED


def test_a_form_sent_while_another_tab_went_on_is_sent(portal):
    page = portal.page
    page.fill("[name=email]", TYPED)
    page.clock.set_fixed_time(LATER)
    portal.session = (200, LATER + timedelta(minutes=30))
    with page.expect_response(f"{ORIGIN}/account/email"):
        page.locator("form[action='account/email'] .button").click()
    assert "dolores.new%40example.net" in portal.posted[0]


def test_without_a_connection_the_warning_stays_and_the_form_with_it(portal):
    page = portal.page
    page.fill("[name=email]", TYPED)
    page.clock.run_for("28:10")
    page.locator("dialog").wait_for(state="visible")
    page.route("**/session", lambda route: route.abort())
    page.get_by_role("button", name="Stay signed in").click()
    assert page.input_value("[name=email]") == TYPED


def test_without_a_connection_a_form_is_not_sent_and_keeps_what_was_typed(portal):
    page = portal.page
    page.fill("[name=email]", TYPED)
    page.context.set_offline(True)
    for _ in range(2):
        page.locator("form[action='account/email'] .button").click()
        page.get_by_role("alert").get_by_text("We can’t reach the portal.").wait_for()
    assert page.locator("[data-note]").count() == 1
    assert portal.posted == []
    page.context.set_offline(False)
    with page.expect_request(f"{ORIGIN}/account/email"):
        page.locator("form[action='account/email'] .button").click()


# --- search in the help -------------------------------------------------------------------


def test_the_search_hides_what_doesnt_answer_while_typing(portal):
    page = portal.open("help", "es")
    every = page.locator("section[data-topic]").count()
    page.fill("#q", "INSCRIPCION continua")
    assert page.locator("section[data-topic]:visible").count() == 1
    assert page.locator("nav.contents li:visible").count() == 1
    page.clock.run_for(1300)
    assert page.inner_text("#live") == "Temas encontrados: 1."
    page.keyboard.press("Enter")
    assert page.evaluate("document.activeElement.id") == "enrollment"
    assert page.url.endswith("/help?lang=es")
    page.fill("#q", "cafetería")
    assert page.locator("section[data-topic]:visible").count() == 0
    assert page.locator("[data-nothing]").is_visible()
    page.fill("#q", "")
    assert page.locator("section[data-topic]:visible").count() == every
    assert not page.locator("[data-nothing]").is_visible()
