"""The one read behind a signed-in page: account, end of all sessions, and what of the roster it shows.

Three tables in one BatchGetItem, which PynamoDB can't do across models; so the call is boto3's, and
the items go through the models all the same.
"""

import functools
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import boto3
from botocore.config import Config

from chalicelib import crypto
from chalicelib.storage import accounts, change_requests, enrollment, roster, sessions, tables
from chalicelib.storage.change_requests import Shown
from chalicelib.storage.enrollment import EnrollmentAnswer
from chalicelib.storage.values import Account, ChildName, GuardianHome, Link, StudentSummary

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient

_ATTEMPTS = 5
# What one BatchGetItem takes.
_MOST_KEYS = 100


@dataclass(frozen=True)
class PageRead:
    """What one read brought: the account or None, when all sessions were ended (0: never), children.

    `answers` are those to the school year's enrollment verification, by student.
    """

    account: Account | None
    all_ended_at: int
    summaries: tuple[StudentSummary, ...]
    answers: Mapping[str, EnrollmentAnswer]


@dataclass(frozen=True)
class ChildRead:
    """What one read brought of a student's page; None where there is no such item.

    Attributes:
        account, all_ended_at: as in `PageRead`.
        language: the guardian's, as the roster has it.
        link: what the guardian may see the student by; without it nothing else may be shown.
        names: the guardian's students, for the switch between them.
        more: the data of the student's further items, by sort key, where they are there.
    """

    account: Account | None
    all_ended_at: int
    language: str | None
    link: Link | None
    summary: StudentSummary | None
    names: tuple[ChildName, ...]
    more: Mapping[str, Mapping[str, Any]]


@dataclass(frozen=True)
class OwnRead:
    """What one read brought of an account alone; `language` is the guardian's in the roster."""

    account: Account | None
    all_ended_at: int
    language: str | None


@dataclass(frozen=True)
class HouseholdRead:
    """What the household's page reads beside the guardian: account, own item, who else has one.

    `open_requests` counts those of the whole household.
    """

    account: Account | None
    all_ended_at: int
    own: Shown
    members: tuple[str, ...]
    open_requests: int


@functools.cache
def _dynamodb() -> "DynamoDBClient":
    return boto3.client(
        "dynamodb",
        config=Config(
            connect_timeout=tables.CONNECT_SECONDS,
            read_timeout=tables.READ_SECONDS,
            retries={"mode": "standard", "total_max_attempts": tables.RETRIES + 1},
        ),
    )


def read(username_key: str, student_ids: Sequence[str] = (), *, school_year: str = "") -> PageRead:
    """Read all of it consistently, in one call; a student whom an import removes is left out."""
    found = _read(
        username_key,
        [roster.summary_key(one) for one in student_ids],
        answers=[enrollment.key(school_year, one) for one in student_ids],
    )
    order = {student_id: place for place, student_id in enumerate(student_ids)}
    summaries = map(roster.summary_from, found.get(roster.table(), []))
    answers = map(enrollment.answer_from, found.get(enrollment.table(), []))
    return PageRead(
        account=_account(found),
        all_ended_at=_all_ended_at(found),
        summaries=tuple(sorted(summaries, key=lambda summary: order[summary.student_id])),
        answers={one.student_id: one for one in answers},
    )


def read_child(
    username_key: str, guardian_id: str, student_id: str, more: Sequence[str] = ()
) -> ChildRead:
    """Read what a student's page shows, and by which right, consistently and in one call.

    Takes also the sort keys of further items of the student. The call is the same for a student who
    isn't the guardian's, or isn't there.
    """
    found = _read(username_key, roster.child_keys(guardian_id, student_id, more))
    items = found.get(roster.table(), [])
    return ChildRead(_account(found), _all_ended_at(found), *roster.child_from(items, more))


def read_own(username_key: str, guardian_id: str) -> OwnRead:
    """Read the account and its guardian's language, consistently and in one call."""
    found = _read(username_key, [roster.profile_key(guardian_id)])
    languages = map(roster.language_from, found.get(roster.table(), []))
    return OwnRead(_account(found), _all_ended_at(found), next(languages, None))


