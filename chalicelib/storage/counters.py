"""The table `recovery-counters`: tries in a window, and marks that something was done once.

An item is short-lived. `address_hash` holds the keyed hash of what is counted (an address, an IP, a
number, a username, a form), `day` the district day or, where a window begins with its first try, `-`.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from pynamodb.attributes import NumberAttribute, UnicodeAttribute
from pynamodb.expressions.condition import Condition
from pynamodb.expressions.operand import Path
from pynamodb.indexes import GlobalSecondaryIndex, KeysOnlyProjection
from pynamodb.models import Model
from pynamodb.transactions import TransactWrite

from chalicelib import crypto, settings
from chalicelib.storage import locks, tables

if TYPE_CHECKING:
    from pynamodb.expressions.update import Action

# A window that ended is begun anew by a second write; others may begin it first.
_ROUNDS = 4


class _ByLock(GlobalSecondaryIndex["_Counter"]):  # type: ignore[no-untyped-call]
    """Only locked counters, by the hour their lockout ends."""

    class Meta:
        index_name = "by-lock"
        projection = KeysOnlyProjection()

    lock_bucket = UnicodeAttribute(hash_key=True)


class _Counter(Model):
    class Meta(tables.Meta):
        table_name = settings.name("recovery-counters")

    address_hash = UnicodeAttribute(hash_key=True)
    day = UnicodeAttribute(range_key=True)
    tries = NumberAttribute(null=True)
    locked_until = NumberAttribute(null=True)
    expires_at = NumberAttribute(null=True)
    purge_at = NumberAttribute(null=True)
    outcome = UnicodeAttribute(null=True)
    lock_bucket = UnicodeAttribute(null=True)
    # Stands on a lockout whose mail isn't queued yet.
    lock_id = UnicodeAttribute(null=True)
    by_lock = _ByLock()


class Exhausted(Exception):
    """The window has no try left; nothing was counted.

    Attributes:
        until: when the window ends (UTC).
    """

    def __init__(self, until: datetime) -> None:
        super().__init__("no try left")
        self.until = until


@dataclass(frozen=True)
class Counted:
    """A try that was counted, and can be given back."""

    counter: str
    day: str
    part: str | None
    expires_at: int
    tries: int


def count(
    counter: str,
    *,
    day: str,
    most: int,
    ends: datetime,
    now: datetime,
    part: str | None = None,
    most_of_part: int = 0,
) -> Counted:
    """Add one try, in one conditional write that also judges it.

    Closes the race of tries at once: the condition and the addition are the same write, so exactly
    `most` pass whatever runs beside it. A window that begins with its first try lasts until that
    try's `ends`. `part` (the keyed hash of an IP) is counted within the item and judged with it.

    Raises:
        Exhausted: `most` tries (or `most_of_part` of the part) were counted in this window.
    """
    at, until = int(now.timestamp()), int(ends.timestamp())
    item = _Counter(counter, day)
    for _ in range(_ROUNDS):
        if tables.update_if(
            item,
            actions=[
                _Counter.tries.add(1),
                _Counter.expires_at.set(_Counter.expires_at | until),
                _Counter.purge_at.set(_Counter.purge_at | until + tables.KEEP_SECONDS),
                *([Path(_of(part)).add(1)] if part else []),
            ],
            condition=_has_room(at, most, part, most_of_part),
        ):
            return Counted(counter, day, part, int(item.expires_at or until), int(item.tries or 0))
        item = _read(counter, day)
        if item.expires_at is not None and int(item.expires_at) > at:
            break
        _begin_anew(counter, day, at)
    raise Exhausted(datetime.fromtimestamp(int(item.expires_at or until), UTC))


def give_back(counted: Counted) -> None:
    """Take one try back where it turned out right; not from a window that began since."""
    actions: list[Action] = [_Counter.tries.add(-1)]
    if counted.part:
        actions.append(Path(_of(counted.part)).add(-1))
    tables.update_if(
        _Counter(counted.counter, counted.day),
        actions=actions,
        condition=_Counter.expires_at == counted.expires_at,
    )


def _has_room(at: int, most: int, part: str | None, most_of_part: int) -> Condition:
    # First try ever, or the window is still open and has a try left.
    room: Condition = _Counter.expires_at.does_not_exist() | (
        (_Counter.expires_at > at) & (_Counter.tries < most)
    )
    if part:
        room &= Path(_of(part)).does_not_exist() | (Path(_of(part)) < most_of_part)
    return room


def _of(part: str) -> str:
    # A path of an expression: letters and digits only.
    return "part_" + "".join(c if c.isalnum() else "_" for c in part[:16])


def _read(counter: str, day: str) -> _Counter:
    try:
        return _Counter.get(counter, day, consistent_read=True)
    except _Counter.DoesNotExist:
        return _Counter(counter, day)


def _begin_anew(counter: str, day: str, at: int) -> None:
    """Remove a window that is over, unless somebody began the next one already."""
    tables.delete_if(
        _Counter(counter, day),
        condition=_Counter.expires_at.does_not_exist() | (_Counter.expires_at <= at),
    )


# --- once ---------------------------------------------------------------------


def claim(mark: str, *, seconds: int, now: datetime) -> bool:
    """Claim something that is to be done once within `seconds`; False where it is claimed already.

    Closes the race of two that begin at once: the put's condition lets one through.
    """
    at = int(now.timestamp())
    item = _Counter(
        mark, "once", expires_at=at + seconds, purge_at=at + seconds + tables.KEEP_SECONDS
    )
    return tables.put_if(
        item, condition=_Counter.address_hash.does_not_exist() | (_Counter.expires_at <= at)
    )


def conclude(mark: str, outcome: str, *, seconds: int, now: datetime) -> None:
    """Write down how a claimed thing ended; the mark counts for `seconds` from now on."""
    at = int(now.timestamp())
    _Counter(mark, "once").update(
        actions=[
            _Counter.outcome.set(outcome),
            _Counter.expires_at.set(at + seconds),
            _Counter.purge_at.set(at + seconds + tables.KEEP_SECONDS),
        ]
    )


def outcome(mark: str) -> str | None:
    """Return how a claimed thing ended, or None while it runs."""
    return _read(mark, "once").outcome


def release(mark: str) -> None:
    """Give a claim up, so that the next try may have it."""
    _Counter(mark, "once").delete()


def tries(counter: str, *, day: str, now: datetime) -> int:
    """Return how many tries are counted in the open window."""
    item = _read(counter, day)
    if item.expires_at is None or int(item.expires_at) <= int(now.timestamp()):
        return 0
    return int(item.tries or 0)


def clear(counter: str, *, day: str) -> None:
    """Forget a counter: the next try is the first."""
    _Counter(counter, day).delete()


# --- lockouts -----------------------------------------------------------------


def lock(address_hash: str, *, day: str, until: datetime, now: datetime) -> str | None:
    """Lock an address's counter; return the lockout's id while nobody has queued its mail.

    Closes the race of many sixth tries at once: exactly one finds the counter unlocked. The id stands
    until `note_told`, so that a crash in between leaves the mail to the next try.
    """
    at, ends = int(now.timestamp()), int(until.timestamp())
    lock_id = crypto.new_id()
    if not tables.update_if(
        _Counter(address_hash, day),
        actions=[
            _Counter.locked_until.set(ends),
            _Counter.lock_bucket.set(locks.bucket(ends, address_hash)),
            _Counter.lock_id.set(lock_id),
        ],
        condition=_Counter.locked_until.does_not_exist() | (_Counter.locked_until <= at),
    ):
        return _read(address_hash, day).lock_id
    return lock_id


def note_told(address_hash: str, *, day: str, lock_id: str) -> None:
    """Note that a lockout's mail is queued; not on one that an admin lifted meanwhile."""
    tables.update_if(
        _Counter(address_hash, day),
        actions=[_Counter.lock_id.remove()],
        condition=_Counter.lock_id == lock_id,
    )


