"""What digests told, and how far an hour's are queued; in the table `recovery-counters`.

`address_hash` holds `digest#<account id>` with `day` `told`, or `digests#<day>#<hour>` with `queued`.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from pynamodb.attributes import NumberAttribute, UnicodeAttribute
from pynamodb.models import Model

from chalicelib import settings
from chalicelib.storage import tables

# Longer than a summer: what was told in May isn't news in September.
_TOLD_SECONDS = 400 * 86400
_QUEUED_SECONDS = 3 * 86400


class _Digest(Model):
    class Meta(tables.Meta):
        table_name = settings.name("recovery-counters")

    address_hash = UnicodeAttribute(hash_key=True)
    day = UnicodeAttribute(range_key=True)
    told = UnicodeAttribute(null=True)
    queued_to = UnicodeAttribute(null=True)
    outcome = UnicodeAttribute(null=True)
    at = NumberAttribute(null=True)
    purge_at = NumberAttribute()


@dataclass(frozen=True)
class Queued:
    """How far an hour's digests are queued: past which folded username, if that was all, and when."""

    past: str | None
    all: bool
    at: int | None


def told(account_id: str) -> Mapping[str, Sequence[str]] | None:
    """Return what a guardian was told, as marks of entries by student; None before the first digest."""
    try:
        item = _Digest.get(f"digest#{account_id}", "told", consistent_read=True)
    except _Digest.DoesNotExist:
        return None
    loaded: dict[str, list[str]] = json.loads(item.told or "{}")
    return loaded


def note_told(account_id: str, marks: Mapping[str, Sequence[str]], *, now: datetime) -> None:
    """Write down what a guardian was told."""
    _Digest(
        f"digest#{account_id}",
        "told",
        told=json.dumps(marks),
        purge_at=int(now.timestamp()) + _TOLD_SECONDS,
    ).save()


def queued(day: str, hour: int) -> Queued:
    """Return how far a day's digests of an hour are queued."""
    try:
        item = _Digest.get(f"digests#{day}#{hour:02d}", "queued", consistent_read=True)
    except _Digest.DoesNotExist:
        return Queued(past=None, all=False, at=None)
    at = None if item.at is None else int(item.at)
    return Queued(past=item.queued_to, all=item.outcome == "all", at=at)


def note_queued(day: str, hour: int, *, past: str | None, all_of_them: bool, now: datetime) -> None:
    """Write down how far they are; two runs at once may set it back, which only repeats messages."""
    _Digest(
        f"digests#{day}#{hour:02d}",
        "queued",
        queued_to=past,
        outcome="all" if all_of_them else None,
        at=int(now.timestamp()),
        purge_at=int(now.timestamp()) + _QUEUED_SECONDS,
    ).save()
