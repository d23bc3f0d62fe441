"""Every row of the contract's failure column, as JSON and HTML, in English and in Spanish.

A row says what was done before and what is sent; the answer must have the row's status and code,
name the fields at fault, and say it in the language asked for (`tests/failures.py` checks that).
"""

import json
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import pytest
import time_machine

from chalicelib import errors
from tests.conftest import SentMail
from tests.factories import NOW
from tests.failures import CATALOGUES, FACES, LANGUAGES, Expected, check
from tests.portal import givens as was
from tests.portal.givens import (
    ADDRESS,
    CHANGE,
    EMAIL,
    LOOKUP,
    NEW_ACCOUNT,
    NEW_PASSWORD,
    PROOF,
    SIGN_IN,
    WRONG,
    Given,
    World,
    tried,
)
from tests.portal_client import FORM, HTML, JSON, Answer, PortalClient

HOUR, FIVE_MINUTES = "2026-03-02T16:00:00Z", "2026-03-02T15:05:00Z"
MIDNIGHT = "2026-03-03T05:00:00Z"


@pytest.fixture
def world(
    stage: object,
    new_visitor: Callable[[], PortalClient],
    mailbox: Callable[[], list[SentMail]],
    invoke: Callable[[str, Any], Any],
) -> Iterator[World]:
    with time_machine.travel(NOW, tick=False) as clock:
        yield World(new_visitor, mailbox, invoke, clock)


# --- the table --------------------------------------------------------------------------


@dataclass(frozen=True)
class Row:
    """What is sent, after which steps, and the refusal that must come of it."""

    name: str
    method: str
    path: str
    fields: Mapping[str, str]
    given: tuple[Given, ...]
    expected: Expected


def refused(
    said: str,
    path: str,
    name: str,
    fields: Mapping[str, str],
    *given: Given,
    until: str | None = None,
) -> Row:
    """A refused POST, said as `status code`, and when waiting is over."""
    status, code = said.split()
    return Row(name, "POST", path, fields, given, Expected(int(status), code, (), until))


def invalid(path: str, name: str, fields: Mapping[str, str], faults: str, *given: Given) -> Row:
    """A POST with fields at fault, said as `field code, field code`."""
    pairs = tuple((one.split()[0], one.split()[1]) for one in faults.split(", "))
    return Row(name, "POST", path, fields, given, Expected(422, "invalid", pairs))


def unseen(said: str, path: str) -> Row:
    """A refused GET, said as `status code`."""
    status, code = said.split()
    return Row("", "GET", path, {}, (), Expected(int(status), code))


def dead_key(path: str, fields: Mapping[str, str], *given: Given) -> Row:
    name = given[0].__name__
    return refused("422 activation-key-invalid", path, name, fields, *given)


# What is wrong with a new password, on each of the three routes that take one.
PASSWORDS = {
    "short": ("ab1x", "too-short"),
    "long": ("a1" * 65, "too-long"),
    "without a digit": ("blue whale sings", "not-alphanumeric"),
    "without a letter": ("8461 2950 3377", "not-alphanumeric"),
    "with a control character": ("whale\x07d123", "control-character"),
    "with the username": ("xxROSA1xx", "contains-username"),
    "that is common": ("QWER1234", "too-common"),
    "that is the district's name": ("Parentportal1", "too-common"),
}


def bad_passwords(path: str, fields: Mapping[str, str], *given: Given) -> list[Row]:
    def twice(password: str) -> Mapping[str, str]:
        return {**fields, "password": password, "verify_password": password}

    differing = {**fields, "verify_password": "another 1"}
    strong = was.preference(strong_password=True)
    return [
        *(
            invalid(path, f"a password {name}", twice(password), f"password {code}", *given)
            for name, (password, code) in PASSWORDS.items()
        ),
        invalid(path, "a weak one", twice("zqbxkw27"), "password not-strong", *given, strong),
        invalid(path, "two passwords", differing, "verify_password mismatch", *given),
        invalid(path, "a null byte", twice("whale\x001"), "password control-character", *given),
    ]


