"""What every table shares: bounded calls, one connection, transactions that retry conflicts."""

import functools
import time
from collections.abc import Callable

from botocore.exceptions import BotoCoreError, ClientError
from pynamodb.connection import Connection
from pynamodb.exceptions import (
    DeleteError,
    PutError,
    PynamoDBException,
    TransactWriteError,
    UpdateError,
)
from pynamodb.expressions.condition import Condition
from pynamodb.expressions.update import Action
from pynamodb.models import Model
from pynamodb.transactions import TransactWrite

from chalicelib import crypto

# Shorter than API Gateway's 29 seconds, retries and all.
CONNECT_SECONDS, READ_SECONDS, RETRIES = 2.0, 5.0, 2
# TTL only tidies, this long after an item stopped mattering.
KEEP_SECONDS = 2 * 86400

CONDITION_FAILED = "ConditionalCheckFailed"
_TRANSIENT = {"TransactionConflict", "ThrottlingError", "ProvisionedThroughputExceeded"}
_ATTEMPTS = 8


class ConditionFailed(Exception):
    """A condition of a transaction didn't hold; nothing was written.

    Attributes:
        failed: the places (0, 1, …) of the writes whose conditions failed, in the order in which
            PynamoDB sends them: deletes, puts, then updates, whatever the order of the calls.
    """

    def __init__(self, failed: frozenset[int]) -> None:
        super().__init__("condition failed")
        self.failed = failed


class Meta:
    """What every model's `Meta` begins with, which PynamoDB reads from the class."""

    connect_timeout_seconds = CONNECT_SECONDS
    read_timeout_seconds = READ_SECONDS
    max_retry_attempts = RETRIES


@functools.cache
def _connection() -> Connection:
    return Connection(
        connect_timeout_seconds=CONNECT_SECONDS,
        read_timeout_seconds=READ_SECONDS,
        max_retry_attempts=RETRIES,
    )


def transact(write: Callable[[TransactWrite], None]) -> None:
    """Run the writes as one transaction, all or nothing.

    AWS cancels a transaction that overlaps another on one item, and no library retries that: here it
    is retried with backoff and jitter. Only a failed condition is an answer.

    Raises:
        ConditionFailed: a condition didn't hold.
        PynamoDBException: DynamoDB failed, or conflicts didn't end.
    """
    for attempt in range(_ATTEMPTS):
        try:
            with TransactWrite(connection=_connection()) as transaction:
                write(transaction)
            return
        except TransactWriteError as error:
            codes = [reason.code if reason else None for reason in error.cancellation_reasons]
            if CONDITION_FAILED in codes:
                places = (i for i, code in enumerate(codes) if code == CONDITION_FAILED)
                raise ConditionFailed(frozenset(places)) from error
            if not _TRANSIENT.intersection(codes) or attempt == _ATTEMPTS - 1:
                raise
        time.sleep(crypto.jitter() * 0.02 * 2**attempt)


def update_if(item: Model, *, actions: list[Action], condition: Condition) -> bool:
    """Update an item where its condition holds; False, and nothing written, where it doesn't."""
    return _if(lambda: item.update(actions=actions, condition=condition))


def put_if(item: Model, *, condition: Condition) -> bool:
    """Put an item where its condition holds; False, and nothing written, where it doesn't."""
    return _if(lambda: item.save(condition=condition))


def delete_if(item: Model, *, condition: Condition) -> bool:
    """Delete an item where its condition holds; False, and nothing deleted, where it doesn't."""
    return _if(lambda: item.delete(condition=condition))


def _if(write: Callable[[], object]) -> bool:
    try:
        write()
    except (DeleteError, PutError, UpdateError) as error:
        # Not PynamoDB's cause_response_code: it breaks on a time-out, whose response is None.
        response = getattr(error.cause, "response", None) or {}
        if response.get("Error", {}).get("Code") != "ConditionalCheckFailedException":
            raise
        return False
    return True


def is_failure_of_aws(error: Exception) -> bool:
    """Whether an error says that a call to AWS failed: throttled, timed out, denied, or worse."""
    return isinstance(error, (PynamoDBException, BotoCoreError, ClientError, TimeoutError))
