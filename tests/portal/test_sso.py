"""Single sign-on (security rows S77–S80), against a provider that errs as a test says."""

import base64
import json
import re
import ssl
from collections.abc import Callable, Iterator
from datetime import timedelta
from ipaddress import ip_address
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pytest
import time_machine
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from chalicelib import settings
from chalicelib.storage import accounts, aws, district, oidc
from tests import aws_stage, factories
from tests.conftest import SentMail, forget_caches
from tests.identity_provider import (
    CLIENT,
    IdentityProvider,
    dripping,
    huge,
    redirecting,
    silent,
)
from tests.portal.test_reset_password import token_of
from tests.portal.test_sign_in import ELSEWHERE
from tests.portal_client import HTML, Answer, PortalClient
from tests.unit.test_id_tokens import (
    BENT,
    by_a_key_in_the_header,
    by_a_key_somewhere_else,
    by_hmac_with_the_public_key,
    unsigned,
)

Mailbox = Callable[[], list[SentMail]]
Visitors = Callable[[], PortalClient]
PROOF = {"current_password": factories.PASSWORD}


@pytest.fixture(autouse=True)
def clock(stage: object) -> Iterator[Any]:
    with time_machine.travel(factories.NOW, tick=False) as clock:
        yield clock


@pytest.fixture
def rosa(provider: IdentityProvider) -> factories.SomeAccount:
    return factories.account(factories.family())


@pytest.fixture
def linked(
    new_visitor: Visitors, rosa: factories.SomeAccount, provider: IdentityProvider, mailbox: Mailbox
) -> PortalClient:
    """Give Rosa's browser, in which she linked subject `u-1`."""
    visitor = factories.signed_in(new_visitor, rosa)
    assert link(visitor, provider).status == 200
    mailbox()
    return visitor


def link(visitor: PortalClient, provider: IdentityProvider, **who: str) -> Answer:
    asked = visitor.post("/account/sso", PROOF)
    assert asked.status == 200
    return visitor.get(provider.sign_in(asked.json()["location"], **who))


def set_out(visitor: PortalClient) -> str:
    answer = visitor.get("/sso")
    assert answer.status == 303, answer.text
    return answer.header("location") or ""


def sign_in(visitor: PortalClient, provider: IdentityProvider, **who: str) -> Answer:
    return visitor.get(provider.sign_in(set_out(visitor), **who))


def refused(answer: Answer, visitor: PortalClient, code: str = "sso-not-linked") -> None:
    assert answer.code == code, answer.text
    assert answer.status == {"sso-not-linked": 403, "sso-unavailable": 502}[code]
    assert "set-cookie" not in answer.headers
    assert visitor.get("/students").status == 401


# --- the way that is meant --------------------------------------------------------------


def test_a_linked_parent_signs_in_without_a_password_on_a_new_device_that_is_told(
    linked: PortalClient, new_visitor: Visitors, provider: IdentityProvider, mailbox: Mailbox
) -> None:
    visitor = new_visitor()
    answer = sign_in(visitor, provider)
    assert answer.status == 200
    assert answer.json()["username"] == "Rosa1"
    assert len(visitor.get("/students").json()) == 2
    assert ["new sign-in" in m.subject.lower() or "device" in m.subject.lower() for m in mailbox()]
    assert "sso" not in visitor.cookies
    sign_in(visitor, provider)
    assert mailbox() == []


def test_a_browser_is_led_there_and_back_to_home(
    linked: PortalClient, new_visitor: Visitors, provider: IdentityProvider
) -> None:
    visitor = new_visitor()
    visitor.accept = HTML
    page = visitor.get("/sign-in")
    assert re.search(r'<a [^>]*href="sso">Log in with SSO</a>', page.text)
    answer = sign_in(visitor, provider)
    assert (answer.status, answer.header("location")) == (303, "../")
    assert visitor.get("/").status == 200


