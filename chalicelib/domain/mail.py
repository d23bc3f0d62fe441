"""Which mails exist, who gets them, and that each goes out once.

A message on the queue holds ids, never a key, link or digit; what it stands for is looked up here, in
the worker. Delivered twice it mails once: each mail has a mark that says it was sent. SES has no token
that would prevent a double, so a crash between sending and noting costs one mail more (security S53).
"""

import contextlib
import unicodedata
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, Protocol

from chalicelib import crypto, logs, policy, settings, texts
from chalicelib.domain import addresses
from chalicelib.storage import accounts, aws, counters, district, links, roster
from chalicelib.storage.values import Account, GuardianRecord

# Longer than send_mail's timeout: another worker may still be at it.
_LEASE_SECONDS = 120
# As long as a message can live, in the queue and its dead-letter queue.
_NOTED_SECONDS = 29 * 86400
_SENT = "sent"
SUPPRESSED = ("bounced", "complained")
# Until the address changes or an admin clears it: longer than any child is at school.
_SUPPRESSED_SECONDS = 20 * 365 * 86400
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
    ) -> bool:
        """Send mail `name` to one recipient; `data` holds only what its words need.

        False where it would not arrive: the address bounced or complained, or is none.
        """


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


def put_off(receipt: str, tries: int) -> None:
    """Have a mail that failed, for the `tries`th time, delivered again: soon at first, then later.

    A mail that ran ahead of what it tells of comes seconds after it, and an hour's outage costs none.
    """
    last = len(policy.MAIL_RETRY_SECONDS)
    aws.put_off_mail(receipt, seconds=policy.MAIL_RETRY_SECONDS[min(tries, last) - 1])


def first_time(mark: str, *, now: datetime) -> bool:
    """Whether a step of a message runs for the first time, however often the message comes."""
    return counters.claim(f"step#{mark}", seconds=_NOTED_SECONDS, now=now)


def languages_of(guardian: GuardianRecord) -> Sequence[str]:
    """Return the guardian's language, or every one where the roster doesn't know theirs."""
    known = (guardian.language or "").partition("-")[0].lower()
    return (known,) if known in texts.LANGUAGES else texts.LANGUAGES


def _send(
    recipient: str, name: str, *, languages: Sequence[str], data: Mapping[str, object]
) -> bool:
    if address_state(recipient) is not None:
        logs.event("mail-suppressed", mail=name)
        return False
    mailbox = addresses.deliverable(recipient)
    if mailbox is None:
        # The import takes no such address; sent all the same it could become two recipients, and
        # tried again it would fail again.
        logs.event("mail-unsendable", level="warning", mail=name)
        return False
    preferences = district.preferences()
    rendered = texts.mail(
        name,
        languages=languages,
        data={
            **{key: _in_one_line(value) for key, value in data.items()},
            "portal_url": settings.portal_url(),
            "district_name": preferences.district_name,
            "support_url": preferences.support_url,
            "time_zone": preferences.time_zone,
        },
    )
    aws.send_mail(
        recipient=mailbox, subject=rendered.subject, text=rendered.text, html=rendered.html
    )
    logs.event("mail-sent", mail=name)
    return True


# --- addresses that mails don't reach -----------------------------------------------------


def address_state(address: str) -> str | None:
    """Return `bounced` or `complained` where mails to an address would be suppressed anyway."""
    for address_hash in addresses.hashes(address):
        state = counters.outcome(f"mail-state#{address_hash}")
        if state in SUPPRESSED:
            return state
    return None


def note_address(address: str, state: str | None, *, now: datetime) -> None:
    """Note what became of a mail to an address; a delivery takes back no bounce."""
    for address_hash in addresses.hashes(address):
        mark = f"mail-state#{address_hash}"
        if state is None:
            counters.release(mark)
        elif state in SUPPRESSED:
            counters.conclude(mark, state, seconds=_SUPPRESSED_SECONDS, now=now)


# --- security mails -------------------------------------------------------------------


def queue_notice(
    notice: str,
    account: Account,
    *,
    proof: Mapping[str, int],
    event: str | None = None,
    by: links.Link | None = None,
    now: datetime,
    **data: object,
) -> None:
    """Queue a mail that tells of a security event, before the event is written.

    A crash in between loses no mail; the worker sends none for what never came to be: every attribute
    named in `proof` must have reached its value, and where it comes about by the use of a mailed link,
    in one transaction with it, that link must be used. What can't fail needs no proof. Queued again
    for the same `event` of an account (a try that failed half-way, and the next) it is mailed once.
    """
    name = f"{notice}#{account.account_id}#{event}" if event else crypto.new_id()
    aws.queue_mail(
        {
            "kind": "notice",
            "notice": notice,
            "id": name,
            "username_key": account.username_key,
            "account_id": account.account_id,
            "to": account.email,
            "proof": dict(proof),
            "data": data,
            "by": used_link(by),
            "queued_at": int(now.timestamp()),
        },
        delay=1 if proof else 0,
    )


