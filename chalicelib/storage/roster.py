"""Reading the table `roster`: students, guardians, their links, and what home shows of a child.

The guardian's partition is the authority on what a guardian may see; numbers, addresses, names and
the student's side only find. Everything but `access` is written by the import (`roster_writes.py`).
"""

import dataclasses
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any, TypeVar

from pynamodb.attributes import NumberAttribute, UnicodeAttribute
from pynamodb.indexes import GlobalSecondaryIndex, KeysOnlyProjection
from pynamodb.models import Model
from pynamodb.transactions import TransactWrite

from chalicelib import settings
from chalicelib.storage import tables
from chalicelib.storage.values import (
    AttendanceEvent,
    ChildName,
    GuardianHome,
    GuardianRecord,
    Link,
    NewestGrade,
    SchoolClass,
    StudentMatch,
    StudentProfile,
    StudentSummary,
    Totals,
)

STUDENT, GUARDIAN = "student#", "guardian#"
NUMBER, GTID = "number#", "gtid#"
PROFILE, ACCESS, SUMMARY, STUDENTS = "profile", "access", "summary", "students"

_Value = TypeVar("_Value")


class _GuardiansByAddress(GlobalSecondaryIndex["_Item"]):  # type: ignore[no-untyped-call]
    class Meta:
        index_name = "by-address"
        projection = KeysOnlyProjection()

    address_hash = UnicodeAttribute(hash_key=True)


class _GuardiansByName(GlobalSecondaryIndex["_Item"]):  # type: ignore[no-untyped-call]
    class Meta:
        index_name = "by-name"
        projection = KeysOnlyProjection()

    name_key = UnicodeAttribute(hash_key=True)
    pk = UnicodeAttribute(range_key=True)


class _Item(Model):
    """Any item of the table: the import's carry `data`, `access` carries attributes."""

    class Meta(tables.Meta):
        table_name = settings.name("roster")

    pk = UnicodeAttribute(hash_key=True)
    sk = UnicodeAttribute(range_key=True)
    data = UnicodeAttribute(null=True)
    address_hash = UnicodeAttribute(null=True)
    name_key = UnicodeAttribute(null=True)
    key_generation = NumberAttribute(null=True)
    account = UnicodeAttribute(null=True)
    mail_state = UnicodeAttribute(null=True)
    mail_at = NumberAttribute(null=True)
    by_address = _GuardiansByAddress()
    by_name = _GuardiansByName()


# --- finding ------------------------------------------------------------------


def find_student(number: str) -> list[StudentMatch]:
    """Return whom a typed number may mean: as student number, as GTID, or both.

    One consistent BatchGetItem, the same for numbers that nobody has.
    """
    keys = [(NUMBER + number, "student"), (GTID + number, "student")]
    found = sorted(_Item.batch_get(keys, consistent_read=True), key=lambda item: item.pk)
    return [StudentMatch(number=number, **_data(item)) for item in found]


def guardians_of(student_id: str) -> list[Link]:
    """Return a student's guardians, also those without portal access, in order of their ids.

    Only finds: what a guardian may see is in the guardian's own partition (`guardian_partition`).
    """
    prefix = _Item.sk.startswith(GUARDIAN)
    items = _Item.query(STUDENT + student_id, prefix, consistent_read=True)
    return [_value(Link, _data(item)) for item in items]


def guardian_ids_by_address(address_hashes: Iterable[str]) -> list[str]:
    """Return the guardians of an address (a hash for each live secret); the index is read late."""
    found = {
        item.pk.removeprefix(GUARDIAN)
        for address_hash in address_hashes
        for item in _Item.by_address.query(address_hash)
    }
    return sorted(found)


def guardian_ids_by_name(name_key: str) -> list[str]:
    """Return the guardians with a folded family name; the index is read late."""
    return [item.pk.removeprefix(GUARDIAN) for item in _Item.by_name.query(name_key)]


# --- one guardian -------------------------------------------------------------