def test_who_wanted_a_page_lands_there_and_the_provider_never_learns_of_it(
    linked: PortalClient, new_visitor: Visitors, provider: IdentityProvider
) -> None:
    (child, *_) = linked.get("/students").json()
    wanted = f"/students/{child['id']}/grades"
    visitor = new_visitor()
    visitor.accept = HTML
    sent_away = visitor.get(wanted).header("location") or ""
    page = visitor.get("/" + sent_away.lstrip("./"))
    way = re.search(r'<a [^>]*href="(sso[^"]*)">Log in with SSO</a>', page.text)
    assert way
    out = visitor.get("/" + way[1])
    assert "grades" not in str(out.headers)
    back = provider.sign_in(out.header("location") or "")
    assert "grades" not in back
    answer = visitor.get(back)
    assert (answer.status, answer.header("location")) == (303, f"..{wanted}")
    assert visitor.get(wanted).status == 200


def test_no_way_back_leaves_the_site(
    linked: PortalClient, new_visitor: Visitors, provider: IdentityProvider
) -> None:
    for elsewhere in ELSEWHERE:
        visitor = new_visitor()
        out = visitor.get(f"/sso?{urlencode({'next': elsewhere})}")
        back = provider.sign_in(out.header("location") or "")
        # Nor does what the way back says itself count.
        answer = visitor.get(f"{back}&next=%2Faccount", accept=HTML)
        assert (answer.status, answer.header("location")) == (303, "../"), elsewhere


def test_one_way_never_leads_to_the_page_of_another(
    linked: PortalClient, new_visitor: Visitors, provider: IdentityProvider
) -> None:
    visitor = new_visitor()
    visitor.get("/sso?next=%2Faccount")
    answer = visitor.get(provider.sign_in(set_out(visitor)), accept=HTML)
    assert answer.header("location") == "../"


def test_setting_out_asks_for_a_code_with_pkce_state_and_nonce_of_its_own(
    provider: IdentityProvider, new_visitor: Visitors
) -> None:
    asked = [
        dict(part.split("=") for part in set_out(new_visitor()).split("?")[1].split("&"))
        for _ in range(2)
    ]
    assert asked[0]["redirect_uri"] == "http%3A%2F%2Fportal.localhost%3A4566%2Fsso%2Fcallback"
    assert (asked[0]["scope"], asked[0]["client_id"]) == ("openid", CLIENT)
    for name in ("state", "nonce", "code_challenge"):
        assert len(asked[0][name]) == 43
        assert asked[0][name] != asked[1][name]


def test_the_cookie_is_the_browsers_own_and_short_lived(
    provider: IdentityProvider, portal: PortalClient
) -> None:
    (cookie,) = portal.get("/sso").headers["set-cookie"]
    assert cookie.startswith("sso=")
    assert "; Path=/; Max-Age=600; HttpOnly; SameSite=Lax" in cookie


def test_what_came_of_a_hosts_header_leads_nowhere(
    provider: IdentityProvider, portal: PortalClient
) -> None:
    location = portal.get("/sso", headers={"Host": "evil.example"}).header("location") or ""
    assert "evil" not in location


def test_signing_in_ends_the_session_that_the_browser_had(
    linked: PortalClient, provider: IdentityProvider, new_visitor: Visitors
) -> None:
    old = new_visitor()
    old.cookies = dict(linked.cookies)
    assert sign_in(linked, provider).status == 200
    assert linked.get("/students").status == 200
    assert old.get("/students").status == 401


def test_a_client_secret_is_sent_where_the_district_made_one(
    linked: PortalClient, new_visitor: Visitors, provider: IdentityProvider
) -> None:
    assert sign_in(new_visitor(), provider).status == 200
    assert provider.basic is None
    aws_stage.client("secretsmanager").create_secret(
        Name="parent-portal-local-sso", SecretString="s3cret: +\n"
    )
    assert sign_in(new_visitor(), provider).status == 200
    sent = base64.b64decode((provider.basic or "").removeprefix("Basic ")).decode()
    assert sent == "parent-portal:s3cret%3A+%2B"


