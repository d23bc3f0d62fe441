"""Activation keys: issued, read, revoked; they end by their guardian's generation.

A key is used up by `accounts.create_account`, in one transaction with the account that it makes.
"""

from datetime import datetime

from chalicelib.storage import tables
from chalicelib.storage.account_items import AccessItem, KeyItem, access, key_from
from chalicelib.storage.values import ActivationKey

ISSUED, USED, REVOKED = "issued", "used", "revoked"
# Never stored: an issued key is expired by its time alone.
EXPIRED = "expired"


def issue_key(
    key_hash: str, *, guardian_id: str, key_generation: int, expires_at: int, now: datetime
) -> None:
    """Store a fresh key of a guardian, bound to the generation that was read before."""
    KeyItem(
        key_hash,
        guardian_id=guardian_id,
        key_generation=key_generation,
        state=ISSUED,
        issued_at=int(now.timestamp()),
        expires_at=expires_at,
        purge_at=expires_at + tables.KEEP_SECONDS,
    ).save(condition=KeyItem.key_hash.does_not_exist())


def read_key(key_hashes: list[str]) -> ActivationKey | None:
    """Return the key stored under one of the hashes (one for each live secret), read consistently."""
    for item in KeyItem.batch_get(key_hashes, consistent_read=True):
        return key_from(item)
    return None


def newest_key(guardian_id: str) -> ActivationKey | None:
    """Return the key issued last to a guardian; the index is read late, so only for showing."""
    newest = KeyItem.by_guardian.query(guardian_id, scan_index_forward=False, limit=1)
    for found in newest:
        return read_key([found.key_hash])
    return None


def end_unused_keys(guardian_id: str) -> None:
    """Kill every unused key of a guardian at once, whether or not an index knows them.

    The generation on the guardian's item moves on, and no key of an older one opens anything.
    """
    access(guardian_id).update(actions=[AccessItem.key_generation.add(1)])


def revoke_keys(guardian_id: str) -> int:
    """End every unused key of a guardian and mark those that the index finds; return how many."""
    end_unused_keys(guardian_id)
    marked = 0
    for found in KeyItem.by_guardian.query(guardian_id):
        if tables.update_if(
            KeyItem(found.key_hash),
            actions=[KeyItem.state.set(REVOKED)],
            condition=KeyItem.state == ISSUED,
        ):
            marked += 1
    return marked


def key_generation(guardian_id: str) -> tuple[int, str | None]:
    """Return a guardian's key generation and account (folded username), read consistently."""
    item = access(guardian_id)
    try:
        item.refresh(consistent_read=True)
    except AccessItem.DoesNotExist:
        return 0, None
    return int(item.key_generation), item.account
