"""What every table shares: bounded calls, one connection, transactions that retry conflicts."""

import functools
import time
from collections.abc import Callable

from botocore.exceptions import BotoCoreError, ClientError
from pynamodb.connection import Connection
from pynamodb.exceptions import PynamoDBException, TransactWriteError
from pynamodb.transactions import TransactWrite

from chalicelib import crypto

# Shorter than API Gateway's 29 seconds, retries and all.
CONNECT_SECONDS, READ_SECONDS, RETRIES = 2.0, 5.0, 2

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


def condition_failed(error: PynamoDBException) -> bool:
    """Whether a single write failed on its condition, by code, not by message."""
    # Not PynamoDB's cause_response_code: it breaks on a time-out, whose response is None.
    response = getattr(error.cause, "response", None) or {}
    return bool(response.get("Error", {}).get("Code") == "ConditionalCheckFailedException")


def is_failure_of_aws(error: Exception) -> bool:
    """Whether an error says that a call to AWS failed: throttled, timed out, denied, or worse."""
    return isinstance(error, (PynamoDBException, BotoCoreError, ClientError, TimeoutError))
