"""The language of a signed-in guardian, on every page of theirs and in all that is refused.

Contract section 2: the cookie, else the guardian's own language, else `Accept-Language`.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import pytest
import time_machine

from chalicelib import texts
from chalicelib.storage import district
from tests import factories
from tests.identity_provider import CLIENT, IdentityProvider
from tests.portal_client import HTML, Answer, PortalClient

pytestmark = pytest.mark.usefixtures("cheap_hashes")

Visitors = Callable[[], PortalClient]
ENGLISH = {"accept-language": "en-US,en;q=0.9"}
NOBODY = "A" * 20
PROOF = {"current_password": factories.PASSWORD}


@dataclass(frozen=True)
class Case:
    """A request of a signed-in guardian, and what it is answered with; `{own}` is their child's id."""

    method: str
    path: str
    status: int
    fields: dict[str, str] = field(default_factory=dict)

    def __str__(self) -> str:
        return f"{self.method} {self.path} {self.fields} {self.status}"


def get(path: str, status: int = 200) -> Case:
    return Case("GET", path, status)


def post(path: str, status: int, **fields: str) -> Case:
    return Case("POST", path, status, fields)


CASES = (
    get("/"),
    get("/students"),
    get("/students/{own}"),
    get("/students/{own}/schedule"),
    get("/students/{own}/attendance"),
    get("/students/{own}/grades"),
    get(f"/students/{NOBODY}", 404),
    get(f"/students/{NOBODY}/schedule", 404),
    get(f"/students/{NOBODY}/attendance", 404),
    get(f"/students/{NOBODY}/grades", 404),
    get("/students/{own}/grades?before=nonsense", 404),
    get("/household"),
    post("/household", 422),
    post("/household", 422, action="change", phone="1"),
    get("/enrollment"),
    post("/enrollment", 422),
    post("/enrollment", 422, student_id="{own}", answer="maybe"),
    post("/enrollment", 404, student_id=NOBODY, answer="returning"),
    get("/account"),
    post("/account/password", 422),
    post("/account/password", 422, current_password="wrong", password="a", verify_password="b"),
    post("/account/email", 422),
    post("/account/email", 422, email="nobody", **PROOF),
    post("/account/sessions/end", 422),
    post("/account/sso", 404, **PROOF),
    post("/account/sso/unlink", 404, **PROOF),
    get("/preferences"),
    post("/preferences", 422, language="xx"),
    get("/session"),
    get("/help"),
    get("/nowhere", 404),
    # Also where nothing of theirs is on the page.
    get("/sso", 404),
    get("/problems/nonsense", 404),
)
# What has no words of its own: an address to go on to, files, what is for everybody alike.
WORDLESS = {"/sign-out", "/sso/callback", "/status", "/static/{name}", "/service-worker.js"}
FOR_STRANGERS = {
    *("/activation-key", "/activate", "/create-account", "/sign-in", "/forgot-username"),
    *("/forgot-password", "/reset-password", "/confirm-email", "/not-me"),
    *("/manifest.webmanifest", "/openapi.json", "/problems/{code}"),
}


@pytest.fixture(autouse=True)
def monday(stage: object) -> Any:
    with time_machine.travel(factories.NOW, tick=False) as clock:
        yield clock


@dataclass(frozen=True)
class Reader:
    """A signed-in guardian with one child."""

    visitor: PortalClient
    child: factories.SomeStudent

    def ask(self, case: Case, accept: str) -> Answer:
        own = self.child.student_id
        how: dict[str, Any] = {"accept": accept, "headers": ENGLISH}
        path = case.path.replace("{own}", own)
        if case.method == "GET":
            return self.visitor.get(path, **how)
        fields = {name: value.replace("{own}", own) for name, value in case.fields.items()}
        return self.visitor.post(path, fields, form=True, **how)


def reader(new_visitor: Visitors, *, roster: str | None, chosen: str | None = None) -> Reader:
    """Return a guardian whose roster says one language, and who chose another on another device."""
    child = factories.student()
    who = factories.account(factories.guardian(child, language=roster))
    if chosen:
        elsewhere = factories.signed_in(new_visitor, who)
        assert elsewhere.post("/preferences", {"language": chosen}).status == 200
    return Reader(factories.signed_in(new_visitor, who), child)


def language(page: Answer) -> str:
    found = re.search(r'<html lang="(\w+)"', page.text)
    assert found, page.text
    return found[1]


def spoken(answer: Answer) -> str | None:
    """Return the language of a problem's sentences, None of what is no problem."""
    if answer.code is None:
        return None
    said = answer.json()["title"]
    return next(one for one in texts.LANGUAGES if texts.problem(one, answer.code)[0] == said)


def test_every_route_is_tried_or_has_no_words_for_the_signed_in(portal_app: Any) -> None:
    tried = {re.sub(r"\{own\}|A{20}", "{id}", case.path.partition("?")[0]) for case in CASES}
    tried |= {"/{proxy+}"}
    assert set(portal_app.routes) <= tried | WORDLESS | FOR_STRANGERS


