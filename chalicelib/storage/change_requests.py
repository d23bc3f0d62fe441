"""The table `requests`: changes that families ask for, and what a household's page shows of them.

Three kinds of items under one key, `request_id`. A *request*, under its random id, is the authority on
its state. `guardian#<id>` holds what the page shows of one guardian (their newest requests, when they
last confirmed), so that a page needs no index and no read a request; it is written in the request's
own transactions. `household#<key>` counts a household's open requests and names who has such an item.
"""

import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

from pynamodb.attributes import NumberAttribute, UnicodeAttribute, UnicodeSetAttribute
from pynamodb.models import Model
from pynamodb.transactions import TransactWrite

from chalicelib import settings
from chalicelib.storage import tables

if TYPE_CHECKING:
    from pynamodb.expressions.condition import Condition

PENDING, APPROVED, DENIED = "pending", "approved", "denied"
GUARDIAN, HOUSEHOLD = "guardian#", "household#"
# How many decided requests of a guardian the page shows beside the pending ones.
SHOWN_DECIDED = 8


class _Meta(tables.Meta):
    table_name = settings.name("requests")


class _Request(Model):
    class Meta(_Meta):
        pass

    request_id = UnicodeAttribute(hash_key=True)
    status = UnicodeAttribute()
    guardian_id = UnicodeAttribute()
    guardian = UnicodeAttribute()
    sourced_id = UnicodeAttribute()
    student_sourced_ids = UnicodeAttribute()
    household = UnicodeAttribute()
    changes = UnicodeAttribute()
    effective_date = UnicodeAttribute()
    comment = UnicodeAttribute()
    decision_comment = UnicodeAttribute(null=True)
    created_at = NumberAttribute()
    decided_at = NumberAttribute(null=True)
    purge_at = NumberAttribute(null=True)


class _Shown(Model):
    class Meta(_Meta):
        pass

    request_id = UnicodeAttribute(hash_key=True)
    # Moved on by each writer, so that none overwrites what another wrote since it read.
    revision = NumberAttribute(null=True)
    shown = UnicodeAttribute(null=True)
    verified_on = UnicodeAttribute(null=True)
    verified_address = UnicodeAttribute(null=True)


class _Household(Model):
    class Meta(_Meta):
        pass

    request_id = UnicodeAttribute(hash_key=True)
    open = NumberAttribute(null=True)
    members = UnicodeSetAttribute(null=True)


@dataclass(frozen=True)
class ChangeRequest:
    """A change that a guardian asked for; times in epoch seconds.

    Attributes:
        changes: the new values by field; None takes a value away.
        household: the key of the household under which it counts as open.
        student_sourced_ids: the children of the same household, as the roster names them.
    """

    request_id: str
    status: str
    guardian_id: str
    guardian: str
    sourced_id: str
    student_sourced_ids: tuple[str, ...]
    household: str
    changes: dict[str, str | None]
    effective_date: str
    comment: str
    decision_comment: str | None
    created_at: int
    decided_at: int | None


@dataclass(frozen=True)
class ShownRequest:
    """What the household's page shows of a request."""

    request_id: str
    status: str
    changes: dict[str, str | None]
    effective_date: str
    comment: str
    decision_comment: str | None
    created_at: int
    decided_at: int | None


@dataclass(frozen=True)
class Shown:
    """What the page shows of one guardian; `revision` 0 where nothing was stored yet."""

    guardian_id: str
    revision: int
    requests: tuple[ShownRequest, ...]
    verified_on: str | None
    verified_address: str | None


class AlreadyFiled(Exception):
    """A request of this id is there: the posting came again."""


class TooManyOpen(Exception):
    """The household has as many open requests as it may have."""


class NotPending(Exception):
    """The request was decided meanwhile."""


class Overtaken(Exception):
    """The guardian's item was written since it was read: read and try again."""


# --- reading ------------------------------------------------------------------


def read(request_id: str) -> ChangeRequest | None:
    """Return a request, read consistently; None where no request has the id."""
    # The other kinds of items have a prefix, which no request's id has.
    if "#" in request_id:
        return None
    try:
        return _request_from(_Request.get(request_id, consistent_read=True))
    except _Request.DoesNotExist:
        return None


