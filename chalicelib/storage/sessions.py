"""Sessions: begun, used and ended one by one.

All of an account's end by its `session_generation`, all of the portal by one item of this table.
"""

from collections.abc import Sequence
from datetime import datetime
from typing import TYPE_CHECKING

from pynamodb.transactions import TransactWrite

from chalicelib.storage import counters, tables
from chalicelib.storage.account_items import AccountItem, SessionItem, session_from
from chalicelib.storage.accounts import ACTIVE, AccountChanged
from chalicelib.storage.values import Account, Session

if TYPE_CHECKING:
    from pynamodb.expressions.condition import Condition
    from pynamodb.expressions.update import Action

# The item that ends every session made before it.
_ALL = "all"


class AddressLocked(Exception):
    """The account's address is locked out of signing in."""


def begin_session(
    session_hash: str,
    account: Account,
    *,
    device: str,
    rehashed: str | None,
    address_hash: str | None,
    sso_link: str | None,
    purge_at: int,
    unlocked: Sequence[tuple[str, str]],
    now: datetime,
) -> None:
    """Make a session and note the sign-in on the account: one transaction.

    Closes the race with a reset, a disabling or a deletion meanwhile: the account must still be active,
    with the password that was checked and, where single sign-on came by it, the link `sso_link`. None
    of the counters in `unlocked` (address hash and district day) may be locked: the counter decides,
    not its copy on the account.

    Raises:
        AddressLocked: one of them is.
        AccountChanged: the account isn't what it was.
    """
    at = int(now.timestamp())

    def write(transaction: TransactWrite) -> None:
        for locked_hash, day in unlocked:
            counters.require_unlocked(transaction, locked_hash, day=day, now=now)
        transaction.save(
            SessionItem(
                session_hash,
                username_key=account.username_key,
                account_id=account.account_id,
                guardian_id=account.guardian_id,
                session_generation=account.session_generation,
                created_at=at,
                last_seen=at,
                device=device,
                purge_at=purge_at + tables.KEEP_SECONDS,
            ),
            condition=SessionItem.session_hash.does_not_exist(),
        )
        actions: list[Action] = [AccountItem.last_sign_in.set(at), AccountItem.failures.set(0)]
        if rehashed is not None:
            actions.append(AccountItem.password_hash.set(rehashed))
        if address_hash is not None:
            actions.append(AccountItem.address_hash.set(address_hash))
        condition: Condition = (
            (AccountItem.account_id == account.account_id)
            & (AccountItem.state == ACTIVE)
            & (AccountItem.password_hash == account.password_hash)
            & (AccountItem.session_generation == account.session_generation)
            # An address that changed meanwhile keeps its own hash.
            & (AccountItem.link_generation == account.link_generation)
        )
        if sso_link is not None:
            condition &= AccountItem.sso_link == sso_link
        transaction.update(AccountItem(account.username_key), actions=actions, condition=condition)

    try:
        tables.transact(write)
    except tables.ConditionFailed as error:
        if min(error.failed) < len(unlocked):
            raise AddressLocked from error
        raise AccountChanged from error


def use_session(
    session_hash: str, *, seen_after: int, made_after: int, now: datetime
) -> Session | None:
    """Move a session's last-seen time and return it, in one write; None where it is over.

    Idle and absolute end are judged here, from the stored times, whatever TTL does.
    """
    item = SessionItem(session_hash)
    if not tables.update_if(
        item,
        actions=[SessionItem.last_seen.set(int(now.timestamp()))],
        condition=(SessionItem.last_seen > seen_after) & (SessionItem.created_at > made_after),
    ):
        return None
    return session_from(item)


def read_session(session_hash: str) -> Session | None:
    """Return a session without moving its last-seen time, read consistently."""
    try:
        item = SessionItem.get(session_hash, consistent_read=True)
    except SessionItem.DoesNotExist:
        return None
    return session_from(item) if item.username_key else None


def end_session(session_hash: str) -> None:
    """Remove a session; one that isn't there costs the same call."""
    SessionItem(session_hash).delete()


def end_all_sessions(*, now: datetime) -> int:
    """End every session made up to now, and return how many there were (a scan: an admin's act)."""
    at = int(now.timestamp())
    SessionItem(_ALL, created_at=at).save()
    made_before = SessionItem.username_key.exists() & (SessionItem.created_at <= at)
    return sum(
        1 for _ in SessionItem.scan(made_before, attributes_to_get=["session_hash", "created_at"])
    )


def all_ended_at() -> int:
    """Return the time up to which every session is ended, 0 where that never happened."""
    try:
        return int(SessionItem.get(_ALL, consistent_read=True).created_at)
    except SessionItem.DoesNotExist:
        return 0


def sessions_of(username_key: str) -> list[str]:
    """Return the hashes of an account's sessions, oldest first; the index is read late."""
    return [found.session_hash for found in SessionItem.by_account.query(username_key)]


def open_sessions(account: Account) -> list[Session]:
    """Return an account's sessions that its generation doesn't end, oldest first."""
    found = SessionItem.batch_get(sessions_of(account.username_key), consistent_read=True)
    sessions = [session_from(item) for item in found if item.account_id == account.account_id]
    current = [s for s in sessions if s.session_generation == account.session_generation]
    return sorted(current, key=lambda one: (one.created_at, one.session_hash))


# --- for reads of several tables in one call (signed_in.py) ---------------------


def session_table() -> str:
    """Return the name of the table of sessions."""
    return str(SessionItem.Meta.table_name)


def all_sessions_key() -> dict[str, dict[str, str]]:
    """Return the key of the item that ends every session made before it."""
    return {"session_hash": {"S": _ALL}}


def ended_at_from(raw: dict[str, dict[str, object]]) -> int:
    """Return the time of that item as the low-level API gives it."""
    return int(SessionItem.from_raw_data(raw).created_at)
