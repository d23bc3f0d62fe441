"""The one read behind a signed-in page: account, end of all sessions and the children's summaries.

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
from chalicelib.storage import accounts, enrollment, roster, sessions, tables
from chalicelib.storage.enrollment import EnrollmentAnswer
from chalicelib.storage.values import Account, StudentSummary

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


def read(username_key: str, student_ids: Sequence[str], *, school_year: str) -> PageRead:
    """Read all of it consistently, in one call; a student whom an import removes is left out."""
    account_table, session_table = accounts.account_table(), sessions.session_table()
    wanted: dict[str, Any] = {
        account_table: _consistent([accounts.account_key(username_key)]),
        session_table: _consistent([sessions.all_sessions_key()]),
    }
    if student_ids:
        wanted[roster.table()] = _consistent([roster.summary_key(one) for one in student_ids])
        keys = [enrollment.key(school_year, one) for one in student_ids]
        wanted[enrollment.table()] = _consistent(keys)
    found = _batch_get(wanted)
    summaries = [roster.summary_from(item) for item in found.get(roster.table(), [])]
    answers = map(enrollment.answer_from, found.get(enrollment.table(), []))
    order = {student_id: place for place, student_id in enumerate(student_ids)}
    return PageRead(
        account=next(map(accounts.account_from, found.get(account_table, [])), None),
        all_ended_at=next(map(sessions.ended_at_from, found.get(session_table, [])), 0),
        summaries=tuple(sorted(summaries, key=lambda summary: order[summary.student_id])),
        answers={one.student_id: one for one in answers},
    )


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