@pytest.mark.parametrize(("roster", "chosen"), [("es-MX", None), ("en", "es")])
def test_a_spanish_guardian_reads_spanish_whatever_the_browser_asks_for(
    new_visitor: Visitors, roster: str | None, chosen: str | None
) -> None:
    rosa = reader(new_visitor, roster=roster, chosen=chosen)
    others = []
    for case in CASES:
        page = rosa.ask(case, HTML)
        assert page.status == case.status, (str(case), page.text)
        problem = rosa.ask(case, "application/json")
        if language(page) != "es" or spoken(problem) not in ("es", None):
            others.append(str(case))
    assert others == []


def test_a_refused_field_is_explained_in_the_guardians_language(new_visitor: Visitors) -> None:
    rosa = reader(new_visitor, roster="es")
    answer = rosa.ask(post("/household", 422, action="change"), "application/json")
    details = {one["field"]: one["detail"] for one in answer.json()["errors"]}
    assert details["comment"] == texts.field_error("es", "comment", "required", ())
    assert details["comment"] != texts.field_error("en", "comment", "required", ())


def test_what_is_refused_before_it_is_read_is_refused_in_the_guardians_language(
    new_visitor: Visitors,
) -> None:
    visitor = reader(new_visitor, roster="es").visitor
    for how, status in (
        ({"body": "x" * 20_000, "content_type": "application/json"}, 413),
        ({"body": "x", "content_type": "text/plain"}, 415),
        ({"body": "{", "content_type": "application/json"}, 400),
    ):
        page = visitor.request("POST", "/household", accept=HTML, headers=ENGLISH, **how)
        assert (page.status, language(page)) == (status, "es")
    elsewhere = {**ENGLISH, "sec-fetch-site": "cross-site"}
    page = visitor.request("POST", "/household", accept=HTML, headers=elsewhere)
    assert (page.status, language(page)) == (403, "es")


def test_the_way_to_the_identity_provider_is_told_in_the_guardians_language(
    new_visitor: Visitors,
) -> None:
    provider = IdentityProvider().start()
    district.save_preferences({"sso_issuer": provider.issuer, "sso_client_id": CLIENT})
    rosa = reader(new_visitor, roster="es")
    for case in (
        post("/account/sso", 200, **PROOF),
        post("/account/sso", 422),
        post("/account/sso/unlink", 422),
        get("/sso/callback?state=nonsense", 403),
    ):
        page = rosa.ask(case, HTML)
        assert (page.status, language(page)) == (case.status, "es"), str(case)
    provider.stop()


def test_the_other_guardian_has_no_name_in_the_guardians_language(new_visitor: Visitors) -> None:
    rosa = reader(new_visitor, roster="es")
    juan = factories.guardian(rosa.child, email="juan@example.com", household="h2", language="en")
    other = factories.signed_in(new_visitor, factories.account(juan, username="Juan1"))
    said = {"student_id": rosa.child.student_id, "answer": "returning"}
    assert other.post("/enrollment", said).status == 200
    (entry,) = rosa.ask(get("/enrollment"), "application/json").json()["students"]
    assert entry["answered_by"] == texts.say("es", "enrollment.another")
    assert entry["answered_by"] != texts.say("en", "enrollment.another")


def test_a_language_chosen_in_the_browser_goes_before_the_guardians(new_visitor: Visitors) -> None:
    rosa = reader(new_visitor, roster="es")
    assert language(rosa.visitor.get("/account?lang=en", accept=HTML)) == "en"
    for case in CASES:
        page, problem = rosa.ask(case, HTML), rosa.ask(case, "application/json")
        assert language(page) == "en", str(case)
        assert spoken(problem) in ("en", None), str(case)


@pytest.mark.parametrize("roster", ["en", "fr", None])
def test_a_guardian_of_another_language_reads_what_the_browser_asks_for_or_english(
    new_visitor: Visitors, roster: str | None
) -> None:
    rosa = reader(new_visitor, roster=roster)
    how: dict[str, Any] = {"accept": HTML, "headers": {"accept-language": "es"}}
    expected = "en" if roster == "en" else "es"
    for path, status in (("/account", 200), ("/session", 200), (f"/students/{NOBODY}", 404)):
        page = rosa.visitor.get(path, **how)
        assert (page.status, language(page)) == (status, expected)


def test_who_is_not_signed_in_any_more_reads_what_the_browser_asks_for(
    new_visitor: Visitors, aws_calls: list[tuple[str, str, str]]
) -> None:
    rosa = reader(new_visitor, roster="es")
    carried = dict(rosa.visitor.cookies)
    assert rosa.visitor.post("/sign-out").status == 204
    rosa.visitor.cookies = carried
    assert spoken(rosa.ask(get("/account", 401), "application/json")) == "en"
    assert language(rosa.ask(get("/nowhere", 404), HTML)) == "en"
    rosa.visitor.cookies = {}
    aws_calls.clear()
    assert language(rosa.ask(get("/nowhere", 404), HTML)) == "en"
    assert aws_calls == []
