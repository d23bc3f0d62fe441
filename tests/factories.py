"""Families as the import would have written them, and accounts as the journey makes them.

A test says only what matters to it; everything else gets a default.
"""

import itertools
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from chalicelib import crypto, settings
from chalicelib.domain import activation, addresses, names
from chalicelib.storage import aws
from tests import aws_stage
from tests.portal_client import PortalClient

NOW = datetime(2026, 3, 2, 15, 0, tzinfo=UTC)
PASSWORD = "correct horse 7 battery"

_counter = itertools.count(1)


@dataclass(frozen=True)
class SomeStudent:
    """A student as a parent knows them."""

    student_id: str
    number: str
    gtid: str | None
    last4: str | None
    given_name: str
    family_name: str


@dataclass(frozen=True)
class SomeGuardian:
    """A guardian of the roster."""

    guardian_id: str
    email: str | None


@dataclass(frozen=True)
class SomeAccount:
    """An account that can sign in."""

    username: str
    password: str
    guardian: SomeGuardian


def student(
    *,
    number: str | None = None,
    gtid: str | None = None,
    last4: str | None = "4321",
    given_name: str = "Ana",
    family_name: str = "Rivera",
    **data: Any,
) -> SomeStudent:
    """Put a student into the roster."""
    place = next(_counter)
    number = number or f"00{place:05d}"
    student_id = crypto.opaque_id("student", f"s{place}")
    profile = {
        "student_id": student_id,
        "sourced_id": f"s{place}",
        "given_name": given_name,
        "family_name": family_name,
        "grade": "04",
        "school": "Elm School",
        "school_id": crypto.opaque_id("school", "elm"),
        "gtid": gtid,
        "student_number": number,
        "birth_date": None,
        "household_id": None,
        "address1": None,
        "address2": None,
        "city": None,
        "state": None,
        "post_code": None,
    }
    _put(f"student#{student_id}", "profile", profile)
    shown = ("student_id", "given_name", "family_name", "grade", "school", "gtid", "student_number")
    summary: dict[str, Any] = {
        "classes": [],
        "recent_attendance": [],
        "totals": dict.fromkeys(("absent", "tardy", "early_departure", "excused", "unexcused"), 0),
        "newest_grades": [],
    }
    summary.update(data)
    _put(f"student#{student_id}", "summary", {k: profile[k] for k in shown} | summary)
    for kind, value in (("number", number), ("gtid", gtid)):
        if value:
            _put(f"{kind}#{value}", "student", {"student_id": student_id} | _last4(value, last4))
    return SomeStudent(student_id, number, gtid, last4, given_name, family_name)


def guardian(
    *students: SomeStudent,
    email: str | None = "parent@example.com",
    portal_access: bool = True,
    given_name: str = "Rosa",
    family_name: str = "Rivera",
    language: str | None = "en",
    household: str | None = "h1",
) -> SomeGuardian:
    """Put a guardian of the students into the roster."""
    place = next(_counter)
    guardian_id = crypto.opaque_id("guardian", f"g{place}")
    profile = {
        "guardian_id": guardian_id,
        "sourced_id": f"g{place}",
        "given_name": given_name,
        "family_name": family_name,
        "email": email,
        "phone": None,
        "sms": None,
        "language": language,
        "household_id": household,
        "address1": None,
        "address2": None,
        "city": None,
        "state": None,
        "post_code": None,
    }
    index = {"name_key": names.name_key(family_name)}
    if email:
        index["address_hash"] = addresses.hashed(email) or ""
    _put(f"guardian#{guardian_id}", "profile", profile, **index)
    for one in students:
        link(guardian_id, one, portal_access=portal_access)
    if portal_access and students:
        shown = ("student_id", "given_name", "family_name")
        listed = [{name: getattr(one, name) for name in shown} for one in students]
        _put(f"guardian#{guardian_id}", "students", {"students": listed})
    return SomeGuardian(guardian_id, email)


def link(
    guardian_id: str,
    one: SomeStudent,
    *,
    portal_access: bool = True,
    barred_in_place: bool = False,
) -> None:
    """Relate a guardian and a student, as the import does.

    `barred_in_place` leaves the guardian's side there without access, as no import does.
    """
    data = {
        "student_id": one.student_id,
        "guardian_id": guardian_id,
        "relationship": "mother",
        "portal_access": portal_access,
        "lives_with": True,
        "primary_contact": True,
        "emergency_contact": True,
        "contact_order": 1,
    }
    _put(f"student#{one.student_id}", f"guardian#{guardian_id}", data)
    if portal_access or barred_in_place:
        _put(f"guardian#{guardian_id}", f"student#{one.student_id}", data)


def activation_key(of: SomeGuardian, *, now: datetime = NOW) -> str:
    """Issue a key as an admin would."""
    key = activation.issue_for_admin(of.guardian_id, deliver="return", now=now).activation_key
    assert key is not None
    return key


def account(
    of: SomeGuardian, *, username: str = "Rosa1", password: str = PASSWORD, now: datetime = NOW
) -> SomeAccount:
    """Make an account with a key, as the parent would."""
    activation.create_account(
        activation_key(of, now=now), username, password, password, ip="192.0.2.1", now=now
    )
    return SomeAccount(username, password, of)


def family(*, given_names: Sequence[str] = ("Ana", "Ben"), **how: Any) -> SomeGuardian:
    """Put a guardian with children into the roster."""
    return guardian(*(student(given_name=name) for name in given_names), **how)


def signed_in(
    new_visitor: Callable[[], PortalClient], who: SomeAccount, **how: Any
) -> PortalClient:
    """Return a visitor who signed in."""
    visitor = new_visitor()
    fields = {"username": who.username, "password": who.password}
    assert visitor.post("/sign-in", fields, **how).status == 200
    return visitor


def _last4(number: str, last4: str | None) -> dict[str, Any]:
    keyring = aws.keyring()
    hashed = keyring.hash("last4", f"{number}#{last4}") if last4 else None
    return {"last4": hashed, "secret": keyring.current if last4 else None}


def _put(pk: str, sk: str, data: dict[str, Any], **index: str) -> None:
    aws_stage.client("dynamodb").put_item(
        TableName=settings.name("roster"),
        Item={
            "pk": {"S": pk},
            "sk": {"S": sk},
            "data": {"S": json.dumps(data)},
            **{name: {"S": value} for name, value in index.items()},
        },
    )