# --- who gets no session ----------------------------------------------------------------


def test_without_an_issuer_there_is_no_single_sign_on(
    portal: PortalClient, new_visitor: Visitors
) -> None:
    rosa = factories.signed_in(new_visitor, factories.account(factories.family()))
    for visitor in (portal, rosa):
        assert visitor.get("/sso").code == "not-found"
        assert visitor.get("/sso/callback?state=a&code=b").code == "not-found"
        assert visitor.post("/account/sso", PROOF).code == "not-found"
        assert visitor.post("/account/sso/unlink", PROOF).code == "not-found"
    assert "SSO" not in portal.get("/sign-in", accept=HTML).text
    assert "SSO" not in rosa.get("/account", accept=HTML).text


def test_whoever_is_not_linked_gets_no_session(
    linked: PortalClient, new_visitor: Visitors, provider: IdentityProvider
) -> None:
    visitor = new_visitor()
    provider.bend = lambda claims: claims.update(email="parent@example.com", email_verified=True)
    refused(sign_in(visitor, provider, sub="u-2"), visitor)


def test_the_same_subject_of_another_issuer_is_somebody_else(
    linked: PortalClient, new_visitor: Visitors
) -> None:
    other = IdentityProvider().start()
    district.save_preferences({"sso_issuer": other.issuer})
    visitor = new_visitor()
    refused(sign_in(visitor, other, sub="u-1"), visitor)
    other.stop()


@pytest.mark.parametrize(
    ("function", "code"),
    [
        ("disable_account", "account-disabled"),
        ("require_password_reset", "sso-not-linked"),
        ("delete_account", "sso-not-linked"),
    ],
)
def test_a_shut_account_gets_no_session_by_single_sign_on(
    linked: PortalClient,
    provider: IdentityProvider,
    invoke: Callable[[str, Any], Any],
    function: str,
    code: str,
) -> None:
    event = {"username": "Rosa1"}
    if function == "require_password_reset":
        event["reason"] = "seen in a leak"
    assert "error" not in invoke(function, event)
    answer = sign_in(linked, provider)
    assert (answer.status, answer.code) == (403, code)
    assert linked.get("/students").status == 401


def test_who_is_locked_out_is_so_on_this_way_too(
    linked: PortalClient, new_visitor: Visitors, provider: IdentityProvider
) -> None:
    for _ in range(6):
        linked.post("/forgot-username", {"email": "parent@example.com"})
    answer = sign_in(new_visitor(), provider)
    assert (answer.status, answer.code) == (403, "locked-out")
    assert answer.json()["locked_until"] == "2026-03-03T05:00:00Z"


# --- state, nonce, code: each left out, swapped, replayed (S77) -----------------------------


@pytest.mark.parametrize("without", ["code", "state"])
def test_a_way_back_that_lacks_something_opens_nothing(
    linked: PortalClient, new_visitor: Visitors, provider: IdentityProvider, without: str
) -> None:
    visitor = new_visitor()
    back = provider.sign_in(set_out(visitor))
    refused(visitor.get(re.sub(f"{without}=[^&]*&?", "", back)), visitor)


def test_without_the_cookie_nobody_comes_back(
    linked: PortalClient, new_visitor: Visitors, provider: IdentityProvider
) -> None:
    visitor = new_visitor()
    back = provider.sign_in(set_out(visitor))
    visitor.cookies.clear()
    refused(visitor.get(back), visitor)


def test_what_one_browser_began_no_other_ends(
    linked: PortalClient, new_visitor: Visitors, provider: IdentityProvider
) -> None:
    one, other = new_visitor(), new_visitor()
    back = provider.sign_in(set_out(one))
    set_out(other)
    refused(other.get(back), other)
    # The browser that began it isn't harmed.
    assert one.get(back).status == 200


