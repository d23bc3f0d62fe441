"""Help, the manifest and the service worker; and where a form leads whose session is over."""

import json
import re
from datetime import timedelta
from typing import Any

import pytest
import time_machine

from chalicelib import texts
from chalicelib.storage import district
from chalicelib.web import help_pages
from tests import factories
from tests.portal_client import HTML, PortalClient

# The guide's help documents, and the questions that its steps raise.
TOPICS = [
    "new-user",
    "student-number",
    "gtid",
    "last-four",
    "no-address",
    "recovery",
    "locked-out",
    "using",
    "phone",
    "contacts",
    "enrollment",
]


@pytest.fixture(autouse=True)
def monday(stage: object) -> Any:
    with time_machine.travel(factories.NOW, tick=False) as clock:
        yield clock


# --- help ---------------------------------------------------------------------------------


@pytest.mark.parametrize("language", texts.LANGUAGES)
def test_help_answers_each_of_the_guides_questions(portal: PortalClient, language: str) -> None:
    topics = portal.get(f"/help?lang={language}").json()["topics"]
    page = portal.get("/help", accept=HTML).text
    assert [topic["id"] for topic in topics] == TOPICS
    for topic in topics:
        assert set(topic) == {"id", "title", "text"}
        assert f'<section class="card" id="{topic["id"]}"' in page
        assert f'<a href="#{topic["id"]}">{topic["title"]}</a>' in page
        assert topic["title"] in page
        for sentence in topic["text"].split("\n"):
            assert sentence in page, sentence
            assert "{" not in sentence


def test_help_is_said_in_the_readers_language(portal: PortalClient) -> None:
    spanish = portal.get("/help", headers={"Accept-Language": "es"}).json()["topics"]
    assert spanish[0]["title"] == "Crear su cuenta"


@pytest.mark.parametrize(
    ("question", "found"),
    [
        ("GTID ten digits", ["gtid"]),
        ("transcript", ["student-number"]),
        ("iphone", ["phone"]),
        ("photo id", ["last-four", "no-address"]),
        ("  ", TOPICS),
        ("cafeteria", []),
    ],
)
def test_without_a_script_the_server_searches(
    portal: PortalClient, question: str, found: list[str]
) -> None:
    query = question.replace(" ", "+")
    topics = portal.get(f"/help?q={query}").json()["topics"]
    assert [topic["id"] for topic in topics] == found
    page = portal.get(f"/help?q={query}", accept=HTML).text
    assert re.findall(r'<section class="card" id="([\w-]+)"', page) == found
    assert ("No topic has these words." in page.partition("data-nothing>")[2]) == (not found)


def test_accents_and_case_dont_count(portal: PortalClient) -> None:
    asked = portal.get("/help?lang=es&q=INSCRIPCION+continua").json()["topics"]
    assert [topic["id"] for topic in asked] == ["enrollment"]


def test_a_question_comes_back_as_text_and_cut(portal: PortalClient) -> None:
    page = portal.get("/help?q=%22%3E%3Cscript%3Ealert(1)%3C/script%3E", accept=HTML).text
    assert "<script>alert" not in page
    assert "&lt;script&gt;alert(1)" in page
    long = portal.get("/help?q=" + "x" * 5000, accept=HTML).text
    assert f'value="{"x" * 100}"' in long


def test_help_tells_the_numbers_in_force(portal: PortalClient) -> None:
    district.save_preferences(
        {
            "forgot_username_limit": 7,
            "reset_link_minutes": 45,
            "session_idle_minutes": 20,
            "key_lifetime_days": 90,
            "password_min_length": 11,
        }
    )
    said = " ".join(topic["text"] for topic in portal.get("/help").json()["topics"])
    for shown in ("up to 7 times", "for 45 minutes", "after 20 minutes", "90 days", "least 11 "):
        assert shown in said, shown


def test_help_leads_to_the_ticket_form_or_to_the_school(portal: PortalClient) -> None:
    assert "please contact your child’s school" in portal.get("/help", accept=HTML).text
    district.save_preferences({"support_url": "https://help.example.org/tickets"})
    contact = portal.get("/help", accept=HTML).text.partition('id="contact"')[2]
    assert 'href="https://help.example.org/tickets"' in contact.partition("</section>")[0]


def test_whoever_is_signed_in_keeps_the_menu_and_moves_no_time(
    new_visitor: Any, monday: Any
) -> None:
    visitor = factories.signed_in(new_visitor, factories.account(factories.family()))
    until = visitor.get("/session").json()
    monday.shift(timedelta(minutes=10))
    page = visitor.get("/help", accept=HTML).text
    assert 'action="sign-out"' in page
    assert 'id="session-warning"' in page
    assert visitor.get("/session").json() == until
    monday.shift(timedelta(minutes=21))
    assert 'action="sign-out"' not in visitor.get("/help", accept=HTML).text


@pytest.mark.parametrize(
    ("path", "topics"),
    [
        ("/sign-in", ["recovery", "new-user"]),
        ("/activation-key", ["student-number", "last-four", "no-address"]),
        ("/activation-key?done", ["no-address"]),
        ("/forgot-password", ["recovery"]),
        ("/forgot-username", ["recovery"]),
    ],
)
def test_where_a_question_arises_a_link_leads_to_its_answer(
    portal: PortalClient, path: str, topics: list[str]
) -> None:
    page = portal.get(path, accept=HTML).text
    assert re.findall(r'href="help#([\w-]+)"', page) == topics
    assert set(topics) <= {topic.id for topic in help_pages.TOPICS}