def locked_until(address_hashes: list[str], *, day: str, now: datetime) -> datetime | None:
    """Return until when an address is locked (a hash for each live secret), read consistently."""
    keys = [(address_hash, day) for address_hash in address_hashes]
    ends = [
        int(item.locked_until)
        for item in _Counter.batch_get(keys, consistent_read=True)
        if item.locked_until is not None and int(item.locked_until) > int(now.timestamp())
    ]
    return datetime.fromtimestamp(max(ends), UTC) if ends else None


def require_unlocked(
    transaction: TransactWrite, address_hash: str, *, day: str, now: datetime
) -> None:
    """Add to a transaction the condition that an address isn't locked."""
    transaction.condition_check(
        _Counter,
        address_hash,
        day,
        condition=_Counter.locked_until.does_not_exist()
        | (_Counter.locked_until <= int(now.timestamp())),
    )


def require_locked(
    transaction: TransactWrite, address_hash: str, *, day: str, now: datetime
) -> None:
    """Add to a transaction the condition that an address is still locked."""
    transaction.condition_check(
        _Counter, address_hash, day, condition=_Counter.locked_until > int(now.timestamp())
    )


def unlock_due(bucket: str, *, now: datetime) -> Iterator[str]:
    """Unlock the counters of a bucket whose time has come, yielding each as it is done."""
    for found in _Counter.by_lock.query(bucket, page_size=locks.PAGE):
        if tables.update_if(
            _Counter(found.address_hash, found.day),
            actions=[_Counter.locked_until.remove(), _Counter.lock_bucket.remove()],
            condition=_Counter.locked_until <= int(now.timestamp()),
        ):
            yield found.address_hash