def test_a_state_of_another_attempt_of_the_same_browser_opens_nothing(
    linked: PortalClient, new_visitor: Visitors, provider: IdentityProvider
) -> None:
    visitor = new_visitor()
    early = provider.sign_in(set_out(visitor))
    set_out(visitor)
    refused(visitor.get(early), visitor)


def test_a_way_back_is_used_once(
    linked: PortalClient, new_visitor: Visitors, provider: IdentityProvider
) -> None:
    visitor = new_visitor()
    back = provider.sign_in(set_out(visitor))
    before = dict(visitor.cookies)
    assert visitor.get(back).status == 200
    thief = new_visitor()
    thief.cookies = before
    refused(thief.get(back), thief)


def test_a_code_that_was_used_opens_nothing(
    linked: PortalClient, new_visitor: Visitors, provider: IdentityProvider
) -> None:
    first, second = new_visitor(), new_visitor()
    used = provider.sign_in(set_out(first))
    assert first.get(used).status == 200
    fresh = provider.sign_in(set_out(second))
    code = re.search(r"code=([^&]+)", used)[1]  # type: ignore[index]
    refused(second.get(re.sub(r"code=[^&]+", f"code={code}", fresh)), second)


def test_a_stolen_code_is_worth_nothing_in_another_browser(
    linked: PortalClient, new_visitor: Visitors, provider: IdentityProvider
) -> None:
    """The thief's own state and cookie don't make the verifier that the code was asked with."""
    victim, thief = new_visitor(), new_visitor()
    stolen = re.search(r"code=([^&]+)", provider.sign_in(set_out(victim)))[1]  # type: ignore[index]
    own = provider.sign_in(set_out(thief), sub="u-9")
    refused(thief.get(re.sub(r"code=[^&]+", f"code={stolen}", own)), thief)


def test_an_attempt_ends_after_ten_minutes(
    linked: PortalClient, new_visitor: Visitors, provider: IdentityProvider, clock: Any
) -> None:
    visitor = new_visitor()
    back = provider.sign_in(set_out(visitor))
    clock.shift(timedelta(minutes=10))
    refused(visitor.get(back), visitor)


def test_who_gives_up_at_the_provider_is_told_so(
    linked: PortalClient, new_visitor: Visitors, provider: IdentityProvider
) -> None:
    visitor = new_visitor()
    back = provider.sign_in(set_out(visitor), error="access_denied")
    refused(visitor.get(back), visitor)


def test_an_answer_that_names_another_issuer_is_not_taken(
    linked: PortalClient, new_visitor: Visitors, provider: IdentityProvider
) -> None:
    visitor = new_visitor()
    back = provider.sign_in(set_out(visitor), iss="https://evil.example")
    refused(visitor.get(back), visitor)
    assert visitor.get(provider.sign_in(set_out(visitor), iss=provider.issuer)).status == 200


def test_a_provider_that_always_names_itself_is_held_to_it(
    new_visitor: Visitors, provider: IdentityProvider
) -> None:
    provider.metadata = {"authorization_response_iss_parameter_supported": True}
    visitor = new_visitor()
    refused(sign_in(visitor, provider), visitor)


# --- forged tokens (S78): all of them are in tests/unit/test_id_tokens.py ---------------------


@pytest.mark.parametrize("name", ["wrong audience", "wrong nonce", "expired", "not yet valid"])
def test_a_token_that_does_not_hold_opens_nothing(
    linked: PortalClient, new_visitor: Visitors, provider: IdentityProvider, name: str
) -> None:
    provider.bend = lambda claims: claims.update(BENT[name])
    visitor = new_visitor()
    refused(sign_in(visitor, provider), visitor, "sso-unavailable")


