"""Chromium, and a stand-in for the portal that serves the gallery: for tests that need no stack."""

import json
import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, ConsoleMessage, Page, Route, sync_playwright

from chalicelib import texts
from chalicelib.web import http
from tests import gallery
from tests.gallery import IDLE_UNTIL, STATES

CHROMIUM = Path("/usr/bin/chromium")
# Where every page is to be left as a picture, for a person to look at. Then axe judges each page in
# every setting; in a usual run each setting comes once, as no rule of axe's depends on two of them.
PICTURES = os.environ.get("PARENT_PORTAL_PICTURES")
NEEDS_CHROMIUM = [
    pytest.mark.browser,
    pytest.mark.skipif(not CHROMIUM.exists(), reason="no Chromium at /usr/bin/chromium"),
]
ARGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
RULES = [
    "wcag2a",
    "wcag2aa",
    "wcag21a",
    "wcag21aa",
    "wcag22aa",
    "best-practice",
]
ORIGIN = "http://portal.localhost"


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=os.fspath(CHROMIUM), args=ARGS)
        yield browser
        browser.close()


def take_picture(page: Page, name: str) -> None:
    """Leave the whole page as a picture, if pictures are asked for."""
    if PICTURES:
        page.screenshot(path=Path(PICTURES) / f"{name}.png", full_page=True)


class Portal:
    """A stand-in for the portal: it serves the gallery with the portal's own headers."""

    def __init__(self, page: Page) -> None:
        self.page = page
        self.console: list[str] = []
        self.posted: list[str] = []
        self.session = (200, IDLE_UNTIL)
        self.signing_in: tuple[int, dict[str, object]] = (200, {"username": "okafor22"})
        page.on("console", self._noted)
        page.on("pageerror", lambda error: self.console.append(str(error)))
        page.route("**/*", self.serve)

    def _noted(self, message: ConsoleMessage) -> None:
        # A worker asks for its script past the page, where nobody answers here.
        if message.text != "An unknown error occurred when fetching the script.":
            self.console.append(message.text)

    def open(self, name: str, language: str = "en") -> Page:
        self.page.goto(f"{ORIGIN}/{name}?lang={language}")
        return self.page

    def serve(self, route: Route) -> None:
        path, _, query = route.request.url.removeprefix(f"{ORIGIN}/").partition("?")
        headers = http.security_headers()
        if route.request.method == "POST":
            self.posted.append(route.request.url + " " + (route.request.post_data or ""))
        if path.startswith("static/"):
            kind, body = texts.asset_body(path.removeprefix("static/")) or ("", "")
            route.fulfill(body=body, headers={**headers, "Content-Type": kind})
        elif path == "session" and "application/json" in route.request.headers["accept"]:
            status, idle_until = self.session
            times = {"idle_until": idle_until.isoformat(), "ends_at": gallery.ENDS_AT.isoformat()}
            said = json.dumps(times)
            answered = status if route.request.method == "GET" or status != 200 else 204
            route.fulfill(status=answered, body="" if answered == 204 else said)
        elif path == "sign-in" and "application/json" in route.request.headers["accept"]:
            status, body = self.signing_in
            route.fulfill(status=status, body=json.dumps(body))
        elif path in STATES:
            html = gallery.render(STATES[path], query.removeprefix("lang=")[:2] or "en")
            kind = "text/html; charset=utf-8"
            route.fulfill(body=html, headers={**headers, "Content-Type": kind})
        else:
            route.fulfill(status=404, body="")