def every(status: str | None = None) -> Iterator[ChangeRequest]:
    """Yield all requests, or those of a state, in no order (a scan: an admin's act)."""
    condition = _Request.status.exists()
    if status is not None:
        condition &= _Request.status == status
    for item in _Request.scan(condition, consistent_read=True):
        yield _request_from(item)


def shown(guardian_id: str) -> Shown:
    """Return what the page shows of one guardian, read consistently."""
    try:
        item = _Shown.get(GUARDIAN + guardian_id, consistent_read=True)
    except _Shown.DoesNotExist:
        return nothing_shown(guardian_id)
    return _shown_from(item)


def nothing_shown(guardian_id: str) -> Shown:
    """Return what is shown of a guardian who neither asked for nor confirmed anything."""
    return Shown(guardian_id, 0, (), None, None)


# --- writing ------------------------------------------------------------------


def confirm(guardian_id: str, household: str, *, address: str, day: str) -> None:
    """Note that a guardian found everything right on a day, for the address it was then."""

    def write(transaction: TransactWrite) -> None:
        transaction.update(
            _Shown(GUARDIAN + guardian_id),
            actions=[_Shown.verified_on.set(day), _Shown.verified_address.set(address)],
        )
        transaction.update(
            _Household(HOUSEHOLD + household), actions=[_Household.members.add({guardian_id})]
        )

    tables.transact(write)


def file(request: ChangeRequest, own: Shown, *, most_open: int) -> None:
    """Store a new request, pending: one transaction, or nothing.

    Closes the races of one posting twice at once, and of more than `most_open` at once.

    Args:
        request: the request.
        own: what was shown of its guardian, as read before.
        most_open: how many open requests the household may have, this one included.

    Raises:
        AlreadyFiled, TooManyOpen, Overtaken: in this order.
    """
    told = _ShownUpdate(own, (_as_shown(request), *own.requests))

    def write(transaction: TransactWrite) -> None:
        transaction.save(_item_of(request), condition=_Request.request_id.does_not_exist())
        transaction.update(
            _Household(HOUSEHOLD + request.household),
            actions=[_Household.open.add(1), _Household.members.add({request.guardian_id})],
            condition=_Household.open.does_not_exist() | (_Household.open < most_open),
        )
        told.add_to(transaction)

    try:
        tables.transact(write)
    except tables.ConditionFailed as error:
        for place, refusal in enumerate((AlreadyFiled, TooManyOpen, Overtaken)):
            if place in error.failed:
                raise refusal from error
        raise


def decide(
    request: ChangeRequest,
    own: Shown,
    status: str,
    comment: str,
    *,
    purge_at: int,
    now: datetime,
) -> ChangeRequest:
    """Decide a pending request: one transaction, or nothing.

    Closes the race of two decisions at once: the first counts.

    Raises:
        NotPending, Overtaken: in this order.
    """
    at = int(now.timestamp())
    decided = ChangeRequest(
        **{**_fields(request), "status": status, "decision_comment": comment, "decided_at": at}
    )
    told = _ShownUpdate(
        own,
        tuple(
            _as_shown(decided) if one.request_id == request.request_id else one
            for one in own.requests
        ),
    )

    def write(transaction: TransactWrite) -> None:
        transaction.update(
            _Request(request.request_id),
            actions=[
                _Request.status.set(status),
                _Request.decision_comment.set(comment),
                _Request.decided_at.set(at),
                _Request.purge_at.set(purge_at),
            ],
            condition=_Request.status == PENDING,
        )
        transaction.update(
            _Household(HOUSEHOLD + request.household), actions=[_Household.open.add(-1)]
        )
        told.add_to(transaction)

    try:
        tables.transact(write)
    except tables.ConditionFailed as error:
        raise (NotPending if 0 in error.failed else Overtaken) from error
    return decided