# --- the manifest and the worker ----------------------------------------------------------


def test_the_manifest_makes_the_portal_installable(portal: PortalClient) -> None:
    district.save_preferences({"district_name": "Atlanta Public Schools"})
    answer = portal.get("/manifest.webmanifest?lang=es", accept="*/*")
    assert answer.header("content-type") == "application/manifest+json; charset=utf-8"
    told = json.loads(answer.text)
    assert told["name"] == "Atlanta Public Schools – Portal para Padres"
    assert 0 < len(told["short_name"]) <= 12
    assert (told["lang"], told["dir"], told["display"]) == ("es", "ltr", "standalone")
    assert told["description"]
    # Relative, so that the same manifest works below a stage's prefix and at a domain of its own.
    assert (told["start_url"], told["scope"]) == ("./", "./")
    assert {icon["purpose"] for icon in told["icons"]} == {"any", "maskable"}
    for icon in told["icons"]:
        picture = portal.get(f"/{icon['src']}")
        assert picture.header("content-type") == "image/svg+xml; charset=utf-8"
        assert picture.text.startswith("<svg ")


def test_the_worker_keeps_named_files_that_are_the_same_for_everybody(
    portal: PortalClient, new_visitor: Any
) -> None:
    answer = portal.get("/service-worker.js", accept="*/*")
    assert answer.header("content-type") == "text/javascript; charset=utf-8"
    kept = json.loads(re.search(r"const KEPT = (\[.*\]);", answer.text)[1])  # type: ignore[index]
    assert len(kept) == 4
    visitor = factories.signed_in(new_visitor, factories.account(factories.family()))
    assert visitor.get("/service-worker.js").text == answer.text
    for file in kept:
        assert re.fullmatch(r"static/[\w-]+\.[\w-]{12}\.(js|svg|html)", file)
        one, other = portal.get(f"/{file}"), visitor.get(f"/{file}")
        assert (one.status, one.text) == (200, other.text)
        assert one.header("cache-control") == "public, max-age=31536000, immutable"
    assert json.loads(re.search(r"const OFFLINE = (.*);", answer.text)[1]) in kept  # type: ignore[index]


def test_another_content_is_another_worker(
    portal: PortalClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    def version() -> str:
        return re.search(r'const VERSION = "(.*)";', portal.get("/service-worker.js").text)[1]  # type: ignore[index]

    before = version()
    script = texts.asset("portal.js")
    files = {name: file for name, file in texts._assets().items() if name != script}
    changed = {**files, "portal.abcdefghijkl.js": ("portal.js", "text/javascript", "")}
    monkeypatch.setattr(texts, "_assets", lambda: changed)
    texts.service_worker.cache_clear()
    try:
        assert version() != before
    finally:
        texts.service_worker.cache_clear()


@pytest.mark.parametrize("language", texts.LANGUAGES)
def test_the_offline_page_speaks_every_language(portal: PortalClient, language: str) -> None:
    page = portal.get(f"/static/{texts.asset('offline.html')}", accept="*/*")
    assert page.header("content-type") == "text/html; charset=utf-8"
    for key in ("offline.title", "offline.text", "offline.again"):
        assert texts.say(language, key) in page.text
    assert f'lang="{language}"' in page.text
    # It stands at any address, so no link of it may lead anywhere but there.
    assert set(re.findall(r'(?:href|src)="([^"]*)"', page.text)) == {"", "data:,"}


# --- a form that meets an ended session ---------------------------------------------------


@pytest.mark.parametrize(
    ("method", "path", "location"),
    [
        ("GET", "/students", "sign-in?next=%2Fstudents"),
        ("GET", "/", "./sign-in"),
        ("POST", "/session", "sign-in?next=%2Fsession&note=session-ended"),
        ("POST", "/account/password", "../sign-in?next=%2Faccount&note=session-ended"),
        ("POST", "/account/email", "../sign-in?next=%2Faccount&note=session-ended"),
        ("POST", "/account/sessions/end", "../../sign-in?next=%2Faccount&note=session-ended"),
    ],
)
def test_who_isnt_signed_in_comes_back_to_the_page_after_signing_in(
    portal: PortalClient, method: str, path: str, location: str
) -> None:
    answer = portal.request(method, path, accept=HTML)
    assert answer.status == 303
    assert (answer.header("location") or "").removeprefix("./") == location.removeprefix("./")


def test_a_form_that_was_lost_is_told_of(portal: PortalClient) -> None:
    page = portal.get("/sign-in?next=%2Faccount&note=session-ended", accept=HTML).text
    assert "If you sent a form just now, it was not saved." in page
    assert 'name="next" value="/account"' in page


def test_a_page_knows_whose_it_is(new_visitor: Any) -> None:
    visitor = factories.signed_in(new_visitor, factories.account(factories.family()))
    for path in ("/", "/students", "/account", "/session", "/help"):
        page = visitor.get(path, accept=HTML).text
        assert 'id="over-username" name="username" type="text" value="rosa1"' in page, path