def _read(
    username_key: str, keys: list[dict[str, Any]], *, answers: list[dict[str, Any]] | None = None
) -> dict[str, list[dict[str, Any]]]:
    """Read account, end of all sessions, and what is named of roster and enrollment's answers."""
    wanted: dict[str, Any] = {
        accounts.account_table(): _consistent([accounts.account_key(username_key)]),
        sessions.session_table(): _consistent([sessions.all_sessions_key()]),
    }
    if keys:
        wanted[roster.table()] = _consistent(keys)
    if answers:
        wanted[enrollment.table()] = _consistent(answers)
    return _batch_get(wanted)


def _account(found: Mapping[str, list[dict[str, Any]]]) -> Account | None:
    return next(map(accounts.account_from, found.get(accounts.account_table(), [])), None)


def _all_ended_at(found: Mapping[str, list[dict[str, Any]]]) -> int:
    return next(map(sessions.ended_at_from, found.get(sessions.session_table(), [])), 0)


def read_household(username_key: str, guardian_id: str, household: str) -> HouseholdRead:
    """Read account, end of all sessions, and what is kept of guardian and household, in one call."""
    account_table, session_table = accounts.account_table(), sessions.session_table()
    found = _batch_get(
        {
            account_table: _consistent([accounts.account_key(username_key)]),
            session_table: _consistent([sessions.all_sessions_key()]),
            change_requests.table(): _consistent(
                [change_requests.shown_key(guardian_id), change_requests.household_key(household)]
            ),
        }
    )
    kept = found.get(change_requests.table(), [])
    members, open_requests = change_requests.members_from(kept)
    nothing = change_requests.nothing_shown(guardian_id)
    return HouseholdRead(
        account=next(map(accounts.account_from, found.get(account_table, [])), None),
        all_ended_at=next(map(sessions.ended_at_from, found.get(session_table, [])), 0),
        own=next(iter(change_requests.all_shown_from(kept)), nothing),
        members=tuple(members),
        open_requests=open_requests,
    )


def read_members(guardian_ids: Sequence[str]) -> list[tuple[GuardianHome, Shown]]:
    """Read where guardians live and what is shown of them, in one call; whoever is gone is left out."""
    found = _batch_get(
        {
            roster.table(): _consistent([roster.profile_key(one) for one in guardian_ids]),
            change_requests.table(): _consistent(
                [change_requests.shown_key(one) for one in guardian_ids]
            ),
        }
    )
    homes = {
        home.guardian_id: home
        for home in map(roster.guardian_home_from, found.get(roster.table(), []))
    }
    shown = change_requests.all_shown_from(found.get(change_requests.table(), []))
    return [(homes[one.guardian_id], one) for one in shown if one.guardian_id in homes]


def _consistent(keys: list[dict[str, Any]]) -> dict[str, Any]:
    return {"Keys": keys, "ConsistentRead": True}


def _batch_get(wanted: Mapping[str, Any]) -> dict[str, list[dict[str, Any]]]:
    found: dict[str, list[dict[str, Any]]] = {}
    for part in _parts(wanted):
        _get_part(part, found)
    return found


def _parts(wanted: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Cut a read into those that DynamoDB takes: one, unless somebody has some fifty children."""
    keys = [(table, key) for table, asked in wanted.items() for key in asked["Keys"]]
    parts = []
    for start in range(0, len(keys), _MOST_KEYS):
        part: dict[str, Any] = {}
        for table, key in keys[start : start + _MOST_KEYS]:
            part.setdefault(table, _consistent([]))["Keys"].append(key)
        parts.append(part)
    return parts


def _get_part(wanted: Any, found: dict[str, list[dict[str, Any]]]) -> None:
    rest = wanted
    for attempt in range(_ATTEMPTS):
        answer = _dynamodb().batch_get_item(RequestItems=rest)
        for table, items in answer["Responses"].items():
            found.setdefault(table, []).extend(items)
        rest = answer.get("UnprocessedKeys")
        if not rest:
            return
        time.sleep(crypto.jitter() * 0.05 * 2**attempt)
    raise TimeoutError("BatchGetItem left keys unprocessed")