@pytest.mark.parametrize(
    "forge",
    [unsigned, by_hmac_with_the_public_key, by_a_key_in_the_header, by_a_key_somewhere_else],
    ids=lambda one: one.__name__,
)
def test_a_forged_token_opens_nothing_and_no_key_of_its_own_is_fetched(
    linked: PortalClient, new_visitor: Visitors, provider: IdentityProvider, forge: Any
) -> None:
    provider.forge = forge
    visitor = new_visitor()
    refused(sign_in(visitor, provider), visitor, "sso-unavailable")
    assert "/evil" not in provider.asked


# --- keys (S80) -----------------------------------------------------------------------------


def test_a_new_key_is_fetched_once_it_signs(
    linked: PortalClient, new_visitor: Visitors, provider: IdentityProvider, clock: Any
) -> None:
    assert provider.asked.count("/jwks") == 1
    clock.shift(timedelta(minutes=2))
    provider.key, provider.published = "second", ("first", "second")
    assert sign_in(new_visitor(), provider).status == 200
    assert sign_in(new_visitor(), provider).status == 200
    assert provider.asked.count("/jwks") == 2


def test_a_key_that_is_withdrawn_is_forgotten_within_the_hour(
    linked: PortalClient, new_visitor: Visitors, provider: IdentityProvider, clock: Any
) -> None:
    provider.published = ("second",)
    clock.shift(timedelta(hours=1))
    visitor = new_visitor()
    refused(sign_in(visitor, provider), visitor, "sso-unavailable")


def test_a_thousand_unknown_keys_are_one_fetch(
    linked: PortalClient, provider: IdentityProvider, clock: Any
) -> None:
    clock.shift(timedelta(minutes=2))
    found = oidc.provider(provider.issuer, now=factories.NOW + timedelta(minutes=2))
    for _ in range(1000):
        oidc.keys(found, unknown=True, now=factories.NOW + timedelta(minutes=2, seconds=59))
    assert provider.asked.count("/jwks") == 2


def test_unknown_keys_are_not_fetched_anew_at_each_sign_in(
    linked: PortalClient, new_visitor: Visitors, provider: IdentityProvider, clock: Any
) -> None:
    clock.shift(timedelta(minutes=2))
    provider.forge = by_a_key_somewhere_else
    for _ in range(5):
        visitor = new_visitor()
        refused(sign_in(visitor, provider), visitor, "sso-unavailable")
    assert provider.asked.count("/jwks") == 2


def test_what_the_provider_says_of_itself_is_kept(
    linked: PortalClient, new_visitor: Visitors, provider: IdentityProvider
) -> None:
    for _ in range(3):
        assert sign_in(new_visitor(), provider).status == 200
    assert provider.asked.count("/.well-known/openid-configuration") == 1
    assert provider.asked.count("/jwks") == 1


# --- fetching (S80) -------------------------------------------------------------------------

DISCOVERY = "/.well-known/openid-configuration"


def test_a_provider_that_is_down_is_said_to_be(
    new_visitor: Visitors, provider: IdentityProvider
) -> None:
    provider.stop()
    visitor = new_visitor()
    refused(visitor.get("/sso"), visitor, "sso-unavailable")
    page = visitor.get("/sso", accept=HTML)
    assert page.status == 502
    assert "Single sign-on doesn’t work right now" in page.text


@pytest.mark.parametrize("path", [DISCOVERY, "/token", "/jwks"])
@pytest.mark.parametrize("how", [redirecting, huge, silent, dripping], ids=lambda f: f.__name__)
def test_a_provider_that_answers_badly_opens_nothing_and_costs_little(
    portal: PortalClient,
    provider: IdentityProvider,
    monkeypatch: pytest.MonkeyPatch,
    path: str,
    how: Any,
) -> None:
    monkeypatch.setattr(oidc, "PAUSE_SECONDS", 1.0)
    monkeypatch.setattr(oidc, "WHOLE_SECONDS", 1.5)
    provider.respond[path] = how
    answer = portal.get("/sso")
    if path != DISCOVERY:
        answer = portal.get(provider.sign_in(answer.header("location") or ""))
    refused(answer, portal, "sso-unavailable")
    assert provider.asked.count(path) == 1


