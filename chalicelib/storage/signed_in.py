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
from chalicelib.storage import accounts, roster, sessions, tables
from chalicelib.storage.values import Account, ChildName, Link, StudentSummary

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient

_ATTEMPTS = 5


@dataclass(frozen=True)
class PageRead:
    """What one read brought: the account or None, when all sessions were ended (0: never), children."""

    account: Account | None
    all_ended_at: int
    summaries: tuple[StudentSummary, ...]


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


def read(username_key: str, student_ids: Sequence[str]) -> PageRead:
    """Read all of it consistently, in one call; a student whom an import removes is left out."""
    account, all_ended_at, items = _read(username_key, [roster.summary_key(x) for x in student_ids])
    summaries = [roster.summary_from(item) for item in items]
    order = {student_id: place for place, student_id in enumerate(student_ids)}
    return PageRead(
        account=account,
        all_ended_at=all_ended_at,
        summaries=tuple(sorted(summaries, key=lambda summary: order[summary.student_id])),
    )


def read_child(
    username_key: str, guardian_id: str, student_id: str, more: Sequence[str] = ()
) -> ChildRead:
    """Read what a student's page shows, and by which right, consistently and in one call.

    Takes also the sort keys of further items of the student. The call is the same for a student who
    isn't the guardian's, or isn't there.
    """
    keys = roster.child_keys(guardian_id, student_id, more)
    account, all_ended_at, items = _read(username_key, keys)
    return ChildRead(account, all_ended_at, *roster.child_from(items, more))


def _read(
    username_key: str, keys: list[dict[str, Any]]
) -> tuple[Account | None, int, list[dict[str, Any]]]:
    account_table, session_table = accounts.account_table(), sessions.session_table()
    wanted: dict[str, Any] = {
        account_table: _consistent([accounts.account_key(username_key)]),
        session_table: _consistent([sessions.all_sessions_key()]),
    }
    if keys:
        wanted[roster.table()] = _consistent(keys)
    found = _batch_get(wanted)
    return (
        next(map(accounts.account_from, found.get(account_table, [])), None),
        next(map(sessions.ended_at_from, found.get(session_table, [])), 0),
        found.get(roster.table(), []),
    )


def _consistent(keys: list[dict[str, Any]]) -> dict[str, Any]:
    return {"Keys": keys, "ConsistentRead": True}


def _batch_get(wanted: Mapping[str, Any]) -> dict[str, list[dict[str, Any]]]:
    found: dict[str, list[dict[str, Any]]] = {}
    rest: Any = wanted
    for attempt in range(_ATTEMPTS):
        answer = _dynamodb().batch_get_item(RequestItems=rest)
        for table, items in answer["Responses"].items():
            found.setdefault(table, []).extend(items)
        rest = answer.get("UnprocessedKeys")
        if not rest:
            return found
        time.sleep(crypto.jitter() * 0.05 * 2**attempt)
    raise TimeoutError("BatchGetItem left keys unprocessed")
