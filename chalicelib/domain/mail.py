"""Which mails exist, who gets them, and that each goes out once.

A message on the queue holds ids, never a key, link or digit; what it stands for is looked up here, in
the worker. Delivered twice it mails once: each mail has a mark that says it was sent. SES has no token
that would prevent a double, so a crash between sending and noting costs one mail more (security S53).
"""

import contextlib
import unicodedata
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Protocol

from chalicelib import logs, settings, texts
from chalicelib.domain import addresses
from chalicelib.storage import accounts, aws, counters, district, roster
from chalicelib.storage.values import GuardianRecord

# Longer than send_mail's timeout: another worker may still be at it.
_LEASE_SECONDS = 120
# As long as a message can live, in the queue and its dead-letter queue.
_NOTED_SECONDS = 29 * 86400
_SENT = "sent"
_LINE_MAKERS = {"Cc", "Zl", "Zp"}
# Marks that turn the direction of the text that follows (Unicode UAX #9, explicit ones).
_TURNING = "\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069"
# How long an account may take to come to be after its mail was queued.
_ACCOUNT_SECONDS = 60


class Busy(Exception):
    """Another worker is at this mail, or what it tells of isn't there yet: deliver it again later."""


class Send(Protocol):
    """Render one mail and hand it to SES."""

    def __call__(
        self, recipient: str, name: str, *, languages: Sequence[str], data: Mapping[str, object]
    ) -> None:
        """Send mail `name` to one recipient; `data` holds only what its words need."""


@contextlib.contextmanager
def once(mark: str, *, now: datetime) -> Iterator[Send | None]:
    """Give a `Send` to the one worker that may send this mail; None where it was sent before.

    Raises:
        Busy: another worker is at it.
    """
    name = f"mail#{mark}"
    if not counters.claim(name, seconds=_LEASE_SECONDS, now=now):
        if counters.outcome(name) == _SENT:
            yield None
            return
        raise Busy
    try:
        yield _send
    except BaseException:
        counters.release(name)
        raise
    counters.conclude(name, _SENT, seconds=_NOTED_SECONDS, now=now)


def first_time(mark: str, *, now: datetime) -> bool:
    """Whether a step of a message runs for the first time, however often the message comes."""
    return counters.claim(f"step#{mark}", seconds=_NOTED_SECONDS, now=now)


def languages_of(guardian: GuardianRecord) -> Sequence[str]:
    """Return the guardian's language, or every one where the roster doesn't know theirs."""
    known = (guardian.language or "").partition("-")[0].lower()
    return (known,) if known in texts.LANGUAGES else texts.LANGUAGES


def _send(
    recipient: str, name: str, *, languages: Sequence[str], data: Mapping[str, object]
) -> None:
    if addresses.normalised(recipient) is None:
        # The import takes no such address; sent all the same it could become two recipients.
        logs.event("mail-unsendable", level="warning", mail=name)
        return
    preferences = district.preferences()
    rendered = texts.mail(
        name,
        languages=languages,
        data={
            **{key: _in_one_line(value) for key, value in data.items()},
            "portal_url": settings.portal_url(),
            "district_name": preferences.district_name,
            "support_url": preferences.support_url,
        },
    )
    aws.send_mail(
        recipient=recipient, subject=rendered.subject, text=rendered.text, html=rendered.html
    )
    logs.event("mail-sent", mail=name)


def _in_one_line(value: object) -> object:
    """Return a name without what could begin a line or turn the words around it (security row S51)."""
    if isinstance(value, list):
        return [_in_one_line(one) for one in value]
    if not isinstance(value, str):
        return value
    kept = "".join(" " if unicodedata.category(c) in _LINE_MAKERS else c for c in value)
    return " ".join("".join(c for c in kept if c not in _TURNING).split())


# --- account created ----------------------------------------------------------


def queue_account_created(username_key: str, account_id: str, *, now: datetime) -> None:
    """Queue the mail that tells a guardian of a new account, before the account is made."""
    aws.queue_mail(
        {
            "kind": "account-created",
            "username_key": username_key,
            "account_id": account_id,
            "queued_at": int(now.timestamp()),
        },
        delay=1,
    )


def mail_account_created(
    username_key: str, account_id: str, queued_at: int, *, now: datetime
) -> None:
    """Tell a guardian of a new account, and what to do if it wasn't them.

    Raises:
        Busy: the account isn't there yet; after a minute it never will be.
    """
    account = accounts.read_account(username_key)
    if account is None or account.account_id != account_id:
        if now - datetime.fromtimestamp(queued_at, UTC) < timedelta(seconds=_ACCOUNT_SECONDS):
            raise Busy
        return
    guardian = roster.guardian_partition(account.guardian_id)
    if not account.email or guardian is None:
        return
    with once(f"account-created#{account_id}", now=now) as send:
        if send is not None:
            send(
                account.email,
                "account-created",
                languages=languages_of(guardian),
                data={"name": guardian.given_name, "username": account.username},
            )


# --- address changed by the roster --------------------------------------------


def mail_address_changed(
    message_id: str, guardian_id: str, old_address: str, *, now: datetime
) -> None:
    """Tell an old address that the school's roster changed it.

    No link but the ticket form: the roster may be putting a mistake right (contract, `/not-me`).
    """
    guardian = roster.guardian_partition(guardian_id)
    languages = texts.LANGUAGES if guardian is None else languages_of(guardian)
    with once(message_id, now=now) as send:
        if send is not None:
            send(old_address, "address-changed", languages=languages, data={})
