"""What the import remembers in the table `roster`: each upload, the one that runs, the one applied.

At most one import runs, held by the item `current` with a lease longer than its function may run;
the others wait as `pending` items, in the order they came.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from pynamodb.attributes import NumberAttribute, UnicodeAttribute
from pynamodb.models import Model

from chalicelib import settings
from chalicelib.storage import tables

QUEUED, READING, APPLYING = "queued", "reading", "applying"
APPLIED, HELD, REJECTED = "applied", "held", "rejected"
ENDED = (APPLIED, REJECTED)

# Longer than `continue_import` may run (900 s): who holds the place is alive, or lost it.
LEASE_SECONDS = 960
_PK, _CURRENT, _APPLIED = "imports", "current", "applied"


class _Meta(tables.Meta):
    table_name = settings.name("roster")


class _Import(Model):
    class Meta(_Meta):
        pass

    pk = UnicodeAttribute(hash_key=True)
    sk = UnicodeAttribute(range_key=True, default="state")
    import_id = UnicodeAttribute()
    key = UnicodeAttribute()
    version_id = UnicodeAttribute()
    arrived_at = NumberAttribute()
    step = UnicodeAttribute()
    attempts = NumberAttribute(default=0)
    approved_at = NumberAttribute(null=True)
    digest = UnicodeAttribute(null=True)
    uploaded_at = NumberAttribute(null=True)
    base = UnicodeAttribute(null=True)
    chunk = NumberAttribute(default=0)
    chunks = NumberAttribute(default=0)
    report = UnicodeAttribute(null=True)


class _Place(Model):
    """`current`, `applied`, `pending#…` and `held#…`."""

    class Meta(_Meta):
        pass

    pk = UnicodeAttribute(hash_key=True)
    sk = UnicodeAttribute(range_key=True)
    import_id = UnicodeAttribute()
    lease_until = NumberAttribute(null=True)
    uploaded_at = NumberAttribute(null=True)
    at = NumberAttribute(null=True)


@dataclass(frozen=True)
class Import:
    """One upload's way through the import; times in epoch seconds.

    Attributes:
        base: the import that was applied when this one was read, on which its changes rest.
        chunk: how many of `chunks` are written.
        approved_at: when an admin said yes to what it was held for.
    """

    import_id: str
    key: str
    version_id: str
    arrived_at: int
    step: str
    attempts: int
    approved_at: int | None
    digest: str | None
    uploaded_at: int | None
    base: str | None
    chunk: int
    chunks: int
    report: dict[str, object] | None


@dataclass(frozen=True)
class Applied:
    """The import applied last: when it was uploaded and when it was applied (epoch seconds)."""

    import_id: str
    uploaded_at: int
    at: int


# --- one upload ---------------------------------------------------------------------


def receive(import_id: str, key: str, version_id: str, *, now: datetime) -> Import:
    """Remember an upload once, and have it wait; return what is remembered.

    Closes the race of one event delivered twice: the first put wins. It waits before it is known to
    run, so that an import which ends meanwhile finds it.
    """
    item = _Import(
        f"import#{import_id}",
        import_id=import_id,
        key=key,
        version_id=version_id,
        arrived_at=int(now.timestamp()),
        step=QUEUED,
    )
    tables.put_if(item, condition=_Import.pk.does_not_exist())
    known = find(import_id)
    assert known is not None
    if known.step == QUEUED:
        await_turn(known)
    return known


def find(import_id: str) -> Import | None:
    """Return what is remembered of an upload, read consistently."""
    try:
        item = _Import.get(f"import#{import_id}", "state", consistent_read=True)
    except _Import.DoesNotExist:
        return None
    return Import(
        import_id=item.import_id,
        key=item.key,
        version_id=item.version_id,
        arrived_at=int(item.arrived_at),
        step=item.step,
        attempts=int(item.attempts),
        approved_at=_whole(item.approved_at),
        digest=item.digest,
        uploaded_at=_whole(item.uploaded_at),
        base=item.base,
        chunk=int(item.chunk),
        chunks=int(item.chunks),
        report=json.loads(item.report) if item.report else None,
    )


def note(import_id: str, **values: Any) -> None:
    """Note values with an upload: `step`, `chunk`, `base`, … as the fields of `Import`."""
    item = _Import(f"import#{import_id}", "state")
    if "report" in values:
        values["report"] = json.dumps(values["report"])
    actions = [
        getattr(_Import, name).remove() if value is None else getattr(_Import, name).set(value)
        for name, value in values.items()
    ]
    item.update(actions=actions, condition=_Import.pk.exists())


def begin_attempt(import_id: str) -> int:
    """Count one more attempt at reading an upload; return which it is."""
    item = _Import(f"import#{import_id}", "state")
    item.update(
        actions=[_Import.attempts.add(1), _Import.step.set(READING)],
        condition=_Import.pk.exists(),
    )
    return int(item.attempts)


# --- whose turn it is ---------------------------------------------------------------


def await_turn(one: Import) -> None:
    """Have an import wait for the place."""
    _Place(_PK, _pending_key(one), import_id=one.import_id).save()


def _pending_key(one: Import) -> str:
    return f"pending#{one.arrived_at:012}#{one.import_id}"


def pending() -> list[str]:
    """Return the imports that wait, the first come first."""
    found = _Place.query(_PK, _Place.sk.startswith("pending#"), consistent_read=True)
    return [item.import_id for item in found]


def current() -> tuple[str, int] | None:
    """Return the import that has the place and when its lease ends, if any."""
    item = _place(_CURRENT)
    return None if item is None else (item.import_id, int(item.lease_until or 0))


def take_place(one: Import, *, now: datetime) -> bool:
    """Take the empty place for an import that waits; False where another was faster."""
    item = _Place(_PK, _CURRENT, import_id=one.import_id, lease_until=_lease(now))
    if not tables.put_if(item, condition=_Place.pk.does_not_exist()):
        return False
    _Place(_PK, _pending_key(one), import_id=one.import_id).delete()
    return True


def renew_lease(import_id: str, lease_until: int, *, now: datetime) -> bool:
    """Go on with the import whose lease ended or was given back; False where another was faster.

    Closes the race of two messages for one import: the lease that was read is the condition.
    """
    return tables.update_if(
        _Place(_PK, _CURRENT),
        actions=[_Place.lease_until.set(_lease(now))],
        condition=(_Place.import_id == import_id) & (_Place.lease_until == lease_until),
    )


def give_back_lease(import_id: str) -> None:
    """Let the next message go on with the import at once."""
    tables.update_if(
        _Place(_PK, _CURRENT),
        actions=[_Place.lease_until.set(0)],
        condition=_Place.import_id == import_id,
    )


def leave_place(import_id: str) -> None:
    """Free the place, where the import still has it."""
    tables.delete_if(_Place(_PK, _CURRENT), condition=_Place.import_id == import_id)


# --- what is applied ----------------------------------------------------------------


def applied() -> Applied | None:
    """Return the import applied last, read consistently."""
    item = _place(_APPLIED)
    if item is None:
        return None
    return Applied(item.import_id, int(item.uploaded_at or 0), int(item.at or 0))


def move_applied(one: Import, *, now: datetime) -> bool:
    """Make an import the applied one; False where its base isn't the applied one any more.

    Closes the race of two runners of one place: the base that was read is the condition.
    """
    unchanged = (_Place.import_id == one.base if one.base else _Place.pk.does_not_exist()) | (
        _Place.import_id == one.import_id
    )
    item = _Place(
        _PK,
        _APPLIED,
        import_id=one.import_id,
        uploaded_at=one.uploaded_at,
        at=int(now.timestamp()),
    )
    return tables.put_if(item, condition=unchanged)


# --- held ---------------------------------------------------------------------------


def hold(name: str, import_id: str, *, now: datetime) -> str | None:
    """Remember which import of a name is held; return the one it takes the place of, if any."""
    before = held_by_name(name)
    _Place(_PK, f"held#{name}", import_id=import_id, at=int(now.timestamp())).save()
    return before if before != import_id else None


def held_by_name(name: str) -> str | None:
    """Return the import of a name that is held."""
    item = _place(f"held#{name}")
    return None if item is None else item.import_id


def held() -> Mapping[str, tuple[str, int]]:
    """Return every held import by name, with the time since when (epoch seconds)."""
    found = _Place.query(_PK, _Place.sk.startswith("held#"), consistent_read=True)
    return {item.sk.removeprefix("held#"): (item.import_id, int(item.at or 0)) for item in found}


def end_hold(name: str, import_id: str) -> None:
    """Forget that an import is held, where it still is."""
    tables.delete_if(_Place(_PK, f"held#{name}"), condition=_Place.import_id == import_id)


# --- small things -------------------------------------------------------------------


def _place(sk: str) -> _Place | None:
    try:
        return _Place.get(_PK, sk, consistent_read=True)
    except _Place.DoesNotExist:
        return None


def _lease(now: datetime) -> int:
    return int(now.timestamp()) + LEASE_SECONDS


def _whole(value: float | None) -> int | None:
    return None if value is None else int(value)
