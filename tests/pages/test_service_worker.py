"""The service worker in a browser: an offline page, its own files, and nothing else kept."""

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, Page

from chalicelib import texts
from chalicelib.web import http
from tests import gallery
from tests.chromium import CHROMIUM, RULES
from tests.chromium import browser as browser  # noqa: PLC0414 - the fixture

pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(not CHROMIUM.exists(), reason="no Chromium at /usr/bin/chromium"),
]
# Below a prefix, as on a stage's own address.
PREFIX = "/api/"
READY = "async () => { await navigator.serviceWorker.ready; }"
KEPT = """async () => {
  const found = {};
  for (const name of await caches.keys()) {
    const cache = await caches.open(name);
    found[name] = (await cache.keys()).map((one) => new URL(one.url).pathname).sort();
  }
  return found;
}"""


class Server:
    """The gallery behind the portal's headers, on localhost: a worker asks past `page.route`."""

    def __init__(self, port: int = 0) -> None:
        self.asked: list[str] = []
        self.worker = texts.service_worker()
        portal = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                path = self.path.partition("?")[0].removeprefix(PREFIX)
                portal.asked.append(path)
                kind, body = portal.answer(path)
                self.send_response(200 if kind else 404)
                for name, value in {**http.security_headers(), "Content-Type": kind}.items():
                    self.send_header(name, value)
                self.send_header("Cache-Control", "no-store")
                self.end_headers()
                self.wfile.write(body.encode())

            def log_message(self, *_: object) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", port), Handler)
        self.origin = f"http://localhost:{self.server.server_port}"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def answer(self, path: str) -> tuple[str, str]:
        if path == "service-worker.js":
            return "text/javascript; charset=utf-8", self.worker
        if path.startswith("static/"):
            return texts.asset_body(path.removeprefix("static/")) or ("", "")
        if path == "session":
            return "application/json", json.dumps({"idle_until": "2099-01-01T00:00:00Z"})
        if path in gallery.STATES:
            # The relative way to the root is that of one folder, as for every page but a deep one.
            return "text/html; charset=utf-8", gallery.render(gallery.STATES[path], "en")
        return "", ""

    def stop(self) -> None:
        self.server.shutdown()
        self.server.server_close()


@pytest.fixture
def server() -> Iterator[Server]:
    server = Server()
    yield server
    server.stop()


@pytest.fixture
def page(browser: Browser) -> Iterator[Page]:
    context = browser.new_context(viewport={"width": 320, "height": 640})
    yield context.new_page()
    context.close()


def install(page: Page, server: Server) -> None:
    page.goto(server.origin + PREFIX + "home")
    page.evaluate(READY)
    page.wait_for_function("navigator.serviceWorker.controller !== null")


def files() -> list[str]:
    return sorted(
        f"{PREFIX}static/{texts.asset(name)}"
        for name in ("icon-maskable.svg", "icon.svg", "offline.html", "portal.js")
    )


def test_without_a_connection_a_page_says_so_at_the_address_that_was_asked_for(page, server):
    complaints: list[str] = []
    install(page, server)
    page.on("pageerror", lambda error: complaints.append(str(error)))
    server.stop()
    page.goto(server.origin + PREFIX + "students/4vK2mQ8r/grades")
    assert page.inner_text("h1") == "No connection"
    assert "Sin conexión" in page.inner_text("main")
    assert page.url.endswith("/students/4vK2mQ8r/grades")
    # The style is the one that the policy names, so the page looks like ours.
    assert page.evaluate("getComputedStyle(document.querySelector('.button')).fontWeight") == "600"
    result = Axe().run(page, options={"runOnly": {"type": "tag", "values": RULES}})
    assert result.response["violations"] + result.response["incomplete"] == []
    assert page.evaluate("document.documentElement.scrollWidth") <= 320
    assert "Okafor" not in page.content()
    with page.expect_navigation():
        page.get_by_role("link", name="Try again").click()
    assert page.url.endswith("/students/4vK2mQ8r/grades")
    assert complaints == []


def test_the_cache_holds_the_portals_files_and_no_page_and_no_answer(page, server):
    install(page, server)
    for path in ("home", "students", "account", "home"):
        page.goto(server.origin + PREFIX + path)
        page.evaluate("fetch('session', {headers: {Accept: 'application/json'}})")
    (kept,) = page.evaluate(KEPT).values()
    assert kept == files()
    held = page.evaluate(
        """async () => (await Promise.all((await caches.keys()).map(async (name) => {
          const cache = await caches.open(name);
          const answers = await Promise.all((await cache.keys()).map((one) => cache.match(one)));
          return (await Promise.all(answers.map((one) => one.text()))).join();
        }))).join()"""
    )
    for personal in ("Okafor", "Amara", "0041277", "okafor22"):
        assert personal not in held
    assert server.asked.count("home") == 3
    assert server.asked.count("session") == 4


def test_a_page_is_always_the_servers_and_the_script_comes_from_the_device(page, server):
    install(page, server)
    server.asked.clear()
    page.goto(server.origin + PREFIX + "students")
    assert page.inner_text("h1") == "Students"
    assert "students" in server.asked
    assert f"static/{texts.asset('portal.js')}" not in server.asked


def test_a_new_version_takes_over_and_clears_the_old_ones_files(page, server):
    install(page, server)
    (old,) = page.evaluate(KEPT)
    server.worker = server.worker.replace(old, "parent-portal-another")
    page.evaluate("navigator.serviceWorker.getRegistration().then((one) => one.update())")
    page.evaluate(
        """async (old) => { while ((await caches.keys()).includes(old)) {
          await new Promise((on) => setTimeout(on, 50)); } }""",
        old,
    )
    assert list(page.evaluate(KEPT)) == ["parent-portal-another"]


def test_the_first_page_is_spared_the_worker(page, server):
    page.goto(server.origin + PREFIX + "sign-in")
    page.wait_for_load_state("networkidle")
    assert [one for one in server.asked if one != "favicon.ico"] == [
        "sign-in",
        f"static/{texts.asset('portal.js')}",
    ]