@dataclass(frozen=True)
class _ShownUpdate:
    """The write of a guardian's item that holds while nobody else wrote it."""

    own: Shown
    requests: tuple[ShownRequest, ...]

    def add_to(self, transaction: TransactWrite) -> None:
        unchanged: Condition = _Shown.revision == self.own.revision
        if self.own.revision == 0:
            unchanged = _Shown.revision.does_not_exist()
        transaction.update(
            _Shown(GUARDIAN + self.own.guardian_id),
            actions=[
                _Shown.revision.set(self.own.revision + 1),
                _Shown.shown.set(json.dumps([asdict(one) for one in _newest(self.requests)])),
            ],
            condition=unchanged,
        )


def _newest(requests: Sequence[ShownRequest]) -> list[ShownRequest]:
    """Keep every pending request and the newest decided ones: the item stays small."""
    ordered = sorted(requests, key=lambda one: (one.created_at, one.request_id), reverse=True)
    decided = [one.request_id for one in ordered if one.status != PENDING][SHOWN_DECIDED:]
    return [one for one in ordered if one.request_id not in decided]


# --- for reads of several tables in one call (signed_in.py) ---------------------


def table() -> str:
    """Return the table's name."""
    return str(_Request.Meta.table_name)


def shown_key(guardian_id: str) -> dict[str, dict[str, str]]:
    """Return the key of a guardian's item as the low-level API takes it."""
    return {"request_id": {"S": GUARDIAN + guardian_id}}


def household_key(household: str) -> dict[str, dict[str, str]]:
    """Return the key of a household's item as the low-level API takes it."""
    return {"request_id": {"S": HOUSEHOLD + household}}


def all_shown_from(raw: Sequence[dict[str, dict[str, Any]]]) -> list[Shown]:
    """Return the guardians' items among items as the low-level API gives them."""
    found = (one for one in raw if one["request_id"]["S"].startswith(GUARDIAN))
    return [_shown_from(_Shown.from_raw_data(one)) for one in found]


def members_from(raw: Sequence[dict[str, dict[str, Any]]]) -> tuple[list[str], int]:
    """Return who is named by the household's item among items, in order, and how many are open."""
    for one in raw:
        if one["request_id"]["S"].startswith(HOUSEHOLD):
            item = _Household.from_raw_data(one)
            return sorted(item.members or ()), int(item.open or 0)
    return [], 0


# --- items to values ----------------------------------------------------------


def _fields(request: ChangeRequest) -> dict[str, Any]:
    return dict(vars(request))


def _as_shown(request: ChangeRequest) -> ShownRequest:
    return ShownRequest(
        request_id=request.request_id,
        status=request.status,
        changes=request.changes,
        effective_date=request.effective_date,
        comment=request.comment,
        decision_comment=request.decision_comment,
        created_at=request.created_at,
        decided_at=request.decided_at,
    )


def _item_of(request: ChangeRequest) -> _Request:
    return _Request(
        request.request_id,
        status=request.status,
        guardian_id=request.guardian_id,
        guardian=request.guardian,
        sourced_id=request.sourced_id,
        student_sourced_ids=json.dumps(request.student_sourced_ids),
        household=request.household,
        changes=json.dumps(request.changes),
        effective_date=request.effective_date,
        comment=request.comment,
        created_at=request.created_at,
    )


def _request_from(item: _Request) -> ChangeRequest:
    return ChangeRequest(
        request_id=item.request_id,
        status=item.status,
        guardian_id=item.guardian_id,
        guardian=item.guardian,
        sourced_id=item.sourced_id,
        student_sourced_ids=tuple(json.loads(item.student_sourced_ids)),
        household=item.household,
        changes=json.loads(item.changes),
        effective_date=item.effective_date,
        comment=item.comment,
        decision_comment=item.decision_comment,
        created_at=int(item.created_at),
        decided_at=None if item.decided_at is None else int(item.decided_at),
    )


def _shown_from(item: _Shown) -> Shown:
    return Shown(
        guardian_id=item.request_id.removeprefix(GUARDIAN),
        revision=int(item.revision or 0),
        requests=tuple(ShownRequest(**one) for one in json.loads(item.shown or "[]")),
        verified_on=item.verified_on,
        verified_address=item.verified_address,
    )
