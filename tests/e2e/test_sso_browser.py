"""Single sign-on in a browser, against a real provider: npm's `oidc-provider`, run on this machine."""

import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, Page, sync_playwright

import local
from local import LocalStack
from tests.chromium import ARGS, CHROMIUM, RULES
from tests.e2e.conftest import District, free_port, wait_for_mail
from tests.e2e.test_journey_browser import PASSWORD, make_account

HERE = Path(__file__).parent
MODULES = HERE.parent.parent / ".local-tools" / "oidc-provider" / "node_modules"
NODE = shutil.which("node")
pytestmark = [
    pytest.mark.e2e,
    pytest.mark.browser,
    pytest.mark.skipif(not CHROMIUM.exists(), reason="no Chromium at /usr/bin/chromium"),
    pytest.mark.skipif(NODE is None, reason="no node"),
    pytest.mark.skipif(not MODULES.exists(), reason="no oidc-provider (make oidc-provider)"),
]


def url_of(stack: LocalStack) -> str:
    return f"http://{local.HOST}:{stack.port}/"


@pytest.fixture
def page() -> Iterator[Page]:
    with sync_playwright() as playwright:
        browser: Browser = playwright.chromium.launch(
            executable_path=os.fspath(CHROMIUM), args=ARGS
        )
        page = browser.new_context(locale="en-US").new_page()
        page.set_default_timeout(20_000)
        yield page
        browser.close()


@pytest.fixture
def issuer(stack: LocalStack) -> Iterator[str]:
    """Give a running provider's issuer, which the district has configured."""
    port = free_port()
    command = [str(NODE), HERE / "oidc-provider" / "provider.js", MODULES.resolve(), str(port)]
    process = subprocess.Popen(
        [*command, f"{url_of(stack)}sso/callback"],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    assert process.stdout is not None
    try:
        assert any(line.strip() == "ready" for line in process.stdout)
        issuer = f"http://127.0.0.1:{port}"
        preferences = {"sso_issuer": issuer, "sso_client_id": "parent-portal"}
        assert "error" not in stack.invoke("set_preferences", preferences)
        yield issuer
    finally:
        stack.invoke("set_preferences", {"sso_issuer": None, "sso_client_id": None})
        process.terminate()
        process.wait()
        process.stdout.close()


def sign_in_there(page: Page, issuer: str) -> None:
    """Sign in at the provider's own page, and agree to what it asks."""
    page.wait_for_url(f"{issuer}/**")
    page.fill("input[name=login]", "rosa@staff.example.org")
    page.fill("input[name=password]", "the provider's own")
    page.click("button[type=submit]")
    page.get_by_role("button", name="Continue").click()


def test_a_parent_links_the_districts_sign_on_and_comes_back_by_it(
    stack: LocalStack, district: District, issuer: str, page: Page
) -> None:
    email = str(district.family.guardians[0].email)
    make_account(stack, email, "single1")
    home = url_of(stack)
    # A container keeps preferences for some seconds.
    while "Log in with SSO" not in (page.goto(f"{home}sign-in") and page.inner_text("main")):
        page.wait_for_timeout(1000)
    page.fill("#username", "single1")
    page.fill("#password", PASSWORD)
    page.click("form[action=sign-in] button.button")
    page.wait_for_url(home)

    before = len(stack.mails())
    page.goto(f"{home}account")
    page.fill("#sso-current_password", PASSWORD)
    page.get_by_role("button", name="Link single sign-on").click()
    sign_in_there(page, issuer)
    page.wait_for_url(f"{home}account?note=sso-linked")
    assert "Single sign-on is linked" in page.inner_text("main")
    assert not Axe().run(page, options={"runOnly": RULES}).response["violations"]
    wait_for_mail(stack, email, after=before, saying="Single sign-on was linked")

    page.get_by_role("button", name="Sign out").click()
    page.wait_for_url(f"{home}sign-in?note=signed-out")
    # Still signed in at the provider: one tap is all.
    page.get_by_role("link", name="Log in with SSO").click()
    page.wait_for_url(home)
    assert "Sign out" in page.inner_text("header")

    page.get_by_role("button", name="Sign out").click()
    page.wait_for_url(f"{home}sign-in?note=signed-out")
    # Who follows a link without a session lands there.
    page.goto(f"{home}household")
    page.get_by_role("link", name="Log in with SSO").click()
    page.wait_for_url(f"{home}household")

    page.goto(f"{home}account")
    page.fill("#sso-current_password", PASSWORD)
    page.get_by_role("button", name="Unlink single sign-on").click()
    page.wait_for_url(f"{home}account?note=sso-unlinked")
    page.get_by_role("button", name="Sign out").click()
    page.get_by_role("link", name="Log in with SSO").click()
    page.wait_for_url(f"{home}sso/callback?**")
    assert page.inner_text("h1") == "Single sign-on opened no account"