@pytest.mark.parametrize(
    "metadata",
    [
        {"issuer": "https://evil.example"},
        {"token_endpoint": None},
        {"token_endpoint": "file:///etc/passwd"},
        {"jwks_uri": "http://u:p@127.0.0.1/"},
        {"authorization_endpoint": "https://id.example/\r\nSet-Cookie: a=b"},
        {"authorization_endpoint": "javascript:alert(1)"},
    ],
    ids=str,
)
def test_a_provider_that_says_something_odd_of_itself_is_not_used(
    new_visitor: Visitors, provider: IdentityProvider, metadata: dict[str, Any]
) -> None:
    provider.metadata = metadata
    visitor = new_visitor()
    refused(visitor.get("/sso"), visitor, "sso-unavailable")


@pytest.mark.parametrize(
    "issuer",
    [
        "https://169.254.169.254",
        "https://127.0.0.1",
        "https://[::1]",
        "https://10.0.0.1",
        "https://[fd00:ec2::254]",
        "https://localhost",
        "http://8.8.8.8",
    ],
)
def test_outside_the_local_stage_only_public_addresses_by_https_are_asked(
    stage: object, monkeypatch: pytest.MonkeyPatch, issuer: str
) -> None:
    monkeypatch.setattr(settings, "STAGE", "prod")
    monkeypatch.setattr(oidc, "HTTPSConnection", None)
    monkeypatch.setattr(oidc, "HTTPConnection", None)
    with pytest.raises(oidc.ProviderFailed, match=r"not public|address"):
        oidc.provider(issuer, now=factories.NOW)