SIGNED_OUT = [
    *(unseen("401 sign-in-required", path) for path in ("/", "/students", "/session", "/account")),
    refused("401 sign-in-required", "/session", "", {}),
    refused("401 sign-in-required", "/account/password", "", CHANGE),
    refused("401 sign-in-required", "/account/email", "", ADDRESS),
    refused("401 sign-in-required", "/account/sessions/end", "", PROOF),
]
NOWHERE = [
    *(unseen("404 not-found", path) for path in ("/nowhere", "/static/no.js", "/problems/none")),
    refused("404 not-found", "/nowhere", "", {}),
]

_AT, _NUMBERS = "/activation-key", {"student_number": "77{n}", "ssn_last4": "4321"}
LOOKUPS = [
    invalid(_AT, "nothing", {}, "student_number required, ssn_last4 required"),
    invalid(_AT, "letters", LOOKUP | {"student_number": "12a"}, "student_number format"),
    invalid(_AT, "21 digits", LOOKUP | {"student_number": "1" * 21}, "student_number format"),
    invalid(_AT, "three digits", LOOKUP | {"ssn_last4": "123"}, "ssn_last4 format"),
    invalid(_AT, "a null byte", LOOKUP | {"student_number": "1\x00"}, "student_number format"),
    *(
        refused("429 too-many-tries", _AT, f"the eleventh{of}", LOOKUP, *given, until=MIDNIGHT)
        for of, given in (
            (" of nobody", (tried(10, _AT, LOOKUP, ips=10),)),
            ("", (was.a_student, tried(10, _AT, LOOKUP, ips=10))),
        )
    ),
    refused(
        "429 too-many-tries",
        _AT,
        "past the IP's hour",
        LOOKUP,
        was.preference(lookups_per_ip_hour=10),
        tried(10, _AT, _NUMBERS),
        until=HOUR,
    ),
    refused("404 no-match", _AT, "on the screen", LOOKUP, was.preference(key_delivery="screen")),
    refused("503 unavailable", _AT, "no queue", LOOKUP, was.no_queue),
]

_BAD_KEYS = tried(10, "/activate", {"activation_key": "2345-6789-ABCD-EFGH"})
KEYS = [
    invalid("/activate", "nothing", {}, "activation_key required"),
    *(
        row
        for path, fields in (("/activate", {}), ("/create-account", NEW_ACCOUNT))
        for row in (
            invalid(
                path, "a null byte", fields | {"activation_key": "a\x00"}, "activation_key format"
            ),
            dead_key(path, fields, was.an_unknown_key),
            dead_key(path, fields, was.a_mistyped_key),
            dead_key(path, fields, was.a_revoked_key),
            dead_key(path, fields, was.an_expired_key),
            dead_key(path, fields, was.a_used_key, was.later(minutes=10)),
            refused(
                "429 too-many-tries", path, "ten bad keys", fields, was.a_key, _BAD_KEYS, until=HOUR
            ),
        )
    ),
]

_AT = "/create-account"
NEW_ACCOUNTS = [
    refused("422 activation-key-invalid", _AT, "no key", NEW_ACCOUNT),
    invalid(
        _AT,
        "nothing else",
        {},
        "username format, password too-short, password not-alphanumeric",
        was.a_key,
    ),
    invalid(_AT, "no digit", NEW_ACCOUNT | {"username": "rosa"}, "username format", was.a_key),
    invalid(_AT, "a null byte", NEW_ACCOUNT | {"username": "a\x001"}, "username format", was.a_key),
    invalid(_AT, "a taken name", NEW_ACCOUNT, "username taken", was.an_account, was.a_key),
    *bad_passwords(_AT, NEW_ACCOUNT, was.a_key),
    refused(
        "429 too-many-tries",
        _AT,
        "the 31st with one key",
        NEW_ACCOUNT,
        was.a_key,
        tried(30, _AT, NEW_ACCOUNT | {"password": "short"}, ips=30),
        until=HOUR,
    ),
]

