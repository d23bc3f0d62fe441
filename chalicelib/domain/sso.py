"""Single sign-on by OpenID Connect: to the district's identity provider and back, and what is linked.

Code flow with PKCE (RFC 7636), `state` and `nonce` (security rows S77–S79). The browser that sets out
gets a random cookie; verifier and nonce are made from it one-way, so that neither is stored anywhere.
An account is found by issuer and subject, never by an address.
"""

import base64
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from urllib.parse import quote_plus, urlencode, urlsplit, urlunsplit

from chalicelib import crypto, errors, logs, settings
from chalicelib.domain import accounts, devices, id_tokens, mail, who
from chalicelib.storage import accounts as stored
from chalicelib.storage import aws, district, oidc, sso
from chalicelib.storage.values import Account, Session

# From setting out to coming back: time to sign in at the provider, second factor and all.
ATTEMPT = timedelta(minutes=10)
_MOST_TEXT = 4096


@dataclass(frozen=True)
class SettingOut:
    """Where the browser goes, and the cookie by which it is known when it comes back."""

    location: str
    handle: str


@dataclass(frozen=True)
class Arrived:
    """Who came back: the keyed hash of issuer and subject under each live secret, the current first.

    `session_hash` is the session that asked for a link; None where somebody signs in. `next_path` is
    the page of ours that they wanted before they set out, if any.
    """

    subject_hashes: tuple[str, ...]
    session_hash: str | None
    next_path: str | None


# --- there and back -------------------------------------------------------------


def require_configured() -> tuple[str, str]:
    """Return issuer and client id of the district.

    Raises:
        NotFound: it has no single sign-on.
    """
    preferences = district.preferences()
    if not preferences.sso_issuer or not preferences.sso_client_id:
        raise errors.NotFound
    return preferences.sso_issuer, preferences.sso_client_id


def set_out(*, session: Session | None, next_path: str | None = None, now: datetime) -> SettingOut:
    """Begin a way to the provider: to sign in, or to link the account of `session`.

    `next_path`, a path of ours, waits here for whoever comes back; the provider never learns of it.

    Raises:
        NotFound: no issuer is configured.
        SsoUnavailable: the provider doesn't say where to go.
    """
    issuer, client_id = require_configured()
    state, handle = crypto.new_token(), crypto.new_token()
    provider = _provider(issuer, now)
    keyring = aws.keyring()
    sso.begin(
        sso.Attempt(
            state_hash=keyring.hash("sso-state", state),
            browser_hash=keyring.hash("sso-browser", handle),
            session_hash=None if session is None else session.session_hash,
            next_path=next_path,
        ),
        expires_at=int((now + ATTEMPT).timestamp()),
    )
    asked = {
        "response_type": "code",
        "scope": "openid",
        "client_id": client_id,
        "redirect_uri": _redirect_uri(),
        "state": state,
        "nonce": _nonce(handle),
        "code_challenge": crypto.digest(_verifier(handle)),
        "code_challenge_method": "S256",
    }
    return SettingOut(_with_query(provider.authorization_endpoint, asked), handle)


def arrive(query: Mapping[str, str], handle: str | None, *, now: datetime) -> Arrived:
    """Take who comes back from the provider at their word, once everything holds.

    Raises:
        NotFound: no issuer is configured.
        SsoNotLinked: not this browser's way, used before, too old, or given up at the provider.
        SsoUnavailable: the provider doesn't answer, or with nothing that could be trusted.
    """
    issuer, client_id = require_configured()
    attempt = _used(query.get("state"), handle, now)
    provider = _provider(issuer, now)
    said_issuer, code = query.get("iss"), query.get("code", "")
    if (said_issuer is not None or provider.names_itself) and said_issuer != provider.issuer:
        raise _not_linked("issuer")
    if "error" in query or not 0 < len(code) <= _MOST_TEXT:
        raise _not_linked("given-up")
    assert handle is not None
    token = _exchange(provider, code, client_id, handle)
    try:
        found = _subject(provider, token, client_id, handle, now)
    except (id_tokens.TokenRefused, id_tokens.UnknownKey) as error:
        logs.event("sso-token-refused", level="warning", reason=str(error) or "kid")
        raise errors.SsoUnavailable from error
    hashes = aws.keyring().hashes("sso-subject", f"{provider.issuer}\0{found}")
    return Arrived(tuple(hashes), attempt.session_hash, attempt.next_path)


def _used(state: str | None, handle: str | None, now: datetime) -> sso.Attempt:
    if not state or not handle or max(len(state), len(handle)) > _MOST_TEXT:
        raise _not_linked("no-state")
    keyring = aws.keyring()
    hashes = keyring.hashes("sso-state", state), keyring.hashes("sso-browser", handle)
    attempt = sso.use(*hashes, now=now)
    if attempt is None:
        raise _not_linked("state")
    return attempt


def _provider(issuer: str, now: datetime) -> oidc.Provider:
    try:
        return oidc.provider(issuer, now=now)
    except oidc.ProviderFailed as error:
        raise _unavailable(error) from error


def _exchange(provider: oidc.Provider, code: str, client_id: str, handle: str) -> str:
    """Return the ID token that the provider gives for the code."""
    fields = {
        "grant_type": "authorization_code",
        "code": code,
        "redirect_uri": _redirect_uri(),
        "code_verifier": _verifier(handle),
    }
    secret, authorization = aws.sso_client_secret(), None
    if secret is not None and provider.takes_basic:
        # RFC 6749 section 2.3.1: both are form-encoded first.
        pair = f"{quote_plus(client_id)}:{quote_plus(secret)}"
        authorization = "Basic " + base64.b64encode(pair.encode()).decode()
    else:
        fields |= {"client_id": client_id} | ({"client_secret": secret} if secret else {})
    try:
        token = oidc.exchange(provider, fields, authorization=authorization).get("id_token")
    except oidc.CodeRefused as error:
        raise _not_linked("code") from error
    except oidc.ProviderFailed as error:
        raise _unavailable(error) from error
    if not isinstance(token, str):
        raise _unavailable(oidc.ProviderFailed("no token"))
    return token