def guardian_partition(guardian_id: str) -> GuardianRecord | None:
    """Return everything of a guardian, by one consistent query; None where the roster has nobody.

    `students` are the links with portal access: ownership is decided from here.
    """
    items = {item.sk: item for item in _Item.query(GUARDIAN + guardian_id, consistent_read=True)}
    profile = items.get(PROFILE)
    if profile is None:
        return None
    access = items.get(ACCESS)
    links = (_value(Link, _data(i)) for sk, i in items.items() if sk.startswith(STUDENT))
    return _value(
        GuardianRecord,
        {
            **_data(profile),
            "students": tuple(link for link in links if link.portal_access),
            "key_generation": int(access.key_generation or 0) if access else 0,
            "account": access.account if access else None,
            "mail_state": access.mail_state if access else None,
            "mail_at": int(access.mail_at) if access and access.mail_at is not None else None,
        },
    )


def require_link(transaction: TransactWrite, guardian_id: str, student_id: str) -> None:
    """Make it a condition of a transaction that the guardian may see the student."""
    pk, sk = GUARDIAN + guardian_id, STUDENT + student_id
    transaction.condition_check(_Item, pk, sk, condition=_Item.pk.exists())


def set_mail_state(guardian_id: str, state: str | None, at: datetime) -> None:
    """Note what became of the mail to a guardian's roster address; None forgets it."""
    item = _Item(GUARDIAN + guardian_id, ACCESS)
    if state is None:
        item.update(actions=[_Item.mail_state.remove(), _Item.mail_at.remove()])
    else:
        item.update(actions=[_Item.mail_state.set(state), _Item.mail_at.set(int(at.timestamp()))])


# --- students -----------------------------------------------------------------


def student_profile(student_id: str) -> StudentProfile | None:
    """Return a student as the roster has them, read consistently."""
    for item in _Item.batch_get([(STUDENT + student_id, PROFILE)], consistent_read=True):
        return _value(StudentProfile, _data(item))
    return None


def student_profiles(student_ids: Iterable[str]) -> list[StudentProfile]:
    """Return students as the roster has them, read consistently; whoever is gone is left out."""
    keys = [(STUDENT + student_id, PROFILE) for student_id in dict.fromkeys(student_ids)]
    found = _Item.batch_get(keys, consistent_read=True) if keys else ()
    return [_value(StudentProfile, _data(item)) for item in found]


def student_summaries(student_ids: Sequence[str]) -> list[StudentSummary]:
    """Return what home shows of each child, in the order asked for, by one consistent batch.

    A student whom an import is just removing is left out.
    """
    if not student_ids:
        return []
    keys = [(STUDENT + student_id, SUMMARY) for student_id in dict.fromkeys(student_ids)]
    found = {item.pk: _data(item) for item in _Item.batch_get(keys, consistent_read=True)}
    return [_summary(found[pk]) for pk, _ in keys if pk in found]


def student_items(
    student_id: str,
    first: str,
    last: str,
    *,
    newest_first: bool = False,
    holding: str | None = None,
    limit: int | None = None,
) -> Iterator[dict[str, Any]]:
    """Yield the data of a student's items from one sort key to another, both included, consistently.

    One query, which DynamoDB cuts into answers of 1 MB: a further one is asked for only as far as the
    caller goes on. `limit` is how many items are looked at; `holding` leaves out, before they are
    sent, items whose JSON text lacks it.
    """
    items = _Item.query(
        STUDENT + student_id,
        _Item.sk.between(first, last),
        filter_condition=None if holding is None else _Item.data.contains(holding),
        scan_index_forward=not newest_first,
        consistent_read=True,
        limit=limit,
    )
    return (_data(item) for item in items)


def _summary(data: dict[str, Any]) -> StudentSummary:
    return _value(
        StudentSummary,
        {
            **data,
            "classes": tuple(_class(one) for one in data["classes"]),
            "recent_attendance": tuple(event_from(one) for one in data["recent_attendance"]),
            "totals": _value(Totals, data["totals"]),
            "newest_grades": tuple(
                _value(NewestGrade, {**one, "class_title": one["class"]})
                for one in data["newest_grades"]
            ),
        },
    )


