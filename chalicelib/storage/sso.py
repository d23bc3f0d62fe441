"""Single sign-on as stored: attempts under way, and which account a subject is linked to.

An attempt lies in the table `recovery-counters` under the keyed hash of its `state` (`day` = `sso`),
for some minutes; it is used once. A link lies in the table `accounts` under `sso#` and the keyed hash
of issuer and subject, and the account names it back (`sso_link`): only both together count.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from pynamodb.attributes import NumberAttribute, UnicodeAttribute
from pynamodb.models import Model
from pynamodb.transactions import TransactWrite

from chalicelib import settings
from chalicelib.storage import tables
from chalicelib.storage.account_items import AccountItem, SubjectItem, subject_item
from chalicelib.storage.accounts import ACTIVE, AccountChanged
from chalicelib.storage.values import Account

_KIND = "sso"


class SubjectTaken(Exception):
    """The subject is linked to another account, and stays there."""


# --- attempts -------------------------------------------------------------------


class _Attempt(Model):
    class Meta(tables.Meta):
        table_name = settings.name("recovery-counters")

    address_hash = UnicodeAttribute(hash_key=True)
    day = UnicodeAttribute(range_key=True)
    browser_hash = UnicodeAttribute()
    session_hash = UnicodeAttribute(null=True)
    next_path = UnicodeAttribute(null=True)
    expires_at = NumberAttribute()
    used_at = NumberAttribute(null=True)
    purge_at = NumberAttribute()


@dataclass(frozen=True)
class Attempt:
    """A way to the provider and back, as stored.

    Attributes:
        state_hash, browser_hash: keyed hashes of what the way back must bring, and of the cookie of
            the browser that set out.
        session_hash: the session that asked for a link; None where somebody signs in.
        next_path: the page of ours to go on to then; None for home.
    """

    state_hash: str
    browser_hash: str
    session_hash: str | None
    next_path: str | None = None


def begin(attempt: Attempt, *, expires_at: int) -> None:
    """Store a fresh attempt; it counts until `expires_at` (epoch seconds)."""
    _Attempt(
        attempt.state_hash,
        _KIND,
        browser_hash=attempt.browser_hash,
        session_hash=attempt.session_hash,
        next_path=attempt.next_path,
        expires_at=expires_at,
        purge_at=expires_at + tables.KEEP_SECONDS,
    ).save(condition=_Attempt.address_hash.does_not_exist())


def use(
    state_hashes: Sequence[str], browser_hashes: Sequence[str], *, now: datetime
) -> Attempt | None:
    """Use an attempt up, and return it; hashes are one for each live secret.

    Closes the race of one `state` used at once: one conditional write also judges browser and age.
    None where it was used, is over, belongs to another browser, or never was.
    """
    at = int(now.timestamp())
    for state_hash, browser_hash in zip(state_hashes, browser_hashes, strict=True):
        item = _Attempt(state_hash, _KIND)
        if tables.update_if(
            item,
            actions=[_Attempt.used_at.set(at)],
            condition=(_Attempt.browser_hash == browser_hash)
            & _Attempt.used_at.does_not_exist()
            & (_Attempt.expires_at > at),
        ):
            return Attempt(state_hash, item.browser_hash, item.session_hash, item.next_path)
    return None


# --- links ----------------------------------------------------------------------


@dataclass(frozen=True)
class Link:
    """A subject's link, by the keyed hash of issuer and subject."""

    subject_hash: str
    username_key: str
    account_id: str


def read_link(subject_hashes: Sequence[str]) -> Link | None:
    """Return the link stored under one of the hashes (one for each live secret), consistently."""
    items = [subject_item(one).username_key for one in subject_hashes]
    for item in SubjectItem.batch_get(items, consistent_read=True):
        return Link(
            item.username_key.removeprefix(SubjectItem.PREFIX), item.linked_to, item.account_id
        )
    return None


def link(account: Account, subject_hashes: Sequence[str], *, dead: Link | None) -> None:
    """Link a subject (its hash under each live secret, the current one first) to an account.

    One transaction: the account's earlier link goes with it. Closes the race of two accounts that link
    one subject at once, whichever secret each hashed it with. `dead` is a link that its account doesn't
    name back any more; it may be taken over.

    Raises:
        SubjectTaken: another account has it.
        AccountChanged: the account isn't the one that was read.
    """
    current, *older = subject_hashes
    checked = [one for one in older if one != account.sso_link]
    replaced = account.sso_link if account.sso_link not in (None, current) else None
    free = SubjectItem.account_id.does_not_exist() | (SubjectItem.account_id == account.account_id)
    if dead is not None:
        free |= SubjectItem.account_id == dead.account_id

    def write(transaction: TransactWrite) -> None:
        for one in checked:
            transaction.condition_check(SubjectItem, subject_item(one).username_key, condition=free)
        if replaced is not None:
            transaction.delete(subject_item(replaced))
        item = subject_item(current)
        item.linked_to, item.account_id = account.username_key, account.account_id
        transaction.save(item, condition=free)
        transaction.update(
            AccountItem(account.username_key),
            actions=[AccountItem.sso_link.set(current), AccountItem.sso_generation.add(1)],
            condition=(AccountItem.account_id == account.account_id)
            & (AccountItem.session_generation == account.session_generation)
            & (AccountItem.sso_generation == account.sso_generation)
            & (AccountItem.state == ACTIVE),
        )

    try:
        tables.transact(write)
    except tables.ConditionFailed as error:
        last = len(checked) + (replaced is not None) + 1
        if error.failed == {last}:
            raise AccountChanged from error
        raise SubjectTaken from error


def unlink(account: Account) -> None:
    """Remove an account's link: one transaction.

    Raises:
        AccountChanged: the account or its link isn't what was read.
    """
    assert account.sso_link is not None

    def write(transaction: TransactWrite) -> None:
        transaction.delete(subject_item(str(account.sso_link)))
        transaction.update(
            AccountItem(account.username_key),
            actions=[AccountItem.sso_link.remove(), AccountItem.sso_generation.add(1)],
            condition=(AccountItem.account_id == account.account_id)
            & (AccountItem.session_generation == account.session_generation)
            & (AccountItem.sso_link == account.sso_link),
        )

    try:
        tables.transact(write)
    except tables.ConditionFailed as error:
        raise AccountChanged from error
