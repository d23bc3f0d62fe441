"""Every page in every state in a browser: axe, reflow, targets, and what the script adds."""

import itertools
from collections.abc import Iterator

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser

from chalicelib import texts
from tests import gallery
from tests.chromium import NEEDS_CHROMIUM, ORIGIN, PICTURES, RULES, Portal, take_picture
from tests.chromium import browser as browser  # noqa: PLC0414 - the fixture
from tests.gallery import IDLE_UNTIL, KEY, STATES

pytestmark = NEEDS_CHROMIUM
# WCAG 1.4.12: text must stay readable when a reader spaces it like this.
SPACING = "* {line-height: 1.5 !important; letter-spacing: .12em !important; word-spacing: .16em !important} p {margin-bottom: 2em !important}"  # noqa: E501


@pytest.fixture
def portal(browser: Browser) -> Iterator[Portal]:
    context = browser.new_context(viewport={"width": 360, "height": 740})
    yield Portal(context.new_page())
    context.close()


USUAL = [("en", "light", 360), ("es", "dark", 360)]
EVERY = list(itertools.product(texts.LANGUAGES, ("light", "dark"), (320, 1280)))


@pytest.mark.parametrize(("language", "scheme", "width"), EVERY if PICTURES else USUAL)
def test_axe_finds_nothing_on_any_page_in_any_state(browser, language, scheme, width):
    context = browser.new_context(viewport={"width": width, "height": 740}, color_scheme=scheme)
    portal = Portal(context.new_page())
    found = {}
    for name in STATES:
        page = portal.open(name, language)
        take_picture(page, f"state-{name}-{language}-{width}-{scheme}")
        result = Axe().run(page, options={"runOnly": {"type": "tag", "values": RULES}})
        wrong = result.response["violations"] + result.response["incomplete"]
        if wrong:
            found[name] = [
                (one["id"], one["nodes"][0]["html"], one["nodes"][0].get("failureSummary"))
                for one in wrong
            ]
    context.close()
    assert found == {}
    assert portal.console == []


# Spanish words are the longer ones.
@pytest.mark.parametrize("language", ["es"])
@pytest.mark.parametrize("style", [SPACING, "html {font-size: 200%}"], ids=["spaced", "doubled"])
def test_nothing_scrolls_sideways_at_320_pixels_however_text_is_set(browser, language, style):
    context = browser.new_context(viewport={"width": 320, "height": 640}, bypass_csp=True)
    portal = Portal(context.new_page())
    wide = {}
    for name in STATES:
        page = portal.open(name, language)
        page.add_style_tag(content=style)
        width = page.evaluate("document.documentElement.scrollWidth")
        if width > 320:
            wide[name] = width
    context.close()
    assert wide == {}


@pytest.mark.parametrize("language", texts.LANGUAGES)
def test_the_menu_of_a_small_phone_takes_two_rows_and_signing_out_is_beside_the_child(
    portal, language
):
    portal.page.set_viewport_size({"width": 320, "height": 640})
    for name in ("home", "account", "household", "student-schedule"):
        page = portal.open(name, language)
        menu = page.locator(".tools nav").first.locator("a")
        assert len({link.bounding_box()["y"] for link in menu.all()}) == 2, name
        switch, leave = page.locator(".switch summary"), page.locator(".tools .plain")
        if switch.count():
            beside = switch.bounding_box()
            assert leave.bounding_box()["y"] < beside["y"] + beside["height"], name


def test_on_paper_a_page_is_its_content_alone(portal):
    portal.page.emulate_media(media="print", color_scheme="dark")
    for name in ("home", "students", "account", "help-signed-in"):
        page = portal.open(name)
        for part in ("nav", "footer", "form", ".skip", "dialog"):
            assert page.locator(f"{part}:visible").count() == 0, (name, part)
        assert page.locator("h1").is_visible()
        assert page.evaluate("getComputedStyle(document.body).color") == "rgb(0, 0, 0)"
        assert page.evaluate("getComputedStyle(document.body).backgroundColor") == (
            "rgb(255, 255, 255)"
        )


def test_buttons_and_fields_are_big_enough_for_a_thumb(portal):
    small = {}
    for name in STATES:
        page = portal.open(name, "es")
        sizes = page.evaluate(
            """() => [...document.querySelectorAll(
                'button, .button, input:not([type=hidden]), summary, nav a')]
              .filter((one) => one.checkVisibility())
              .map((one) => [one.outerHTML, one.getBoundingClientRect().height,
                             parseFloat(getComputedStyle(one).fontSize)])"""
        )
        low = [html for html, height, _ in sizes if height < 44]
        tiny = [html for html, _, font in sizes if html.startswith("<input") and font < 16]
        if low or tiny:
            small[name] = low + tiny
    assert small == {}


