"""What a refusal must look like: as a problem and as a page, in English and in Spanish.

The words are read from the catalogues' files, not from the code that says them.
"""

import html
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from urllib.parse import quote

from tests.portal_client import HTML, JSON, Answer

FACES, LANGUAGES = (JSON, HTML), ("en", "es")
CATALOGUES: Mapping[str, Mapping[str, str]] = {
    code: json.loads(
        (Path(__file__).parent.parent / "chalicelib" / "catalogues" / f"{code}.json").read_text(
            encoding="utf-8"
        )
    )
    for code in LANGUAGES
}
# Where the page leads that says a problem which names no field.
LEADS_TO = {
    "sign-in-failed": "username",
    "activation-key-invalid": "activation_key",
    "no-match": "student_number",
}
# What is wrong with the request as such, or with us, is said by a page of its own.
PAGE_OF_ITS_OWN = {
    "malformed",
    "cross-site",
    "not-found",
    "too-large",
    "unsupported-media-type",
    "unavailable",
    "sso-not-linked",
    "sso-unavailable",
}
# A form that comes back at another path; None where a dead link's page asks for nothing any more.
COMES_BACK_AT: Mapping[str, str | None] = {
    "activation-key-invalid": "activate",
    "reset-link-invalid": None,
    "confirm-link-invalid": None,
    "not-me-link-invalid": None,
}
# How the ids of a form's fields begin on a page with several forms.
FORM_PARTS = {
    "/account/email": "email-",
    "/account/password": "password-",
    "/account/sessions/end": "sessions-",
    "/account/sso": "sso-",
    "/account/sso/unlink": "sso-",
}


@dataclass(frozen=True)
class Expected:
    """A refusal: status, code, the fields at fault with their codes, and when waiting is over."""

    status: int
    code: str
    errors: tuple[tuple[str, str], ...] = ()
    until: str | None = None


def check(
    answers: Mapping[tuple[str, str], Answer], expected: Expected, path: str, *, now: datetime
) -> None:
    """Check a refusal's answers, by face and language."""
    for (face, language), answer in answers.items():
        where = (face, language, answer.text[-600:])
        assert answer.header("cache-control") == "no-store", where
        assert "set-cookie" not in answer.headers, where
        if face == HTML and expected.code == "sign-in-required":
            _check_sent_away(answer, path)
            continue
        assert answer.status == expected.status, where
        assert answer.header("retry-after") == _seconds(expected.until, now), where
        if face == JSON:
            _check_problem(answer, expected, language)
        else:
            _check_page(answer, expected, language, path)


def _seconds(until: str | None, now: datetime) -> str | None:
    return str(int((datetime.fromisoformat(until) - now).total_seconds())) if until else None


# --- JSON ------------------------------------------------------------------------------


def _check_problem(answer: Answer, expected: Expected, language: str) -> None:
    assert answer.header("content-type") == "application/problem+json; charset=utf-8"
    said = answer.json()
    assert said["type"] == f"/problems/{expected.code}"
    assert said["status"] == expected.status
    assert said.get("locked_until") == expected.until
    assert said["title"] == CATALOGUES[language][f"problem.{expected.code}.title"]
    assert is_said(said["detail"], _detail(expected), language)
    faults = said.get("errors", [])
    assert [(fault["field"], fault["code"]) for fault in faults] == list(expected.errors)
    for fault in faults:
        assert is_said(fault["detail"], _fault(fault["field"], fault["code"]), language)


def _detail(expected: Expected) -> str:
    return f"problem.{expected.code}.detail"


def _fault(field: str, code: str) -> str:
    own = f"error.{field}.{code}"
    return own if own in CATALOGUES["en"] else f"error.{code}"


def is_said(text: str, key: str, language: str) -> bool:
    """Whether a text is the language's own sentence of a key, its placeholders filled."""
    sentence = CATALOGUES[language][key]
    assert CATALOGUES["en"][key] != CATALOGUES["es"][key]
    # What fills a placeholder and ends in a stop takes the sentence's own with it ("a. m.").
    parts = re.split(r"\{[a-z_0-9]+\}", sentence)
    return re.fullmatch("[^{}]+".join(re.escape(part) for part in parts), text) is not None


# --- HTML ------------------------------------------------------------------------------


class Page:
    """What a person meets on a page: language, heading, summary of errors, forms."""

    def __init__(self, text: str) -> None:
        self.language = re.findall(r'<html lang="([^"]+)"', text)
        self.title = html.unescape(re.findall(r"<title>(.*?)</title>", text)[0])
        self.main = text[text.index("<main") : text.index("</main>")]
        self.heading = html.unescape(re.findall(r"<h1>(.*?)</h1>", self.main)[0])
        # What a summary may lead to: a field, a group of boxes, the words about a form as a whole.
        self.fields = re.findall(
            r'<(?:input|textarea|fieldset|div)\b[^>]*? id="([^"]+)"', self.main
        )
        self.forms = re.findall(r'<form method="post" action="([^"]+)"', self.main)
        self.summary = re.findall(
            r'<div class="summary" id="errors".*?<ul>(.*?)</ul>', text, re.DOTALL
        )

    @property
    def entries(self) -> list[tuple[str, str]]:
        """Return the summary's lines: the id that each leads to (empty for none), and its words."""
        found = re.findall(r'<li>(?:<a href="#([^"]+)">)?(.*?)(?:</a>)?</li>', self.summary[0])
        return [(anchor, html.unescape(words)) for anchor, words in found]


def _check_sent_away(answer: Answer, path: str) -> None:
    """A person without a session is asked to sign in, and comes back to what they wanted to see."""
    assert answer.status == 303
    location = answer.header("location") or ""
    way, _, query = location.partition("?")
    assert way.rsplit("/", 1)[-1] == "sign-in"
    # A form of the account page leads back to that page, which a browser can open.
    back = "/account" if path.startswith("/account/") else path
    assert query.removesuffix("&note=session-ended") == (
        "" if path == "/" else f"next={quote(back, safe='')}"
    )


def _check_page(answer: Answer, expected: Expected, language: str, path: str) -> None:
    assert answer.header("content-type") == "text/html; charset=utf-8"
    page = Page(answer.text)
    assert page.language == [language]
    if expected.code in PAGE_OF_ITS_OWN:
        assert page.summary == []
        assert page.heading == CATALOGUES[language][f"problem.{expected.code}.title"]
        lead = html.unescape(re.findall(r'<p class="lead">(.*?)</p>', page.main)[0])
        assert is_said(lead, _detail(expected), language)
        return
    assert page.title.startswith(CATALOGUES[language]["page.error-prefix"])
    assert page.main.index('id="errors"') < page.main.index("<h1>")
    back = COMES_BACK_AT.get(expected.code, path.lstrip("/"))
    if ("activation_key", "format") in expected.errors:
        back = "activate"
    forms = {form.removeprefix("../").removeprefix("../") for form in page.forms}
    assert back in forms if back else not forms
    part = FORM_PARTS.get(path, "")
    if expected.errors:
        wanted = [(part + field, _fault(field, code)) for field, code in expected.errors]
    else:
        wanted = [(LEADS_TO.get(expected.code, ""), _detail(expected))]
    # On a page with a form for each of several children each has its child's id before it.
    ours = [a.rpartition("-")[2] if path == "/enrollment" else a for a, _ in page.entries]
    assert ours == [anchor for anchor, _ in wanted]
    for (anchor, words), (_, key) in zip(page.entries, wanted, strict=True):
        assert is_said(words, key, language)
        assert not anchor or anchor in page.fields, (anchor, page.fields)
