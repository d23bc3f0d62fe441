"""The answers to enrollment verification, in the table `requests`: one item a student and school year.

`request_id` is `enrollment#<school year>#<student id>`. The item holds the answer that stands; each
answer that was ever given is an entry of the audit, written in the same transaction.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from pynamodb.attributes import NumberAttribute, UnicodeAttribute
from pynamodb.models import Model
from pynamodb.transactions import TransactWrite

from chalicelib import settings
from chalicelib.storage import district, roster, tables

_PREFIX = "enrollment"
# Places in the transaction below, as `tables.ConditionFailed` counts them.
_LINK, _ANSWER = 0, 1


class _Item(Model):
    class Meta(tables.Meta):
        table_name = settings.name("requests")

    request_id = UnicodeAttribute(hash_key=True)
    student_id = UnicodeAttribute()
    school_year = UnicodeAttribute()
    answer = UnicodeAttribute()
    comment = UnicodeAttribute(null=True)
    guardian_id = UnicodeAttribute()
    guardian = UnicodeAttribute()
    household = UnicodeAttribute()
    answered_at = NumberAttribute()
    purge_at = NumberAttribute()


@dataclass(frozen=True)
class EnrollmentAnswer:
    """A guardian's answer for one student and school year; times in epoch seconds.

    Attributes:
        guardian: the name of who answered, as the roster had it then.
        household: the key of the household of who answered, as it was then.
        purge_at: when DynamoDB may remove it.
    """

    student_id: str
    school_year: str
    answer: str
    comment: str | None
    guardian_id: str
    guardian: str
    household: str
    answered_at: int
    purge_at: int


class LinkGone(Exception):
    """The guardian may not see the student any more; nothing was written."""


def put(answer: EnrollmentAnswer, *, request_id: str, now: datetime) -> bool:
    """Store an answer with its audit entry, all or nothing; False where a later answer stands.

    The last of two answers wins, by the time they were given: one that was held up on its way doesn't
    replace what another guardian said since. The guardian's link is a condition, so that access which
    an import takes meanwhile is gone.

    Raises:
        LinkGone: the link isn't there any more.
    """
    earlier = _Item.request_id.does_not_exist() | (_Item.answered_at <= answer.answered_at)

    def write(transaction: TransactWrite) -> None:
        roster.require_link(transaction, answer.guardian_id, answer.student_id)
        transaction.save(_to_item(answer), condition=earlier)
        district.audit(
            f"student#{answer.student_id}",
            "enrollment",
            answer.answer,
            operator="guardian",
            request_id=request_id,
            details={"school_year": answer.school_year, "guardian_id": answer.guardian_id},
            now=now,
            transaction=transaction,
        )

    try:
        tables.transact(write)
    except tables.ConditionFailed as failed:
        if _LINK in failed.failed:
            raise LinkGone from failed
        if _ANSWER in failed.failed:
            return False
        raise
    return True


def read(school_year: str, student_id: str) -> EnrollmentAnswer | None:
    """Return the answer that stands, read consistently."""
    for item in _Item.batch_get([_id(school_year, student_id)], consistent_read=True):
        return _from_item(item)
    return None


def read_many(school_year: str, student_ids: Sequence[str]) -> Iterator[EnrollmentAnswer]:
    """Yield the answers of students, a hundred a call; one of the last second may be missing."""
    for item in _Item.batch_get([_id(school_year, one) for one in student_ids]):
        yield _from_item(item)


# --- for reads of several tables in one call (signed_in.py) ---------------------


def table() -> str:
    """Return the table's name."""
    return str(_Item.Meta.table_name)


def key(school_year: str, student_id: str) -> dict[str, dict[str, str]]:
    """Return the key of an answer as the low-level API takes it."""
    return {"request_id": {"S": _id(school_year, student_id)}}


def answer_from(raw: dict[str, dict[str, Any]]) -> EnrollmentAnswer:
    """Return an answer from an item as the low-level API gives it."""
    return _from_item(_Item.from_raw_data(raw))


# --- items and values -----------------------------------------------------------


def _id(school_year: str, student_id: str) -> str:
    return f"{_PREFIX}#{school_year}#{student_id}"


def _to_item(answer: EnrollmentAnswer) -> _Item:
    return _Item(
        _id(answer.school_year, answer.student_id),
        student_id=answer.student_id,
        school_year=answer.school_year,
        answer=answer.answer,
        comment=answer.comment,
        guardian_id=answer.guardian_id,
        guardian=answer.guardian,
        household=answer.household,
        answered_at=answer.answered_at,
        purge_at=answer.purge_at,
    )


def _from_item(item: _Item) -> EnrollmentAnswer:
    return EnrollmentAnswer(
        student_id=item.student_id,
        school_year=item.school_year,
        answer=item.answer,
        comment=item.comment,
        guardian_id=item.guardian_id,
        guardian=item.guardian,
        household=item.household,
        answered_at=int(item.answered_at),
        purge_at=int(item.purge_at),
    )
