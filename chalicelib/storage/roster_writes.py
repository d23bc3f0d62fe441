"""Writing the table `roster`, for the import alone: items in batches, guardians in transactions.

Everything may be written twice: a chunk that was cut off is written again from its beginning.
"""

import functools
import time
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import boto3
from botocore.config import Config
from pynamodb.attributes import NumberAttribute, UnicodeAttribute
from pynamodb.models import Model
from pynamodb.transactions import TransactWrite

from chalicelib import crypto, errors, settings
from chalicelib.storage import tables

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient

_BATCH = 25  # BatchWriteItem's own limit
_THREADS = 4
_ATTEMPTS = 12
_SLOWEST_SECONDS = 5.0
_FROM_ROSTER = "roster"
_CONFIG = Config(
    connect_timeout=3,
    read_timeout=10,
    retries={"mode": "standard", "total_max_attempts": 8},
    max_pool_connections=_THREADS,
)


@functools.cache
def _dynamodb() -> "DynamoDBClient":
    return boto3.client("dynamodb", config=_CONFIG)


class _Guardian(Model):
    """`profile` and `access` of a guardian's partition."""

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


class _AccountAddress(Model):
    """What of an account follows the roster."""

    class Meta(tables.Meta):
        table_name = settings.name("accounts")

    username_key = UnicodeAttribute(hash_key=True)
    guardian_id = UnicodeAttribute()
    email = UnicodeAttribute(null=True)
    email_source = UnicodeAttribute()
    address_hash = UnicodeAttribute(null=True)
    link_generation = NumberAttribute(null=True)
    mail_state = UnicodeAttribute(null=True)


@dataclass(frozen=True)
class GuardianMove:
    """A guardian whose unused keys end; with `profile_changes` their roster entry changes too.

    Attributes:
        profile: the new profile's attributes, None where the guardian left the roster.
        email: the roster's address from now on, None for none; `address_hash` is its keyed hash.
        had_address: the roster had another address before.
    """

    guardian_id: str
    profile: Mapping[str, str] | None
    profile_changes: bool
    email: str | None
    address_hash: str | None
    had_address: bool


# --- items --------------------------------------------------------------------------


def write_items(
    puts: Iterable[tuple[str, str, Mapping[str, str]]], deletes: Iterable[tuple[str, str]]
) -> None:
    """Put and delete items, in any order, side by side.

    Takes (pk, sk, attributes) to put and (pk, sk) to delete; no key may be named twice.

    Raises:
        Unavailable: DynamoDB left items unprocessed after many tries.
    """
    requests = [_put(*one) for one in puts]
    requests.extend({"DeleteRequest": {"Key": _key(pk, sk)}} for pk, sk in deletes)
    batches = [requests[i : i + _BATCH] for i in range(0, len(requests), _BATCH)]
    with ThreadPoolExecutor(max_workers=_THREADS) as threads:
        for _ in threads.map(_write_batch, batches):
            pass


def _key(pk: str, sk: str) -> dict[str, Any]:
    return {"pk": {"S": pk}, "sk": {"S": sk}}


def _put(pk: str, sk: str, attributes: Mapping[str, str]) -> dict[str, Any]:
    return {
        "PutRequest": {
            "Item": _key(pk, sk) | {name: {"S": value} for name, value in attributes.items()}
        }
    }


def _write_batch(batch: Sequence[Any]) -> None:
    """Write up to 25 items; what DynamoDB didn't get to is tried again with backoff and jitter."""
    table, left = settings.name("roster"), list(batch)
    for attempt in range(_ATTEMPTS):
        answer = _dynamodb().batch_write_item(RequestItems={table: left})
        left = list(answer.get("UnprocessedItems", {}).get(table, ()))
        if not left:
            return
        time.sleep(crypto.jitter() * min(_SLOWEST_SECONDS, 0.05 * 2**attempt))
    raise errors.Unavailable


# --- guardians ----------------------------------------------------------------------


def move_guardians(moves: Sequence[GuardianMove]) -> list[bool]:
    """Move guardians side by side, each in a transaction; see `move_guardian`."""
    with ThreadPoolExecutor(max_workers=_THREADS) as threads:
        return list(threads.map(move_guardian, moves))


def move_guardian(move: GuardianMove) -> bool:
    """End a guardian's unused keys, and change or delete the roster's entry, in one transaction.

    Where the guardian has an account whose address follows the roster, the account's changes with
    it. The condition is that `access.account` is still what was read: closes the race with an
    account that is made, or deleted, meanwhile.

    Returns:
        Whether the address of an account moved, so that the old one must be told. Written again
        after a crash it answers the same.
    """
    for _ in range(_ATTEMPTS):
        try:
            return _try_to_move(move)
        except tables.ConditionFailed:
            time.sleep(crypto.jitter() * 0.05)
    raise errors.Unavailable


def _try_to_move(move: GuardianMove) -> bool:
    pk = f"guardian#{move.guardian_id}"
    found = {
        item.sk: item
        for item in _Guardian.batch_get([(pk, "profile"), (pk, "access")], consistent_read=True)
    }
    access = found.get("access")
    username_key = access.account if access else None
    account = _account(username_key) if username_key else None
    follows = account is not None and account.email_source == _FROM_ROSTER
    if move.profile_changes and _is_written(move, found.get("profile")):
        return follows and move.had_address

    def write(transaction: TransactWrite) -> None:
        if move.profile_changes and move.profile is not None:
            attributes: dict[str, Any] = dict(move.profile)
            transaction.save(_Guardian(pk, "profile", **attributes))
        elif move.profile_changes:
            transaction.delete(_Guardian(pk, "profile"))
        actions: list[Any] = [_Guardian.key_generation.add(1)]
        if move.profile_changes:
            # A bounce was of the old address.
            actions += [_Guardian.mail_state.remove(), _Guardian.mail_at.remove()]
        unchanged = (
            _Guardian.account == username_key
            if username_key
            else _Guardian.account.does_not_exist()
        )
        transaction.update(_Guardian(pk, "access"), actions=actions, condition=unchanged)
        if follows and move.profile_changes:
            assert username_key is not None
            transaction.update(
                _AccountAddress(username_key),
                actions=_new_address(move),
                condition=(_AccountAddress.email_source == _FROM_ROSTER)
                & (_AccountAddress.guardian_id == move.guardian_id),
            )

    tables.transact(write)
    return follows and move.profile_changes and move.had_address


def _is_written(move: GuardianMove, profile: _Guardian | None) -> bool:
    if move.profile is None or profile is None:
        return move.profile is None and profile is None
    return profile.data == move.profile["data"]


def _account(username_key: str) -> _AccountAddress | None:
    try:
        return _AccountAddress.get(username_key, consistent_read=True)
    except _AccountAddress.DoesNotExist:
        return None


def _new_address(move: GuardianMove) -> list[Any]:
    # Open links went to the old address, and so did what bounced.
    ended = [_AccountAddress.link_generation.add(1), _AccountAddress.mail_state.remove()]
    if move.email is None or move.address_hash is None:
        return [
            _AccountAddress.email.remove(),
            _AccountAddress.address_hash.remove(),
            *ended,
        ]
    return [
        _AccountAddress.email.set(move.email),
        _AccountAddress.address_hash.set(move.address_hash),
        *ended,
    ]
