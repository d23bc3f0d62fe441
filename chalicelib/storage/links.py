"""Mailed links, in the table `recovery-counters`: only their tokens' keyed hashes are stored.

`address_hash` holds the hash, `day` the kind of link (`reset`, `confirm`, `not-me`). TTL only tidies.
"""

from dataclasses import dataclass
from datetime import datetime

from pynamodb.attributes import NumberAttribute, UnicodeAttribute
from pynamodb.models import Model
from pynamodb.transactions import TransactWrite

from chalicelib import settings
from chalicelib.storage import tables

RESET, CONFIRM, NOT_ME = "reset", "confirm", "not-me"


class _Link(Model):
    class Meta(tables.Meta):
        table_name = settings.name("recovery-counters")

    address_hash = UnicodeAttribute(hash_key=True)
    day = UnicodeAttribute(range_key=True)
    username_key = UnicodeAttribute()
    account_id = UnicodeAttribute()
    link_generation = NumberAttribute()
    email = UnicodeAttribute()
    restore = UnicodeAttribute(null=True)
    restore_source = UnicodeAttribute(null=True)
    created_at = NumberAttribute()
    expires_at = NumberAttribute()
    used_at = NumberAttribute(null=True)
    purge_at = NumberAttribute()


@dataclass(frozen=True)
class Link:
    """A mailed link as stored; times in epoch seconds.

    Attributes:
        email: the address that got the mail, or that is to be confirmed.
        restore: the address that a "this wasn't me" puts back, with the source it had.
    """

    link_hash: str
    kind: str
    username_key: str
    account_id: str
    link_generation: int
    email: str
    restore: str | None
    restore_source: str | None
    created_at: int
    expires_at: int
    used_at: int | None


def issue(link: Link) -> None:
    """Store a fresh link."""
    _Link(
        link.link_hash,
        link.kind,
        username_key=link.username_key,
        account_id=link.account_id,
        link_generation=link.link_generation,
        email=link.email,
        restore=link.restore,
        restore_source=link.restore_source,
        created_at=link.created_at,
        expires_at=link.expires_at,
        purge_at=link.expires_at + tables.KEEP_SECONDS,
    ).save(condition=_Link.address_hash.does_not_exist())


def read(kind: str, link_hashes: list[str]) -> Link | None:
    """Return the link stored under one of the hashes (one for each live secret), consistently."""
    keys = [(link_hash, kind) for link_hash in link_hashes]
    for item in _Link.batch_get(keys, consistent_read=True):
        return Link(
            link_hash=item.address_hash,
            kind=item.day,
            username_key=item.username_key,
            account_id=item.account_id,
            link_generation=int(item.link_generation),
            email=item.email,
            restore=item.restore,
            restore_source=item.restore_source,
            created_at=int(item.created_at),
            expires_at=int(item.expires_at),
            used_at=None if item.used_at is None else int(item.used_at),
        )
    return None


def is_used(kind: str, link_hash: str) -> bool | None:
    """Whether a link was used, read consistently; None where the link is there no more."""
    try:
        item = _Link.get(link_hash, kind, consistent_read=True)
    except _Link.DoesNotExist:
        return None
    return item.used_at is not None


def use(transaction: TransactWrite, link: Link, *, now: datetime) -> None:
    """Add to a transaction the single use of a link: unused, and not expired."""
    at = int(now.timestamp())
    transaction.update(
        _Link(link.link_hash, link.kind),
        actions=[_Link.used_at.set(at)],
        condition=_Link.used_at.does_not_exist() & (_Link.expires_at > at),
    )