_AT, _NAMES = "/sign-in", {"username": "Nobody{n}", "password": "wrong 1"}
_LEAKED = was.admin("require_password_reset", reason="seen in a leak")
SIGNING_IN = [
    invalid(_AT, "nothing", {}, "username required, password required"),
    invalid(_AT, "a null byte", SIGN_IN | {"username": "a\x00"}, "username format"),
    refused("401 sign-in-failed", _AT, "an unknown name", WRONG),
    refused("401 sign-in-failed", _AT, "a wrong password", WRONG, was.an_account),
    refused(
        "403 locked-out", _AT, "right", SIGN_IN, was.an_account, was.locked_out, until=MIDNIGHT
    ),
    refused(
        "403 account-disabled", _AT, "right", SIGN_IN, was.an_account, was.admin("disable_account")
    ),
    refused("403 password-reset-required", _AT, "right", SIGN_IN, was.an_account, _LEAKED),
    *(
        refused("429 too-many-tries", _AT, name, SIGN_IN, *given, until=until)
        for name, until, given in (
            ("ten failed", FIVE_MINUTES, (was.an_account, tried(10, _AT, WRONG))),
            ("ten failed of nobody", FIVE_MINUTES, (tried(10, _AT, WRONG),)),
            ("twenty from anywhere", FIVE_MINUTES, (was.an_account, tried(20, _AT, WRONG, ips=20))),
            ("twenty of nobody", FIVE_MINUTES, (tried(20, _AT, WRONG, ips=20),)),
            (
                "past the IP's hour",
                HOUR,
                (was.preference(sign_in_failures_per_ip_hour=10), tried(10, _AT, _NAMES)),
            ),
        )
    ),
]

_USERNAME, _ADDRESSES = {"username": "Rosa1"}, {"email": "rosa{n}@example.com"}
FORGOTTEN = [
    invalid("/forgot-password", "nothing", {}, "username required"),
    invalid("/forgot-password", "a null byte", {"username": "a\x00"}, "username format"),
    invalid("/forgot-username", "nothing", {}, "email required"),
    invalid("/forgot-username", "no address", {"email": "rosa"}, "email format"),
    invalid("/forgot-username", "a null byte", {"email": "a\x00@b.example"}, "email format"),
    *(
        refused("429 too-many-tries", path, "the 31st from an IP", fields, before, until=HOUR)
        for path, fields, before in (
            ("/forgot-password", _USERNAME, tried(30, "/forgot-password", _USERNAME)),
            ("/forgot-username", EMAIL, tried(30, "/forgot-username", _ADDRESSES)),
        )
    ),
    *(
        refused("429 locked-out", "/forgot-username", name, EMAIL, *given, until=MIDNIGHT)
        for name, given in (
            ("the sixth", (was.an_account, tried(5, "/forgot-username", EMAIL))),
            ("the sixth of nobody", (tried(5, "/forgot-username", EMAIL),)),
            ("a later one", (was.an_account, was.locked_out)),
        )
    ),
]

_AT = "/reset-password"
_SHORT = NEW_PASSWORD | {"password": "short"}
LINKS = [
    *(
        refused(f"422 {code}", path, name, NEW_PASSWORD | fields)
        for path, code in (
            ("/reset-password", "reset-link-invalid"),
            ("/confirm-email", "confirm-link-invalid"),
            ("/not-me", "not-me-link-invalid"),
        )
        for name, fields in (
            ("unknown", {"token": "x" * 43}),
            ("no link", {}),
            ("no token", {"token": "<b>"}),
            ("a null byte", {"token": "a\x00"}),
        )
    ),
    *(
        refused(f"422 {code}", path, name, fields, *given)
        for path, code, name, fields, given in (
            (_AT, "reset-link-invalid", "used", _SHORT, (was.an_account, was.a_used_reset_link)),
            (
                _AT,
                "reset-link-invalid",
                "late",
                NEW_PASSWORD,
                (was.an_account, was.a_reset_link, was.later(minutes=30)),
            ),
            (
                "/confirm-email",
                "confirm-link-invalid",
                "late",
                {},
                (was.signed_in, was.a_confirm_link, was.later(hours=24)),
            ),
            (
                "/not-me",
                "not-me-link-invalid",
                "late",
                {},
                (was.signed_in, was.a_not_me_link, was.later(days=10)),
            ),
        )
    ),
    *bad_passwords(_AT, NEW_PASSWORD, was.an_account, was.a_reset_link),
    refused(
        "429 too-many-tries",
        _AT,
        "the 31st with one link",
        NEW_PASSWORD,
        was.an_account,
        was.a_reset_link,
        tried(30, _AT, _SHORT),
        until=HOUR,
    ),
]

