"""Who is signed in: session, account, and the language that they are spoken to in.

The language is the one chosen on `/preferences`, else the roster's (contract section 2). Both are read
with the account, so that it costs no call of its own.
"""

from dataclasses import dataclass
from datetime import datetime

from chalicelib import errors, texts
from chalicelib.domain import accounts
from chalicelib.storage import signed_in
from chalicelib.storage.values import Account, Session


@dataclass(frozen=True)
class SignedInAs:
    """A session that stands, and whose it is; `language` is None where it is none of ours."""

    session: Session
    account: Account
    language: str | None


def current(token: str | None, *, now: datetime) -> SignedInAs:
    """Return a session that stands, moved, with its account; two calls.

    Raises:
        SignInRequired: there is none.
    """
    return _of(accounts.use_session(token, now=now))


def look(token: str | None, *, now: datetime) -> SignedInAs:
    """Return a session that stands with its account, moving nothing; two calls.

    Raises:
        SignInRequired: there is none.
    """
    return _of(accounts.look_at_session(token, now=now))


def anybody(token: str | None, *, now: datetime) -> SignedInAs | None:
    """Return what `look` does, None where nobody is signed in; without a token no call."""
    try:
        return look(token, now=now)
    except errors.SignInRequired:
        return None


def language_of(account: Account, roster: str | None) -> str | None:
    """Return the one of our languages that a guardian chose, else the roster's (`es` for `es-MX`)."""
    return texts.known_language(account.choices.language) or texts.known_language(roster)


def _of(session: Session) -> SignedInAs:
    read = signed_in.read_own(session.username_key, session.guardian_id)
    account = accounts.refuse_ended(session, read.account, read.all_ended_at)
    return SignedInAs(session, account, language_of(account, read.language))
