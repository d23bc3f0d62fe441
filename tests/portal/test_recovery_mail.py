"""Mails of recovery: to the mailbox stored, with our links, whatever is typed or sent along.

S41 (which spellings are one address), S42 (to the address stored), S50 (links from configuration),
S51 (nothing typed adds a header, a recipient or a part).
"""

import re
from collections.abc import Callable, Mapping
from typing import Any

import botocore.client
import pytest
import time_machine

from chalicelib.domain import addresses
from chalicelib.storage import accounts, district
from tests import aws_stage, factories
from tests.conftest import SentMail
from tests.portal.test_reset_password import token_of
from tests.portal_client import HTML, PortalClient

Mailbox = Callable[[], list[SentMail]]
Visitors = Callable[[], PortalClient]
PORTAL = "http://portal.localhost:4566/"
SUPPORT = "https://help.district.example/tickets"
ROSA, NEW_ADDRESS = "parent@example.com", "rosa+kids@example.net"
NEW = "a new one 42"


@pytest.fixture(autouse=True)
def monday(stage: object) -> Any:
    with time_machine.travel(factories.NOW, tick=False) as clock:
        yield clock


@pytest.fixture
def asked_of_ses(stage: object, monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    """Give the list of what SES is asked to send from now on, whole."""
    asked: list[dict[str, Any]] = []
    make = botocore.client.BaseClient._make_api_call

    def record(client: Any, operation: str, parameters: Any) -> Any:
        if operation == "SendEmail":
            asked.append(parameters)
        return make(client, operation, parameters)

    monkeypatch.setattr(botocore.client.BaseClient, "_make_api_call", record)
    return asked


@pytest.fixture
def rosa(stage: object, mailbox: Mailbox) -> factories.SomeAccount:
    made = factories.account(factories.family(email=ROSA))
    mailbox()
    return made


def links_of(mail: SentMail) -> list[str]:
    return re.findall(r'(?:href|src|action)="([^"]*)"', mail.html)


# --- links (S50) ------------------------------------------------------------------------

EVIL = "evil.example"
FORGED: Mapping[str, Mapping[str, str]] = {
    "Host": {"Host": EVIL},
    "Host with a port and a path": {"Host": f"{EVIL}:443/x?"},
    "X-Forwarded-Host": {"X-Forwarded-Host": EVIL, "X-Forwarded-Proto": "https"},
    "Forwarded": {"Forwarded": f"for=1.2.3.4;host={EVIL};proto=https"},
    "Origin of the forged Host": {"Host": EVIL, "Origin": f"http://{EVIL}"},
    "Referer": {"Referer": f"https://{EVIL}/forgot-password"},
    "others": {"X-Original-Host": EVIL, "X-Rewrite-URL": f"//{EVIL}/", "X-Forwarded-Prefix": EVIL},
}


@pytest.mark.parametrize("headers", FORGED.values(), ids=FORGED)
def test_no_header_moves_a_link_of_any_mail_of_recovery(
    new_visitor: Visitors,
    rosa: factories.SomeAccount,
    mailbox: Mailbox,
    asked_of_ses: list[dict[str, Any]],
    headers: Mapping[str, str],
) -> None:
    district.save_preferences({"support_url": SUPPORT})
    browser = new_visitor()

    def post(path: str, fields: Mapping[str, str], expected: int) -> list[SentMail]:
        assert browser.post(path, fields, headers=headers).status == expected
        return mailbox()

    sent = post("/sign-in", {"username": rosa.username, "password": rosa.password}, 200)
    for _ in range(5):
        sent += post("/forgot-username", {"email": ROSA}, 202)
    sent += post("/forgot-username", {"email": ROSA}, 429)
    asking = {"current_password": rosa.password, "email": NEW_ADDRESS}
    sent += post("/account/email", asking, 202)
    confirm = next(token_of(m, "confirm-email") for m in sent if "confirm-email?" in m.html)
    sent += post("/confirm-email", {"token": confirm}, 200)
    new = {"current_password": rosa.password, "password": NEW, "verify_password": NEW}
    sent += post("/account/password", new, 200)
    # The last mail to the old address: what tells of its change, and takes that back.
    undoing = [one for one in sent if one.recipient == ROSA and "not-me?" in one.html]
    undo = token_of(undoing[-1], "not-me")
    sent += post("/not-me", {"token": undo}, 200)
    sent += post("/forgot-password", {"username": rosa.username}, 202)
    reset = token_of(sent[-1])
    sent += post("/reset-password", {"token": reset, "password": NEW, "verify_password": NEW}, 200)

    assert len(sent) >= 14
    assert {one.recipient for one in sent} == {ROSA, NEW_ADDRESS}
    for one in sent:
        assert EVIL not in one.html + one.subject
        assert all(link == SUPPORT or link.startswith(PORTAL) for link in links_of(one))
    for whole in asked_of_ses:
        assert EVIL not in str(whole)
        assert whole["FromEmailAddress"] == aws_stage.MAIL_FROM
        assert list(whole["Destination"]) == ["ToAddresses"]
        assert len(whole["Destination"]["ToAddresses"]) == 1
        (name,) = whole["Content"]["Simple"]["Headers"]
        assert name == {"Name": "Auto-Submitted", "Value": "auto-generated"}


# --- what is typed (S51) -------------------------------------------------------------------

HOSTILE = {
    "header": "rosa\r\nBcc: thief@evil.example",
    "header in an address": "parent@example.com\r\nBcc: thief@evil.example",
    "line feed": "parent@example.com\nthief@evil.example",
    "carriage return": "parent@example.com\rthief@evil.example",
    "line separator": "parent@example.com\u2028thief@evil.example",
    "folded": "parent\r\n @example.com",
    "list": "parent@example.com, thief@evil.example",
    "list with semicolons": "parent@example.com;thief@evil.example",
    "name": "Rosa <thief@evil.example>",
    "comment": "parent(thief@evil.example)@example.com",
    "quoted": '"parent@example.com thief"@evil.example',
    "literal": "parent@[192.0.2.1]",
    "two at signs": "parent@example.com@evil.example",
    "NUL": "parent@example.com\x00thief@evil.example",
    "encoded word": "=?utf-8?q?parent=40example.com=0D=0ABcc:_thief=40evil.example?=",
    "percent": "parent%0d%0aBcc:thief@evil.example",
    "300 characters": "p" * 300 + "@example.com",
    "300 in the domain": "parent@" + "example." * 37 + "com",
    "65 before the at sign": "p" * 65 + "@example.com",
    "wide at sign": "parent\uff20example.com",
}
# Not the form's answer but the queue and the mails decide; `percent` is an address that nobody has.
ADDRESS_THAT_NOBODY_HAS = {"percent"}


@pytest.mark.parametrize("how", [{}, {"form": True}, {"form": True, "accept": HTML}])
@pytest.mark.parametrize("name", HOSTILE)
def test_nothing_typed_adds_a_header_or_a_recipient(
    new_visitor: Visitors,
    rosa: factories.SomeAccount,
    mailbox: Mailbox,
    name: str,
    how: dict[str, Any],
) -> None:
    hostile = HOSTILE[name]
    browser = factories.signed_in(new_visitor, rosa)
    mailbox()
    good = name in ADDRESS_THAT_NOBODY_HAS
    accepted = 303 if how.get("accept") == HTML else 202
    own = {"current_password": rosa.password}
    tries = [
        ("/forgot-username", {"email": hostile}, accepted if good else 422),
        ("/account/email", own | {"email": hostile}, accepted if good else 422),
        ("/forgot-password", {"username": hostile}, 422 if name == "NUL" else accepted),
        (
            "/reset-password",
            {"token": hostile, "password": hostile, "verify_password": hostile},
            422,
        ),
        ("/confirm-email", {"token": hostile}, 422),
        ("/not-me", {"token": hostile}, 422),
    ]
    for path, fields, expected in tries:
        assert browser.post(path, fields, **how).status == expected, path
    expected_mails = [hostile, ROSA] if good else []
    assert sorted(one.recipient for one in mailbox()) == sorted(expected_mails)


def test_a_name_of_a_guardian_adds_nothing_either(
    new_visitor: Visitors, mailbox: Mailbox, asked_of_ses: list[dict[str, Any]]
) -> None:
    hostile = "Rosa\r\nBcc: thief@evil.example"
    factories.account(factories.family(email=ROSA, given_name=hostile))
    mailbox()
    new_visitor().post("/forgot-password", {"username": "Rosa1"})
    new_visitor().post("/forgot-username", {"email": ROSA})
    assert [one.recipient for one in mailbox()] == [ROSA, ROSA]
    for whole in asked_of_ses:
        assert "evil" not in whole["Content"]["Simple"]["Subject"]["Data"]
        assert whole["Destination"] == {"ToAddresses": [ROSA]}


# --- which spellings are one address (S41) ---------------------------------------------------

STORED = "Ann.Lee+kids@B\u00fccher.Example"
AS_SES_TAKES_IT = "Ann.Lee+kids@xn--bcher-kva.Example"
SPELLINGS: Mapping[str, bool] = {
    STORED: True,
    "ann.lee+kids@b\u00fccher.example": True,
    "ANN.LEE+KIDS@B\u00dcCHER.EXAMPLE": True,
    "  Ann.Lee+kids@B\u00fccher.Example\t": True,
    "ann.lee+kids@xn--bcher-kva.example": True,
    "Ann.Lee+Kids@XN--BCHER-KVA.example": True,
    "ann.lee+kids@bu\u0308cher.example": True,
    "aNN.lEE+kIDS@BU\u0308CHER.eXAMPLE": True,
    "\r\nann.lee+kids@b\u00fccher.example\r\n": True,
    "annlee+kids@b\u00fccher.example": False,
    "ann.lee@b\u00fccher.example": False,
    "ann.lee+other@b\u00fccher.example": False,
    "ann.lee+kids@bucher.example": False,
    "ann.lee+kids@buecher.example": False,
    "ann.lee+kids@b\u00fccher.example.com": False,
    "\u0430nn.lee+kids@b\u00fccher.example": False,
    "ann.lee+\u212aids@b\u00fccher.example": False,
    "ann.lee+k\u0131ds@b\u00fccher.example": False,
    "\uff41nn.lee+kids@b\u00fccher.example": False,
    "ann.lee+kids@b\u00fccher.examp\u217ce": False,
}


def test_twenty_spellings_are_one_address_or_others_as_the_table_says(
    new_visitor: Visitors, mailbox: Mailbox
) -> None:
    assert len(SPELLINGS) == 20
    factories.account(factories.family(email=STORED), username="Ann1")
    mailbox()
    district.save_preferences({"forgot_username_limit": 20})
    came = {}
    for place, spelling in enumerate(SPELLINGS):
        fields = {"email": spelling}
        answer = new_visitor().post("/forgot-username", fields, ip=f"198.51.100.{place}")
        assert answer.status == 202, spelling
        came[spelling] = [one.recipient for one in mailbox()]
    # To the mailbox stored, byte for byte but for the domain, which SES takes as punycode only.
    assert came == {s: [AS_SES_TAKES_IT] if same else [] for s, same in SPELLINGS.items()}


def test_spellings_of_one_address_share_its_five_tries_and_its_lockout(
    new_visitor: Visitors, mailbox: Mailbox
) -> None:
    ann = factories.account(factories.family(email=STORED), username="Ann1")
    same = [spelling for spelling, is_same in SPELLINGS.items() if is_same][:6]
    statuses = [new_visitor().post("/forgot-username", {"email": one}).status for one in same]
    assert statuses == [202] * 5 + [429]
    fields = {"username": ann.username, "password": ann.password}
    assert new_visitor().post("/sign-in", fields).code == "locked-out"


def test_other_addresses_tries_lock_nobody_out(new_visitor: Visitors, mailbox: Mailbox) -> None:
    ann = factories.account(factories.family(email=STORED), username="Ann1")
    for place, (spelling, same) in enumerate(SPELLINGS.items()):
        for _ in range(0 if same else 6):
            fields = {"email": spelling}
            new_visitor().post("/forgot-username", fields, ip=f"198.51.100.{place}")
    factories.signed_in(new_visitor, ann)
    mailbox()
    account = accounts.read_account("ann1")
    assert account is not None
    assert account.locked_until is None


# --- to the address stored (S42) ---------------------------------------------------------------


@pytest.mark.parametrize(
    ("stored", "typed"),
    [
        ("Rosa.Parent@Example.COM", "rosa.parent@example.com"),
        ("rosa@example.com", "ROSA@EXAMPLE.COM"),
        ("Rosa+School@example.com", "rosa+school@Example.com"),
        ("o'brien@example.com", "O'Brien@example.com"),
    ],
)
def test_a_mail_goes_to_the_bytes_stored_not_to_the_ones_typed(
    new_visitor: Visitors, mailbox: Mailbox, stored: str, typed: str
) -> None:
    factories.family(email="other@example.com")
    factories.account(factories.family(email=stored))
    mailbox()
    assert new_visitor().post("/forgot-username", {"email": typed}).status == 202
    assert new_visitor().post("/forgot-password", {"username": "ROSA1"}).status == 202
    assert [one.recipient for one in mailbox()] == [stored, stored]


@pytest.mark.parametrize(
    "spelled",
    [
        ("Rosa+Kids@Example.net", "Rosa+Kids@Example.net", "rosa+kids@example.NET"),
        (" rosa@b\u00fccher.example ", "rosa@xn--bcher-kva.example", "ROSA@B\u00dcCHER.example"),
        ("r" * 64 + "@" + "e" * 60 + ".example.net",) * 3,
    ],
)
def test_an_own_address_is_confirmed_mailed_and_found_however_it_is_spelled(
    new_visitor: Visitors,
    rosa: factories.SomeAccount,
    mailbox: Mailbox,
    spelled: tuple[str, str, str],
) -> None:
    typed, mailed_to, asked_as = spelled
    browser = factories.signed_in(new_visitor, rosa)
    mailbox()
    asking = {"current_password": rosa.password, "email": typed}
    assert browser.post("/account/email", asking).status == 202
    (confirm,) = [one for one in mailbox() if one.recipient != ROSA]
    assert confirm.recipient == mailed_to
    token = token_of(confirm, "confirm-email")
    assert browser.post("/confirm-email", {"token": token}).status == 200
    assert browser.get("/account").json()["email"] == typed.strip()
    mailbox()
    assert new_visitor().post("/forgot-username", {"email": asked_as}).status == 202
    assert new_visitor().post("/forgot-username", {"email": ROSA}).status == 202
    # The roster's address has no account any more, and its guardian has one: nothing to say there.
    assert [one.recipient for one in mailbox()] == [mailed_to]


@pytest.mark.parametrize("typed", ["jos\u00e9@example.com", "\u0430nna@example.com"])
def test_an_address_that_ses_can_not_mail_is_not_taken(
    new_visitor: Visitors, rosa: factories.SomeAccount, mailbox: Mailbox, typed: str
) -> None:
    browser = factories.signed_in(new_visitor, rosa)
    mailbox()
    answer = browser.post("/account/email", {"current_password": rosa.password, "email": typed})
    assert [(e["field"], e["code"]) for e in answer.json()["errors"]] == [("email", "format")]
    assert mailbox() == []


def test_a_rosters_address_that_ses_can_not_mail_stops_no_other_mail(
    new_visitor: Visitors, rosa: factories.SomeAccount, mailbox: Mailbox
) -> None:
    stored = "jos\u00e9@example.com"
    assert addresses.normalised(stored) is not None
    factories.account(factories.family(email=stored), username="Jose1")
    for username in ("Jose1", "Rosa1"):
        new_visitor().post("/forgot-password", {"username": username})
    assert [one.recipient for one in mailbox()] == [ROSA]