_NO_PROOF = "current_password required"
_WRONG_PROOF = {"current_password": "wrong 1"}
ACCOUNT = [
    invalid(
        "/account/password",
        "nothing",
        {},
        f"{_NO_PROOF}, password required, verify_password required",
        was.signed_in,
    ),
    invalid("/account/email", "nothing", {}, f"{_NO_PROOF}, email required", was.signed_in),
    invalid("/account/sessions/end", "nothing", {}, _NO_PROOF, was.signed_in),
    invalid(
        "/account/email", "no address", ADDRESS | {"email": "rosa"}, "email format", was.signed_in
    ),
    *bad_passwords("/account/password", CHANGE, was.signed_in),
    *(
        row
        for path, fields in (
            ("/account/password", CHANGE),
            ("/account/email", ADDRESS),
            ("/account/sessions/end", PROOF),
        )
        for row in (
            invalid(path, "wrong", fields | _WRONG_PROOF, "current_password wrong", was.signed_in),
            refused(
                "429 too-many-tries",
                path,
                "after ten wrong",
                fields,
                was.signed_in,
                tried(10, path, fields | _WRONG_PROOF),
                until=FIVE_MINUTES,
            ),
        )
    ),
    refused(
        "429 too-many-tries",
        "/account/email",
        "the eleventh of a day",
        ADDRESS,
        was.signed_in,
        tried(10, "/account/email", ADDRESS | _ADDRESSES),
        until=MIDNIGHT,
    ),
]

_WHY = {"action": "change", "effective_date": "2026-03-10", "comment": "We moved"}
_HOME = {"address1": "1 Main St", "city": "Atlanta", "state": "GA", "post_code": "30303"}
_FLAT = dict.fromkeys(_HOME, "") | {"address2": "Apt 3"}


def household(name: str, faults: str, **fields: str) -> Row:
    return invalid("/household", name, _WHY | fields, faults, was.signed_in)


FAMILY = [
    invalid("/household", "no action", {}, "action unknown", was.signed_in),
    invalid("/household", "another action", {"action": "x"}, "action unknown", was.signed_in),
    household("nothing to change", "action required"),
    household(
        "an apartment without its address",
        "address1 required, city required, state required, post_code required",
        **_FLAT,
    ),
    household("no date", "effective_date required", phone="404-555-0177", effective_date=""),
    household("no day", "effective_date format", phone="404-555-0177", effective_date="soon"),
    household(
        "yesterday",
        "effective_date out-of-bounds",
        phone="404-555-0177",
        effective_date="2026-03-01",
    ),
    household("no reason", "comment required", phone="404-555-0177", comment=""),
    household("a long reason", "comment too-long", phone="404-555-0177", comment="x" * 5000),
    household("no phone", "phone format", phone="12"),
    household("no mobile", "mobile format", mobile="12"),
    household("no email", "email format", email="rosa"),
    household("no state", "state format", **_HOME | {"state": "Peach"}),
    household("no ZIP", "post_code format", **_HOME | {"post_code": "303"}),
    household(
        "a long address",
        "address1 too-long, address2 too-long, city too-long",
        **_HOME | dict.fromkeys(("address1", "address2", "city"), "x" * 500),
    ),
    invalid(
        "/household",
        "a sixth request",
        _WHY | {"phone": "404-555-0199"},
        "action out-of-bounds",
        was.signed_in,
        tried(5, "/household", _WHY | {"phone": "404-555-018{n}"}),
    ),
    *(
        invalid("/preferences", name, fields, faults, was.signed_in)
        for name, fields, faults in (
            (
                "no hour",
                {"quiet_from": "9pm", "quiet_to": "x"},
                "quiet_from format, quiet_to format",
            ),
            ("no end", {"quiet_from": "21:00"}, "quiet_to required"),
            ("no beginning", {"quiet_to": "06:00"}, "quiet_from required"),
            ("all day", {"quiet_from": "06:00", "quiet_to": "06:00"}, "quiet_to too-long"),
            ("a language we lack", {"language": "fr"}, "language unknown"),
        )
    ),
    *(
        invalid("/enrollment", name, fields, faults, was.their_child)
        for name, fields, faults in (
            ("no answer", {}, "answer required"),
            ("another answer", {"answer": "perhaps"}, "answer unknown"),
            ("nothing to correct", {"answer": "corrections"}, "comment required"),
            ("a long one", {"answer": "returning", "comment": "x" * 5000}, "comment too-long"),
        )
    ),
    refused(
        "404 not-found", "/enrollment", "no child of theirs", {"student_id": "x"}, was.signed_in
    ),
    *(
        Row("a child of nobody's", "GET", path, {}, (was.signed_in,), Expected(404, "not-found"))
        for path in (
            "/students/none",
            "/students/none/schedule",
            "/students/none/attendance",
            "/students/none/grades",
        )
    ),
    *(
        unseen("401 sign-in-required", path)
        for path in ("/household", "/preferences", "/enrollment", "/students/none")
    ),
]

