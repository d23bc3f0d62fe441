"""Where locked items are found again: by the hour in which their lockout ends, in a few shards.

The attribute stands on locked items only, so the index holds nothing else (a sparse index), and no
partition takes a whole district's lockouts.
"""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

from chalicelib import crypto

SHARDS = 4
# How far back a reset looks: it may not have run for a week.
DAYS_BACK = 8
# How many locked items a read of the index takes at a time.
PAGE = 100


def bucket(locked_until: int, key: str) -> str:
    """Return the bucket of an item that is locked until a time (epoch seconds)."""
    shard = sum(crypto.digest(key).encode()) % SHARDS
    return _name(datetime.fromtimestamp(locked_until, UTC), shard)


def due_buckets(now: datetime) -> Iterator[str]:
    """Yield every bucket that may hold a lockout whose time has come, the newest hour first."""
    for hours in range(DAYS_BACK * 24 + 1):
        for shard in range(SHARDS):
            yield _name(now - timedelta(hours=hours), shard)


def _name(hour: datetime, shard: int) -> str:
    return f"{hour.astimezone(UTC):%Y-%m-%dT%H}#{shard}"
