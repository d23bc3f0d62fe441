"""What every request meets: faces, languages, headers, bodies read strictly, other sites refused."""

import json
from typing import Any

import pytest

from chalicelib import errors, settings, texts
from chalicelib.storage import district
from tests import factories
from tests.portal_client import FORM, HTML, JSON, Answer, PortalClient

POSTS = ["/activation-key", "/activate", "/create-account", "/sign-in", "/sign-out", "/session"]
PAGES = ["/activation-key", "/activate", "/sign-in", "/activation-key?done"]


@pytest.fixture(autouse=True)
def _stage(stage: object) -> None:
    pass


# --- bodies -------------------------------------------------------------------


def send(portal: PortalClient, path: str, body: str, kind: str | None, **how: Any) -> Answer:
    return portal.request("POST", path, body=body, content_type=kind, **how)


@pytest.mark.parametrize("accept", [JSON, HTML])
@pytest.mark.parametrize("path", POSTS)
@pytest.mark.parametrize(
    ("bad", "said"),
    [
        (("{", JSON), (400, "malformed")),
        (("[]", JSON), (400, "malformed")),
        (('"text"', JSON), (400, "malformed")),
        (("\ufeff{}", JSON), (400, "malformed")),
        (("[" * 9000, JSON), (400, "malformed")),
        (('{"username": NaN}', JSON), (400, "malformed")),
        (('{"username": -Infinity}', JSON), (400, "malformed")),
        (('{"username": "\\ud800"}', JSON), (400, "malformed")),
        (('{"username": "a\ufffd"}', JSON), (400, "malformed")),
        (("username=%ff", FORM), (400, "malformed")),
        (("username=a\ufffd", FORM), (400, "malformed")),
        (("&".join(f"f{i}=1" for i in range(5000))[:16000], FORM), (400, "malformed")),
        ((json.dumps({f"f{i}": 1 for i in range(900)}), JSON), (400, "malformed")),
        (("a=" + "x" * 17 * 1024, FORM), (413, "too-large")),
        (("{}", "text/plain"), (415, "unsupported-media-type")),
        (("{}", "multipart/form-data; boundary=x"), (415, "unsupported-media-type")),
        (("{}", ""), (415, "unsupported-media-type")),
        (("{}", None), (415, "unsupported-media-type")),
    ],
)
def test_a_body_that_cant_be_read_is_refused_in_our_form(
    portal: PortalClient, path: str, bad: tuple[str, str | None], said: tuple[int, str], accept: str
) -> None:
    answer = send(portal, path, *bad, accept=accept)
    assert answer.status == said[0]
    if accept == JSON:
        assert answer.code == said[1]
    else:
        assert answer.header("content-type") == "text/html; charset=utf-8"


@pytest.mark.parametrize("value", [["a"], {"a": 1}, 7, True, 1.5, "a\x00b"])
@pytest.mark.parametrize(
    ("path", "field"),
    [
        ("/activation-key", "student_number"),
        ("/activation-key", "ssn_last4"),
        ("/activate", "activation_key"),
        ("/create-account", "activation_key"),
        ("/sign-in", "username"),
    ],
)
def test_a_field_of_the_wrong_type_is_named(
    portal: PortalClient, path: str, field: str, value: object
) -> None:
    answer = portal.post(path, {field: value})
    assert (answer.status, answer.code) == (422, "invalid")
    assert (field, "format") in [(e["field"], e["code"]) for e in answer.json()["errors"]]


def test_unknown_fields_are_ignored_and_the_last_of_two_counts(portal: PortalClient) -> None:
    who = factories.account(factories.family(), now=factories.datetime.now(factories.UTC))
    body = f'{{"state":"active","username":"x","username":"Rosa1","password":"{who.password}"}}'
    assert send(portal, "/sign-in", body, JSON).status == 200
    form = f"state=active&username=x&username=Rosa1&password={who.password.replace(' ', '+')}"
    assert send(portal, "/sign-in", form, FORM).status == 200


def test_a_charset_beside_the_content_type_is_fine(portal: PortalClient) -> None:
    answer = send(portal, "/sign-in", "username=a&password=b", FORM + "; charset=UTF-8")
    assert answer.code == "sign-in-failed"


@pytest.mark.parametrize("kind", ["text/xml", "application/xml; q", "nonsense"])
def test_what_a_get_says_of_a_body_that_it_hasnt_is_ignored(
    portal: PortalClient, kind: str
) -> None:
    for path in ("/sign-in", "/status", "/problems/invalid", "/openapi.json"):
        answer = portal.get(path, headers={"Content-Type": kind})
        assert answer.status == 200, path
        assert answer.header("content-security-policy"), path