# A provider that is down: nobody listens there.
_SSO = was.preference(sso_issuer="http://127.0.0.1:9", sso_client_id="parent-portal")
SSO = [
    *(unseen("404 not-found", path) for path in ("/sso", "/sso/callback")),
    Row("down", "GET", "/sso", {}, (_SSO,), Expected(502, "sso-unavailable")),
    Row("nobody", "GET", "/sso/callback", {}, (_SSO,), Expected(403, "sso-not-linked")),
    *(
        row
        for path, given in (
            ("/account/sso", (was.signed_in, _SSO)),
            ("/account/sso/unlink", (was.signed_in, was.linked, _SSO)),
        )
        for row in (
            refused("404 not-found", path, "without an issuer", PROOF, was.signed_in),
            refused("401 sign-in-required", path, "", PROOF, _SSO),
            invalid(path, "nothing", {}, _NO_PROOF, *given),
            invalid(path, "wrong", _WRONG_PROOF, "current_password wrong", *given),
            refused(
                "429 too-many-tries",
                path,
                "after ten wrong",
                PROOF,
                *given,
                tried(10, path, _WRONG_PROOF),
                until=FIVE_MINUTES,
            ),
        )
    ),
]

ROWS = [
    *SIGNED_OUT,
    *NOWHERE,
    *LOOKUPS,
    *KEYS,
    *NEW_ACCOUNTS,
    *SIGNING_IN,
    *FORGOTTEN,
    *LINKS,
    *ACCOUNT,
    *FAMILY,
    *SSO,
]


def every_face(world: World, send: Callable[..., Answer]) -> dict[tuple[str, str], Answer]:
    """Send the same in both faces and languages, each from a browser of its own."""
    answers = {}
    for face in FACES:
        for language in LANGUAGES:
            visitor = world.new_visitor()
            visitor.cookies = dict(world.cookies)
            if visitor.cookies:
                # The signed-in guardian's language goes before what the browser asks for.
                visitor.cookies["lang"] = language
            visitor.accept = face
            answers[face, language] = send(
                visitor, headers={"Accept-Language": language}, form=face == HTML
            )
    return answers


def label(row: Row) -> str:
    return f"{row.method} {row.path} {row.expected.code} {row.name}".strip()


@pytest.mark.parametrize("row", ROWS, ids=label)
def test_what_fails_says_so_in_both_faces_and_languages(world: World, row: Row) -> None:
    for given in row.given:
        given(world)
    fields = {**world.fields, **row.fields}

    def send(visitor: PortalClient, *, headers: Mapping[str, str], form: bool) -> Answer:
        if row.method == "GET":
            return visitor.get(row.path, headers=headers)
        return visitor.post(row.path, fields, form=form, headers=headers)

    check(every_face(world, send), row.expected, row.path, now=datetime.now(UTC))