def _subject(
    provider: oidc.Provider, token: str, client_id: str, handle: str, now: datetime
) -> str:
    """Return a token's subject; a key that nobody knows yet may be new, so it is asked for again."""

    def judged(*, unknown: bool) -> str:
        try:
            keys = oidc.keys(provider, unknown=unknown, now=now)
        except oidc.ProviderFailed as error:
            raise _unavailable(error) from error
        return id_tokens.subject(
            token,
            keys,
            issuer=provider.issuer,
            client_id=client_id,
            nonce=_nonce(handle),
            now=now,
        )

    try:
        return judged(unknown=False)
    except id_tokens.UnknownKey:
        return judged(unknown=True)


def _redirect_uri() -> str:
    """Return where the provider sends the browser back: from configuration, never from a request."""
    return settings.portal_url() + "sso/callback"


def _verifier(handle: str) -> str:
    return crypto.digest(f"sso-verifier\0{handle}")


def _nonce(handle: str) -> str:
    return crypto.digest(f"sso-nonce\0{handle}")


def _with_query(address: str, fields: Mapping[str, str]) -> str:
    parts = urlsplit(address)
    query = "&".join(one for one in (parts.query, urlencode(fields)) if one)
    return urlunsplit(parts._replace(query=query))


def _not_linked(reason: str) -> errors.SsoNotLinked:
    logs.event("sso-refused", reason=reason)
    return errors.SsoNotLinked()


def _unavailable(error: oidc.ProviderFailed) -> errors.SsoUnavailable:
    logs.event("sso-provider-failed", level="warning", reason=str(error))
    return errors.SsoUnavailable()


# --- signing in -----------------------------------------------------------------


def sign_in(
    arrived: Arrived, *, device: accounts.Device, carried: str | None, now: datetime
) -> accounts.SignedIn:
    """Begin a session for the account that the subject is linked to, as a right password would.

    Raises:
        SsoNotLinked: there is none.
        AccountDisabled, PasswordResetRequired, LockedOut: it is shut.
    """
    account = _linked_account(arrived.subject_hashes)
    if account is None:
        raise _not_linked("subject")
    if account.sso_link != arrived.subject_hashes[0]:
        # Under the secret's current version: an older one retires (security row S85).
        _store_link(account, arrived.subject_hashes, None)
    cookie = device.cookie(devices.cookie_name(account.username_key))
    try:
        signed_in = accounts.begin_session(
            _linked_account(arrived.subject_hashes),
            device=device.name,
            known=devices.is_known(account, cookie),
            password=None,
            sso_link=arrived.subject_hashes[0],
            again=lambda: _linked_account(arrived.subject_hashes),
            now=now,
        )
    except errors.SignInFailed as error:
        raise _not_linked("changed") from error
    accounts.end_earlier_sessions(account.username_key, carried)
    return signed_in


def _linked_account(subject_hashes: Sequence[str]) -> Account | None:
    link = sso.read_link(subject_hashes)
    return None if link is None else _account_of(link)


def _account_of(link: sso.Link) -> Account | None:
    """Return the account of a link; None where the account doesn't name it back any more."""
    account = stored.read_account(link.username_key)
    if account is None or account.account_id != link.account_id:
        return None
    return account if account.sso_link == link.subject_hash else None


# --- linking --------------------------------------------------------------------


def link(arrived: Arrived, token: str | None, *, now: datetime) -> None:
    """Link the subject to the account whose session asked for it, in the browser that asked.

    Raises:
        SsoNotLinked: the session is over or another, or the subject is another account's.
    """
    try:
        here = who.current(token, now=now)
        session, account = here.session, here.account
    except errors.SignInRequired as error:
        raise _not_linked("session") from error
    if session.session_hash != arrived.session_hash:
        raise _not_linked("session")
    held = sso.read_link(arrived.subject_hashes)
    holder = None if held is None else _account_of(held)
    if holder is not None and holder.account_id != account.account_id:
        raise _not_linked("taken")
    if account.sso_link == arrived.subject_hashes[0] and holder is not None:
        return
    _tell("sso-linked", account, now)
    _store_link(account, arrived.subject_hashes, held if holder is None else None)
    logs.event("sso-linked", account=account.account_id)


def _store_link(account: Account, subject_hashes: Sequence[str], dead: sso.Link | None) -> None:
    try:
        sso.link(account, subject_hashes, dead=dead)
    except sso.SubjectTaken as error:
        raise _not_linked("taken") from error
    except stored.AccountChanged as error:
        raise _not_linked("changed") from error


def unlink(account: Account, *, now: datetime) -> None:
    """Take the link off an account; one that has none stays as it is.

    Raises:
        SignInRequired: the account changed meanwhile.
    """
    if account.sso_link is None:
        return
    _tell("sso-unlinked", account, now)
    try:
        sso.unlink(account)
    except stored.AccountChanged as error:
        raise errors.SignInRequired from error
    logs.event("sso-unlinked", account=account.account_id)


def _tell(notice: str, account: Account, now: datetime) -> None:
    """Queue the mail that tells of a change; none is sent for one that never came to be."""
    generation = account.sso_generation + 1
    mail.queue_notice(
        notice,
        account,
        proof={"sso_generation": generation},
        event=f"sso#{generation}",
        now=now,
    )