def test_the_keyboard_reaches_every_control_and_shows_where_it_is(portal):
    page = portal.open("create-account")
    reached = []
    for _ in range(30):
        page.keyboard.press("Tab")
        name, outline = page.evaluate(
            """() => { const one = document.activeElement;
              return [one.id || one.name || one.textContent.trim(),
                      parseFloat(getComputedStyle(one).outlineWidth)]; }"""
        )
        if reached and name == reached[0]:
            break
        assert outline >= 2, name
        reached.append(name)
    controls = ["username", "password", "Show", "verify_password", "Show", "Create Account"]
    assert [name for name in reached if name in controls] == controls
    assert reached[0] == "Skip to main content"


def test_a_refused_form_puts_the_reader_at_the_summary_which_leads_to_the_field(portal):
    page = portal.open("create-account-wrong")
    assert page.evaluate("document.activeElement.id") == "errors"
    page.click("#errors a[href='#verify_password']")
    assert page.evaluate("document.activeElement.id") == "verify_password"


def test_a_password_is_shown_and_hidden_and_sent_as_a_password(portal):
    page = portal.open("sign-in")
    page.fill("#password", "Sunshine-42")
    page.click("[data-reveal=password]")
    assert page.get_attribute("#password", "type") == "text"
    assert page.get_attribute(".reveal", "aria-label") == "Hide password"
    assert page.inner_text("#live") == "Your password is visible."
    page.evaluate(
        """() => document.querySelector('form[action=sign-in]').addEventListener('submit', (e) => {
          e.preventDefault(); window.sentAs = document.getElementById('password').type; })"""
    )
    page.click("form[action=sign-in] .button")
    assert page.evaluate("window.sentAs") == "password"
    assert page.input_value("#password") == "Sunshine-42"


def test_rules_are_ticked_while_typing_and_said_once_typing_pauses(portal):
    portal.page.clock.install()
    page = portal.open("create-account")
    page.fill("#username", "okafor22")
    page.fill("#password", "a1")
    page.clock.run_for(1300)
    assert page.locator(".met").all_inner_texts() == [
        "have at least one letter and one number",
        "not contain your username",
    ]
    assert page.inner_text("#live") == "Password rules left: 1"
    page.fill("#password", "my-OKAFOR22")
    assert "not contain your username" not in page.locator(".met").all_inner_texts()
    page.fill("#password", "blue-Kite-77")
    page.clock.run_for(1300)
    assert page.inner_text("#live") == "Your password meets these rules."


def test_a_key_is_copied_whole_and_pasted_whole(portal):
    portal.page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    page = portal.open("activation-key-shown")
    page.click("[data-copy]")
    page.locator("#live", has_text="Copied").wait_for(state="attached")
    portal.open("activate")
    page.focus("#activation_key")
    page.keyboard.press("Control+V")
    assert page.input_value("#activation_key") == KEY


def test_a_key_typed_without_dashes_is_grouped_when_the_box_is_left(portal):
    page = portal.open("activate")
    page.fill("#activation_key", KEY.replace("-", " ").lower())
    page.focus("button.button")
    assert page.input_value("#activation_key") == KEY


def test_without_a_script_nothing_is_offered_that_needs_one(browser):
    context = browser.new_context(java_script_enabled=False)
    portal = Portal(context.new_page())
    for name in ("sign-in", "create-account", "activation-key-shown", "home"):
        page = portal.open(name)
        assert not page.locator("[data-reveal]:visible, [data-copy]:visible").count()
        assert not page.locator("dialog:visible").count()
    context.close()


# --- the end of the session ---------------------------------------------------


@pytest.fixture
def signed_in(portal: Portal) -> Portal:
    portal.page.clock.install(time=gallery.NOW)
    portal.open("home")
    return portal


def test_two_minutes_before_the_end_a_dialog_offers_to_stay(signed_in):
    page = signed_in.page
    page.clock.run_for("27:00")
    assert not page.locator("dialog").is_visible()
    page.clock.run_for("01:10")
    page.locator("dialog").wait_for(state="visible")
    assert page.evaluate("document.activeElement.textContent") == "Stay signed in"
    signed_in.session = (200, gallery.ENDS_AT)
    page.keyboard.press("Enter")
    page.locator("dialog").wait_for(state="hidden")
    assert signed_in.posted == [f"{ORIGIN}/session {{}}"]


def test_no_dialog_where_another_tab_went_on(signed_in):
    signed_in.session = (200, gallery.ENDS_AT)
    with signed_in.page.expect_response(f"{ORIGIN}/session"):
        signed_in.page.clock.run_for("29:00")
    assert not signed_in.page.locator("dialog").is_visible()


def test_an_ended_session_takes_the_page_off_the_screen(signed_in):
    signed_in.session = (401, IDLE_UNTIL)
    with signed_in.page.expect_navigation():
        signed_in.page.clock.run_for("31:00")


def test_a_wrong_clock_on_the_device_does_not_matter(portal):
    portal.page.clock.install(time="2031-01-01T00:00:00Z")
    portal.open("home")
    portal.page.clock.run_for("27:00")
    assert not portal.page.locator("dialog").is_visible()
    portal.page.clock.run_for("01:10")
    portal.page.locator("dialog").wait_for(state="visible")