# --- what no path takes -----------------------------------------------------------------

POSTS = sorted({row.path for row in ROWS if row.method == "POST"} - {"/nowhere"} | {"/sign-out"})
OTHER_SITE = {"Sec-Fetch-Site": "cross-site"}
REQUESTS: Mapping[str, tuple[str, str | None, Mapping[str, str], int, str]] = {
    "another site's": ("{}", JSON, OTHER_SITE, 403, "cross-site"),
    "a foreign origin": ("a=1", FORM, {"Origin": "https://evil.example"}, 403, "cross-site"),
    "17 KiB": ("a=" + "x" * 17 * 1024, FORM, {}, 413, "too-large"),
    "17 KiB of JSON": (json.dumps({"a": "x" * 17 * 1024}), JSON, {}, 413, "too-large"),
    "text": ("{}", "text/plain", {}, 415, "unsupported-media-type"),
    "parts": ("{}", "multipart/form-data; boundary=x", {}, 415, "unsupported-media-type"),
    "no content type": ("{}", None, {}, 415, "unsupported-media-type"),
    "half an object": ('{"username": ', JSON, {}, 400, "malformed"),
    "a list": ("[]", JSON, {}, 400, "malformed"),
    "a deep list": ("[" * 9000, JSON, {}, 400, "malformed"),
    "no UTF-8 in a form": ("username=%ff%fe", FORM, {}, 400, "malformed"),
    "no UTF-8 in JSON": ('{"username": "\ufffd"}', JSON, {}, 400, "malformed"),
    "half a character": ('{"username": "\\ud800"}', JSON, {}, 400, "malformed"),
    "a null byte in JSON": ('{"username": "\x00"}', JSON, {}, 400, "malformed"),
    "5,000 fields": ("a=&" * 5000, FORM, {}, 400, "malformed"),
    "5,000 fields of JSON": (
        json.dumps({f"f{n}": 1 for n in range(5000)}),
        JSON,
        {},
        413,
        "too-large",
    ),
    "900 fields of JSON": (
        json.dumps({f"f{n}": 1 for n in range(900)}),
        JSON,
        {},
        400,
        "malformed",
    ),
}


@pytest.mark.parametrize("name", REQUESTS)
def test_what_no_path_takes_is_said_in_both_faces_and_languages(world: World, name: str) -> None:
    body, kind, sent, status, code = REQUESTS[name]
    for path in POSTS:

        def send(
            visitor: PortalClient,
            *,
            headers: Mapping[str, str],
            form: bool,
            path: str = path,
        ) -> Answer:
            everything = {**headers, **sent}
            return visitor.request("POST", path, body=body, content_type=kind, headers=everything)

        check(every_face(world, send), Expected(status, code), path, now=NOW)


# --- the table is whole -----------------------------------------------------------------

# What only the console's functions answer (tests/portal/test_admin.py and test_import_holds.py).
CONSOLE = {
    errors.EventInvalid,
    errors.AccountExists,
    errors.NoSuchGuardian,
    errors.NoAddress,
    errors.NoSuchAccount,
    errors.NoSuchImport,
    errors.NoSuchRequest,
    errors.NoSuchSchool,
    errors.AlreadyDecided,
    errors.ChangedSince,
    errors.Superseded,
}


def test_every_refusal_has_a_row() -> None:
    refusals = {
        kind
        for kind in vars(errors).values()
        if isinstance(kind, type) and issubclass(kind, errors.Refusal) and kind.code
    }
    shown = {(kind.status, kind.code) for kind in refusals - CONSOLE}
    rows = {(row.expected.status, row.expected.code) for row in ROWS}
    rows |= {(status, code) for _, _, _, status, code in REQUESTS.values()}
    assert rows == shown


def test_every_fault_of_a_field_has_a_row() -> None:
    words = (re.fullmatch(r"error\.([a-z0-9_]+)\.([a-z-]+)", key) for key in CATALOGUES["en"])
    known = {(found[1], found[2]) for found in words if found}
    assert known <= {fault for row in ROWS for fault in row.expected.errors}