def used_link(link: links.Link | None) -> Mapping[str, str] | None:
    """Return how a message on the queue names the link whose use is its proof."""
    return None if link is None else {"kind": link.kind, "hash": link.link_hash}


def mail_notice(message: Mapping[str, Any], *, now: datetime) -> None:
    """Tell a guardian of a security event, with a link that says "this wasn't me".

    Raises:
        Busy: what the mail tells of isn't written yet; after a minute it never will be.
    """
    account = _proven(message, now)
    guardian = account and roster.guardian_partition(account.guardian_id)
    recipient = message["to"]
    if account is None or not recipient:
        return
    with once(f"notice#{message['id']}", now=now) as send:
        if send is not None:
            data = dict(message["data"])
            if "locked_until" in data:
                data["until"] = datetime.fromtimestamp(data.pop("locked_until"), UTC)
            if "at" in data:
                data["time"] = datetime.fromtimestamp(data.pop("at"), UTC)
            restore = data.pop("restore", None)
            source = data.pop("restore_source", None)
            send(
                recipient,
                message["notice"],
                languages=languages_of(guardian) if guardian else texts.LANGUAGES,
                data={
                    "name": guardian.given_name if guardian else "",
                    "username": account.username,
                    "not_me": not_me_link(
                        account, recipient, restore=restore, restore_source=source, now=now
                    ),
                    **data,
                },
            )


def _proven(message: Mapping[str, Any], now: datetime) -> Account | None:
    account = accounts.read_account(message["username_key"])
    came_to_be = (
        account is not None
        and account.account_id == message["account_id"]
        and all((getattr(account, name) or 0) >= value for name, value in message["proof"].items())
        and _is_used(message.get("by"))
    )
    if not came_to_be:
        _refuse_early(message, now)
    return account if came_to_be else None


def _is_used(link: Mapping[str, str] | None) -> bool:
    """Whether what comes about by a link did.

    A generation alone doesn't prove it: something else may have moved it on first. Days later the
    link is purged, and then it does.
    """
    return link is None or links.is_used(link["kind"], link["hash"]) is not False


def _refuse_early(message: Mapping[str, Any], now: datetime) -> None:
    """Wait with what isn't there yet; after a minute it never will be."""
    queued = datetime.fromtimestamp(message["queued_at"], UTC)
    if now - queued < timedelta(seconds=_ACCOUNT_SECONDS):
        raise Busy


def not_me_link(
    account: Account,
    recipient: str,
    *,
    restore: str | None = None,
    restore_source: str | None = None,
    now: datetime,
) -> str:
    """Make the link with which whoever reads this mail says that it wasn't them."""
    lasts = timedelta(days=policy.NOT_ME_LINK_DAYS)
    token = new_link(
        links.NOT_ME,
        account,
        recipient,
        lasts=lasts,
        restore=restore,
        restore_source=restore_source,
        now=now,
    )
    return link("not-me", token)


def link(page: str, token: str) -> str:
    """Return a mailed link: from configuration, never from a request's headers."""
    return f"{settings.portal_url()}{page}?token={token}"


def new_link(
    kind: str,
    account: Account,
    email: str,
    *,
    lasts: timedelta,
    restore: str | None = None,
    restore_source: str | None = None,
    now: datetime,
) -> str:
    """Make a mailed link's token; only its keyed hash is kept."""
    token = crypto.new_token()
    links.issue(
        links.Link(
            link_hash=aws.keyring().hash("link", token),
            kind=kind,
            username_key=account.username_key,
            account_id=account.account_id,
            link_generation=account.link_generation,
            email=email,
            restore=restore,
            restore_source=restore_source,
            created_at=int(now.timestamp()),
            expires_at=int((now + lasts).timestamp()),
            used_at=None,
        )
    )
    return token


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
                data={
                    "name": guardian.given_name,
                    "username": account.username,
                    "not_me": not_me_link(account, account.email, now=now),
                },
            )


# --- address changed by the roster, or taken back -----------------------------


def mail_address_changed(message: Mapping[str, Any], *, now: datetime) -> None:
    """Tell an old address that it is one no more.

    No link but the ticket form: the roster may be putting a mistake right (contract, `/not-me`).

    Raises:
        Busy: what takes it back isn't written yet; after a minute it never will be.
    """
    if not _is_used(message.get("by")):
        _refuse_early(message, now)
        return
    guardian = roster.guardian_partition(message["guardian_id"])
    languages = texts.LANGUAGES if guardian is None else languages_of(guardian)
    with once(message["id"], now=now) as send:
        if send is not None:
            send(message["old_address"], "address-changed", languages=languages, data={})