def _class(data: dict[str, Any]) -> SchoolClass:
    return _value(
        SchoolClass, {**data, "periods": tuple(data["periods"]), "days": tuple(data["days"])}
    )


def event_from(data: dict[str, Any]) -> AttendanceEvent:
    """Return an attendance event from its item's data."""
    return _value(AttendanceEvent, {**data, "class_title": data["class"]})


# --- for reads of several tables in one call (signed_in.py) ---------------------


def table() -> str:
    """Return the table's name."""
    return str(_Item.Meta.table_name)


def summary_key(student_id: str) -> dict[str, dict[str, str]]:
    """Return the key of a student's summary as the low-level API takes it."""
    return _key(STUDENT + student_id, SUMMARY)


def summary_from(raw: dict[str, dict[str, Any]]) -> StudentSummary:
    """Return a summary from an item as the low-level API gives it."""
    return _summary(json.loads(raw["data"]["S"]))


def child_keys(
    guardian_id: str, student_id: str, more: Sequence[str]
) -> list[dict[str, dict[str, str]]]:
    """Return the keys of what a student's page needs; see `child_from`."""
    guardian, student = GUARDIAN + guardian_id, STUDENT + student_id
    of_guardian = (PROFILE, STUDENTS, student)
    of_student = dict.fromkeys((SUMMARY, *more))
    return [*(_key(guardian, sk) for sk in of_guardian), *(_key(student, sk) for sk in of_student)]


def child_from(
    items: Iterable[dict[str, dict[str, Any]]], more: Sequence[str]
) -> tuple[
    str | None, Link | None, StudentSummary | None, tuple[ChildName, ...], Mapping[str, Any]
]:
    """Return language, link, summary, names and further items, of items that `child_keys` named.

    A link without portal access is none.
    """
    guardian, student = dict[str, Any](), dict[str, Any]()
    for item in items:
        side = guardian if item["pk"]["S"].startswith(GUARDIAN) else student
        side[item["sk"]["S"]] = json.loads(item["data"]["S"])
    links = [_value(Link, data) for sk, data in guardian.items() if sk.startswith(STUDENT)]
    return (
        guardian.get(PROFILE, {}).get("language"),
        next((link for link in links if link.portal_access), None),
        _summary(student[SUMMARY]) if SUMMARY in student else None,
        tuple(_value(ChildName, one) for one in guardian.get(STUDENTS, {}).get("students", ())),
        {sk: student[sk] for sk in more if sk in student},
    )


def _key(pk: str, sk: str) -> dict[str, dict[str, str]]:
    return {"pk": {"S": pk}, "sk": {"S": sk}}


def profile_key(guardian_id: str) -> dict[str, dict[str, str]]:
    """Return the key of a guardian's profile as the low-level API takes it."""
    return {"pk": {"S": GUARDIAN + guardian_id}, "sk": {"S": PROFILE}}


def language_from(raw: dict[str, dict[str, Any]]) -> str | None:
    """Return a guardian's language from a profile as the low-level API gives it."""
    language: str | None = json.loads(raw["data"]["S"]).get("language")
    return language


def guardian_home_from(raw: dict[str, dict[str, Any]]) -> GuardianHome:
    """Return where a guardian lives from a profile as the low-level API gives it."""
    return _value(GuardianHome, json.loads(raw["data"]["S"]))


# --- items to values ----------------------------------------------------------


def _data(item: _Item) -> dict[str, Any]:
    loaded: dict[str, Any] = json.loads(item.data or "{}")
    return loaded


def _value(kind: type[_Value], data: dict[str, Any]) -> _Value:
    """Make a value of the fields it has: an item of a newer version may hold more."""
    names = [field.name for field in dataclasses.fields(kind)]  # type: ignore[arg-type]
    return kind(**{name: data[name] for name in names if name in data})