def test_a_certificate_that_nobody_vouches_for_is_not_taken(
    stage: object, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    provider = IdentityProvider().start()
    assert provider.server is not None
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(own_certificate(tmp_path))
    provider.server.socket = context.wrap_socket(provider.server.socket, server_side=True)
    address = provider.issuer.replace("http:", "https:")
    with pytest.raises(oidc.ProviderFailed, match="SSLCertVerificationError"):
        oidc.provider(address, now=factories.NOW)
    assert provider.asked == []
    provider.stop()


def own_certificate(folder: Path) -> Path:
    """Write a key with a certificate for 127.0.0.1 that only it has signed."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "127.0.0.1")])
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(factories.NOW - timedelta(days=1))
        .not_valid_after(factories.NOW + timedelta(days=3650))
        .add_extension(
            x509.SubjectAlternativeName([x509.IPAddress(ip_address("127.0.0.1"))]), critical=False
        )
        .sign(key, hashes.SHA256())
    )
    path = folder / "certificate.pem"
    path.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
        + certificate.public_bytes(serialization.Encoding.PEM)
    )
    return path


# --- linking (S79) ----------------------------------------------------------------------------


def test_linking_asks_for_the_password_and_goes_on_by_itself(
    rosa: factories.SomeAccount, new_visitor: Visitors, provider: IdentityProvider
) -> None:
    visitor = factories.signed_in(new_visitor, rosa)
    wrong = visitor.post("/account/sso", {"current_password": "wrong 1"})
    assert (wrong.status, wrong.code) == (422, "invalid")
    page = visitor.post("/account/sso", PROOF, form=True, accept=HTML)
    location = (page.header("refresh") or "").removeprefix("0;url=")
    assert page.status == 200
    assert f'href="{location.replace("&", "&amp;")}"' in page.text
    back = visitor.get(provider.sign_in(location), accept=HTML)
    assert (back.status, back.header("location")) == (303, "../account?note=sso-linked")
    shown = visitor.get("/account?note=sso-linked", accept=HTML).text
    assert "From now on you can use it to sign in" in shown
    assert 'action="account/sso/unlink"' in shown


def test_a_form_posted_twice_can_be_followed_either_time(
    rosa: factories.SomeAccount, new_visitor: Visitors, provider: IdentityProvider
) -> None:
    visitor = factories.signed_in(new_visitor, rosa)
    fields = PROOF | {"form_id": "f1"}
    visitor.post("/account/sso", fields)
    again = visitor.post("/account/sso", fields)
    assert visitor.get(provider.sign_in(again.json()["location"])).status == 200


def test_both_ways_are_told_by_mail_that_the_owner_can_undo(
    rosa: factories.SomeAccount, new_visitor: Visitors, provider: IdentityProvider, mailbox: Mailbox
) -> None:
    visitor = factories.signed_in(new_visitor, rosa)
    mailbox()
    assert link(visitor, provider).status == 200
    assert visitor.post("/account/sso/unlink", PROOF).status == 200
    mails = mailbox()
    assert [m.subject for m in mails] == [
        "Single sign-on was linked to your Parent Portal account",
        "Single sign-on was unlinked from your Parent Portal account",
    ]
    assert all("not-me?token=" in m.html for m in mails)


def test_a_stranger_who_linked_their_own_is_thrown_out_by_the_mail(
    rosa: factories.SomeAccount, new_visitor: Visitors, provider: IdentityProvider, mailbox: Mailbox
) -> None:
    thief = factories.signed_in(new_visitor, rosa)
    mailbox()
    assert link(thief, provider, sub="thief").status == 200
    (mail,) = mailbox()
    owner = new_visitor()
    assert owner.post("/not-me", {"token": token_of(mail, "not-me")}).status == 200
    (mail,) = mailbox()
    fields = {
        "token": token_of(mail, "reset-password"),
        "password": "a new one 42",
        "verify_password": "a new one 42",
    }
    assert owner.post("/reset-password", fields).status == 200
    visitor = new_visitor()
    refused(sign_in(visitor, provider, sub="thief"), visitor)


def test_unlinked_it_opens_nothing_any_more(
    linked: PortalClient, new_visitor: Visitors, provider: IdentityProvider
) -> None:
    assert linked.post("/account/sso/unlink", {"current_password": "wrong 1"}).status == 422
    assert linked.post("/account/sso/unlink", PROOF).status == 200
    visitor = new_visitor()
    refused(sign_in(visitor, provider), visitor)
    assert linked.post("/account/sso/unlink", PROOF).status == 200
    assert link(linked, provider).status == 200
    assert sign_in(visitor, provider).status == 200


def test_a_linked_subject_never_moves(
    linked: PortalClient, new_visitor: Visitors, provider: IdentityProvider, mailbox: Mailbox
) -> None:
    other = factories.account(factories.family(email="other@example.com"), username="Other2")
    visitor = factories.signed_in(new_visitor, other)
    mailbox()
    assert link(visitor, provider).code == "sso-not-linked"
    assert mailbox() == []
    assert sign_in(new_visitor(), provider).json()["username"] == "Rosa1"


def test_another_subject_takes_the_place_of_the_one_before(
    linked: PortalClient, new_visitor: Visitors, provider: IdentityProvider
) -> None:
    assert link(linked, provider, sub="u-2").status == 200
    assert sign_in(new_visitor(), provider, sub="u-2").json()["username"] == "Rosa1"
    visitor = new_visitor()
    refused(sign_in(visitor, provider, sub="u-1"), visitor)


def test_linking_the_same_again_changes_and_mails_nothing(
    linked: PortalClient, provider: IdentityProvider, mailbox: Mailbox
) -> None:
    assert link(linked, provider).status == 200
    assert mailbox() == []


def test_a_deleted_accounts_subject_is_free_again(
    linked: PortalClient,
    new_visitor: Visitors,
    provider: IdentityProvider,
    invoke: Callable[[str, Any], Any],
) -> None:
    invoke("delete_account", {"username": "Rosa1"})
    scanned = aws_stage.client("dynamodb").scan(TableName=settings.name("accounts"))
    assert scanned["Items"] == []
    other = factories.account(factories.family(email="other@example.com"), username="Other2")
    assert link(factories.signed_in(new_visitor, other), provider).status == 200


def test_a_required_reset_frees_the_subject_too(
    linked: PortalClient,
    new_visitor: Visitors,
    provider: IdentityProvider,
    invoke: Callable[[str, Any], Any],
) -> None:
    invoke("require_password_reset", {"username": "Rosa1", "reason": "seen in a leak"})
    other = factories.account(factories.family(email="other@example.com"), username="Other2")
    assert link(factories.signed_in(new_visitor, other), provider).status == 200
    assert sign_in(new_visitor(), provider).json()["username"] == "Other2"


def test_a_foreign_pages_link_to_us_links_nothing(
    rosa: factories.SomeAccount, new_visitor: Visitors, provider: IdentityProvider
) -> None:
    """A page that leads a signed-in parent to `/sso` and signs them in there as somebody else."""
    visitor = factories.signed_in(new_visitor, rosa)
    refused_answer = sign_in(visitor, provider, sub="attacker")
    assert refused_answer.code == "sso-not-linked"
    account = accounts.read_account("rosa1")
    assert account is not None
    assert account.sso_link is None
    asked = visitor.request(
        "POST",
        "/account/sso",
        body="{}",
        content_type="application/json",
        headers={"Sec-Fetch-Site": "cross-site"},
    )
    assert asked.code == "cross-site"


def test_a_link_is_made_only_in_the_session_that_asked(
    rosa: factories.SomeAccount, new_visitor: Visitors, provider: IdentityProvider
) -> None:
    visitor = factories.signed_in(new_visitor, rosa)
    other = factories.account(factories.family(email="other@example.com"), username="Other2")
    back = provider.sign_in(visitor.post("/account/sso", PROOF).json()["location"])
    # The next person at this browser.
    visitor.post("/sign-in", {"username": other.username, "password": other.password})
    assert visitor.get(back).code == "sso-not-linked"
    back = provider.sign_in(visitor.post("/account/sso", PROOF).json()["location"])
    visitor.post("/sign-out")
    refused(visitor.get(back), visitor)


def test_the_cookie_of_a_link_does_not_sign_anybody_in(
    rosa: factories.SomeAccount, linked: PortalClient, new_visitor: Visitors, provider: Any
) -> None:
    asked = linked.post("/account/sso", PROOF).json()["location"]
    visitor = new_visitor()
    visitor.cookies = {"sso": linked.cookies["sso"]}
    refused(visitor.get(provider.sign_in(asked)), visitor)


def test_neither_state_nor_subject_nor_verifier_lies_readable_in_a_table(
    linked: PortalClient, new_visitor: Visitors, provider: IdentityProvider
) -> None:
    visitor = new_visitor()
    location = set_out(visitor)
    dynamodb = aws_stage.client("dynamodb")
    stored = json.dumps(
        [dynamodb.scan(TableName=name)["Items"] for name in dynamodb.list_tables()["TableNames"]]
    )
    for secret in (*re.findall(r"(?:state|nonce)=([^&]+)", location), visitor.cookies["sso"]):
        assert secret not in stored
    assert "u-1" not in stored


def test_a_link_goes_on_over_a_rotation_of_the_secret_and_moves_to_the_new_one(
    linked: PortalClient, new_visitor: Visitors, provider: IdentityProvider
) -> None:
    for n in range(2):
        aws_stage.client("secretsmanager").put_secret_value(
            SecretId=settings.hash_secret_id(), SecretString=f"rotated {n} " * 8
        )
        forget_caches()
        assert sign_in(new_visitor(), provider).status == 200
    account = accounts.read_account("rosa1")
    assert account is not None
    (subject,) = (aws.keyring().hash("sso-subject", f"{provider.issuer}\0u-1"),)
    assert account.sso_link == subject