# --- other sites --------------------------------------------------------------


@pytest.mark.parametrize("path", POSTS)
@pytest.mark.parametrize(
    "headers",
    [
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
        {"Sec-Fetch-Site": ""},
        {"Origin": "https://evil.example"},
        {"Origin": "http://portal.localhost.evil.example"},
        {"Origin": "http://portal.localhost:4566.evil.example"},
        {"Origin": "null"},
        {"Origin": "http://portal.localhost:4567"},
        {"Sec-Fetch-Site": "cross-site", "Origin": "http://portal.localhost:4566"},
    ],
)
def test_a_post_of_another_site_is_refused(
    portal: PortalClient, path: str, headers: dict[str, str]
) -> None:
    answer = portal.post(path, {}, headers=headers)
    assert (answer.status, answer.code) == (403, "cross-site")


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"Sec-Fetch-Site": "same-origin"},
        {"Sec-Fetch-Site": "none"},
        {"Origin": "http://portal.localhost:4566"},
        {"Sec-Fetch-Site": "same-origin", "Origin": "null"},
    ],
)
def test_our_own_posts_pass(portal: PortalClient, headers: dict[str, str]) -> None:
    assert portal.post("/sign-out", {}, headers=headers).status == 204


def test_on_a_real_stage_the_hosts_own_origin_counts_for_nothing(
    portal: PortalClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(settings, "STAGE", "prod")
    monkeypatch.setenv("PORTAL_URL", "https://portal.district.example/")
    ours = {"Origin": "https://portal.district.example"}
    forged = {"Origin": "https://evil.example", "Host": "evil.example"}
    assert portal.post("/sign-out", {}, headers=ours).status == 204
    assert portal.post("/sign-out", {}, headers=forged).code == "cross-site"


# --- headers ------------------------------------------------------------------


@pytest.mark.parametrize(
    ("method", "path"),
    [("GET", p) for p in ("/", "/students", "/session", "/status", "/nowhere", *PAGES)]
    + [("POST", p) for p in (*POSTS, "/nowhere")]
    + [("GET", "/problems/invalid"), ("GET", "/problems/none"), ("GET", "/static/none.js")],
)
@pytest.mark.parametrize("accept", [JSON, HTML])
def test_every_answer_has_the_security_headers(
    portal: PortalClient, method: str, path: str, accept: str
) -> None:
    answer = portal.request(method, path, accept=accept)
    policy = answer.header("content-security-policy") or ""
    for part in (
        "default-src 'none'",
        "script-src 'self'",
        "object-src 'none'",
        "base-uri 'none'",
        "form-action 'self'",
        "manifest-src 'self'",
        "frame-ancestors 'none'",
    ):
        assert part in policy
    assert "unsafe" not in policy
    assert answer.header("strict-transport-security") == "max-age=31536000; includeSubDomains"
    assert answer.header("x-content-type-options") == "nosniff"
    assert answer.header("referrer-policy") == "strict-origin"
    assert answer.header("permissions-policy")
    assert answer.header("cross-origin-opener-policy") == "same-origin"
    assert answer.header("cache-control") == "no-store"
    assert "charset=utf-8" in (answer.header("content-type") or "")
    assert not [name for name in answer.headers if name.startswith("access-control-")]


def test_static_files_are_cached_for_good(portal: PortalClient) -> None:
    answer = portal.get(f"/static/{texts.asset('portal.js')}")
    assert answer.status == 200
    assert answer.header("cache-control") == "public, max-age=31536000, immutable"
    assert answer.header("content-type") == "text/javascript; charset=utf-8"


@pytest.mark.parametrize(
    ("of_stage", "name", "secure"), [("local", "session", False), ("prod", "__Host-session", True)]
)
def test_the_session_cookie_is_bound_to_the_host(
    portal: PortalClient, monkeypatch: pytest.MonkeyPatch, of_stage: str, name: str, secure: bool
) -> None:
    who = factories.account(factories.family(), now=factories.datetime.now(factories.UTC))
    monkeypatch.setattr(settings, "STAGE", of_stage)
    answer = portal.post("/sign-in", {"username": "Rosa1", "password": who.password})
    cookie = next(c for c in answer.headers["set-cookie"] if c.startswith(name + "="))
    parts = cookie.split("; ")
    assert {"HttpOnly", "SameSite=Lax", "Path=/"} <= set(parts)
    assert ("Secure" in parts) is secure
    assert "Domain" not in cookie


# --- faces and languages ------------------------------------------------------


@pytest.mark.parametrize(
    "foreign",
    [
        'choices={"a": 1, "b": [2]}',
        "name with spaces=1",
        "list[0]=1",
        'half="open',
        "=nothing",
        "bare",
        "path=/; httponly; expires=Mon",
        "city=Peñarol",
        ";;",
        "x=" + "y" * 9000,
    ],
)
def test_what_other_sites_of_the_domain_set_signs_nobody_out(
    portal: PortalClient, foreign: str
) -> None:
    who = factories.account(factories.family(), now=factories.datetime.now(factories.UTC))
    portal.post("/sign-in", {"username": who.username, "password": who.password})
    ours = "; ".join(f"{name}={value}" for name, value in portal.cookies.items())
    for sent in (f"{foreign}; {ours}", f"{ours}; {foreign}", f"{foreign};{ours}"):
        assert portal.get("/session", headers={"Cookie": sent}).status == 200


def test_an_unknown_path_is_a_404_in_the_form_that_was_asked_for(portal: PortalClient) -> None:
    for path in ("/nowhere", "/import_roster", "/find_guardian"):
        assert (portal.get(path).status, portal.get(path).code) == (404, "not-found")
        page = portal.get(path, accept=HTML)
        assert page.status == 404
        assert "<html" in page.text


@pytest.mark.parametrize("method", ["PUT", "PATCH", "DELETE"])
def test_a_method_that_is_none_of_ours_does_nothing(portal: PortalClient, method: str) -> None:
    assert portal.request(method, "/nowhere").status == 404


@pytest.mark.parametrize(
    ("accept", "json_face"),
    [
        (JSON, True),
        ("application/problem+json", True),
        ("application/json, text/plain, */*", True),
        ("application/json, text/html;q=0.5", True),
        ("application/json;q=0.9, text/html;q=0.1", True),
        ("text/html;q=0, application/json", True),
        ("text/html,application/xhtml+xml,*/*;q=0.8", False),
        ("text/html, application/json", False),
        ("text/html, application/json; q=0.9", False),
        ("application/json;q=0", False),
        ("*/*", False),
    ],
)
def test_who_asks_for_json_gets_json(portal: PortalClient, accept: str, json_face: bool) -> None:
    answer = portal.get("/sign-in", accept=accept)
    assert (answer.header("content-type") == "application/json; charset=utf-8") is json_face


@pytest.mark.parametrize("path", PAGES)
def test_a_page_links_to_itself_in_every_language(portal: PortalClient, path: str) -> None:
    portal.accept = HTML
    assert 'lang="en"' in portal.get(path).text
    spanish = portal.get(path + ("&" if "?" in path else "?") + "lang=es")
    assert '<html lang="es"' in spanish.text
    assert '<html lang="es"' in portal.get(path).text


@pytest.mark.parametrize("accept", [JSON, HTML])
@pytest.mark.parametrize("path", ["/", "/account", "/students/abc", "/nowhere", "/problems/none"])
def test_a_language_asked_for_is_kept_where_there_is_nothing_to_see(
    portal: PortalClient, path: str, accept: str
) -> None:
    portal.get(path + "?lang=es", accept=accept)
    assert '<html lang="es"' in portal.get("/sign-in", accept=HTML).text


def test_the_language_link_keeps_where_to_go_on(portal: PortalClient) -> None:
    page = portal.get("/sign-in?next=%2Fstudents", accept=HTML)
    assert "sign-in?next=%2Fstudents&amp;lang=es" in page.text
    fields = {"username": "Rosa1", "password": "wrong 1", "next": "/students"}
    page = portal.post("/sign-in", fields, form=True, accept=HTML)
    assert "sign-in?next=%2Fstudents&amp;lang=es" in page.text


def test_every_answer_with_words_says_its_language(portal: PortalClient) -> None:
    spanish = {"Accept-Language": "es"}
    for accept in (JSON, HTML):
        for path in ("/sign-in", "/nowhere", "/help"):
            assert portal.get(path, accept=accept).header("content-language") == "en"
            answer = portal.get(path, accept=accept, headers=spanish)
            assert answer.header("content-language") == "es"


@pytest.mark.parametrize(
    ("header", "language"),
    [
        ("es-MX,es;q=0.9,en;q=0.8", "es"),
        ("fr, es;q=0.5", "es"),
        ("fr", "en"),
        ("", "en"),
        ("en;q=0.1,es;q=0.9", "es"),
        ("es; q=0.1, en", "en"),
        ("es ; Q=0.1 , en", "en"),
        ("en;q=0.5,es;q=0.5", "en"),
        ("en;q=0, *", "es"),
        ("*", "en"),
        ("es;q=2, en;q=0.1", "en"),
        ("es;q=nan, en;q=0.1", "en"),
        ("es;q=0", "en"),
        ("x" * 5000, "en"),
        ("es;q=abc", "en"),
    ],
)
def test_the_browsers_language_counts_where_none_was_chosen(
    portal: PortalClient, header: str, language: str
) -> None:
    page = portal.get("/sign-in", accept=HTML, headers={"Accept-Language": header})
    assert f'<html lang="{language}"' in page.text


def test_a_language_that_we_dont_speak_changes_nothing(portal: PortalClient) -> None:
    answer = portal.get("/sign-in?lang=<script>", accept=HTML)
    assert "set-cookie" not in answer.headers
    assert "<script>" not in answer.text.replace("<script src", "")


def test_the_guardians_language_is_spoken_after_signing_in(portal: PortalClient) -> None:
    now = factories.datetime.now(factories.UTC)
    who = factories.account(factories.family(language="es-US"), now=now)
    portal.post("/sign-in", {"username": who.username, "password": who.password})
    assert '<html lang="es"' in portal.get("/", accept=HTML).text


def test_problems_speak_the_parents_language(portal: PortalClient) -> None:
    english = portal.post("/activate", {"activation_key": "x"})
    spanish = portal.post("/activate", {"activation_key": "x"}, headers={"Accept-Language": "es"})
    assert english.code == spanish.code == "activation-key-invalid"
    assert english.json()["detail"] != spanish.json()["detail"]


def test_every_problem_code_is_explained(portal: PortalClient) -> None:
    def codes(kind: type) -> set[str]:
        return {kind.code} | {code for child in kind.__subclasses__() for code in codes(child)}

    for code in codes(errors.Refusal) - {""}:
        answer = portal.get(f"/problems/{code}")
        assert answer.status == 200, code
        assert answer.json()["meaning"]


# --- pages --------------------------------------------------------------------


def test_a_refused_form_comes_back_with_what_was_typed_but_no_secret(portal: PortalClient) -> None:
    portal.accept = HTML
    fields = {"username": "Someone77", "password": "hunter2 secret"}
    page = portal.post("/sign-in", fields, form=True)
    assert page.status == 401
    assert "Someone77" in page.text
    assert "hunter2" not in page.text
    assert "No security authorization. Please log in." in page.text


def test_hostile_text_shows_as_text(portal: PortalClient) -> None:
    portal.accept = HTML
    hostile = '"><script>alert(1)</script>{{7*7}}'
    page = portal.post("/sign-in", {"username": hostile, "password": ""}, form=True)
    assert "<script>alert" not in page.text
    assert "&lt;script&gt;alert(1)&lt;/script&gt;{{7*7}}" in page.text


def test_the_notice_stands_on_every_page(portal: PortalClient) -> None:
    district.save_preferences({"notice_en": "Mail is slow today.", "notice_es": "Correo lento."})
    portal.accept = HTML
    for path in (*PAGES, "/nowhere"):
        assert "Mail is slow today." in portal.get(path).text
        spanish = portal.get(path, headers={"Accept-Language": "es"})
        assert "Correo lento." in spanish.text


# --- when something breaks ----------------------------------------------------


@pytest.mark.parametrize("accept", [JSON, HTML])
def test_the_unexpected_is_a_500_with_a_reference_that_the_log_knows(
    portal: PortalClient,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    accept: str,
) -> None:
    def broken(*_: object, **__: object) -> None:
        raise RuntimeError("parent-portal-local-accounts secret-detail")

    monkeypatch.setattr(district, "preferences", broken)
    answer = portal.post("/activate", {"activation_key": "x"}, accept=accept)
    assert answer.status == 500
    assert "secret-detail" not in answer.text
    assert "Traceback" not in answer.text
    lines = [json.loads(line) for line in capsys.readouterr().err.splitlines()]
    (failed,) = (line for line in lines if line["event"] == "unexpected-error")
    assert failed["reference"] in answer.text
    assert "secret-detail" not in str(lines)


def test_a_person_cant_write_a_log_line(
    portal: PortalClient, capsys: pytest.CaptureFixture[str]
) -> None:
    evil = 'x\r\n{"level":"error"}\x1b[31m'
    headers = dict.fromkeys(("User-Agent", "Referer", "Accept-Language", "Origin"), evil)
    portal.post("/sign-in", {"username": evil, "password": evil}, headers=headers)
    lines = capsys.readouterr().err.splitlines()
    assert [json.loads(line)["event"] for line in lines] == ["refused", "request"]


def test_status_asks_no_database(portal: PortalClient, aws_calls: list[Any]) -> None:
    assert portal.get("/status").json() == {"status": "ok"}
    assert aws_calls == []
