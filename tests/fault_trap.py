"""How AWS fails, and a stage that can be put back: every call of one act is made to fail in turn.

A write fails twice: refused, without its effect, and timed out, its effect there and only the answer
lost. A read has no effect, so it fails once. In which way AWS refuses changes from call to call; with
`PARENT_PORTAL_EVERY_FAULT=1` (`make faults`) every call fails in every way.
"""

import contextlib
import copy
import itertools
import os
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import botocore.client
import pytest
from botocore.exceptions import ClientError, ReadTimeoutError
from moto.core import DEFAULT_ACCOUNT_ID
from moto.dynamodb.models import dynamodb_backends

from tests import aws_stage
from tests.conftest import SentMail, forget_caches
from tests.portal_client import Answer, PortalClient

Visitors = Callable[[], PortalClient]
# What no answer, header or log line may tell of.
SECRET = "secret-detail"
TIMED_OUT = "timed out"
EVERY_FAULT = os.environ.get("PARENT_PORTAL_EVERY_FAULT") == "1"
_READS = ("Get", "BatchGet", "Query", "Scan")
_MOST_CALLS = 100


# --- how AWS fails --------------------------------------------------------------


def refused(code: str, status: int, operation: str, **more: Any) -> ClientError:
    """Return what AWS answers where it does nothing."""
    error = {"Code": code, "Message": f"arn:aws:dynamodb:us-east-1:1:table/{SECRET}"}
    answer: Any = {"Error": error, "ResponseMetadata": {"HTTPStatusCode": status}, **more}
    return ClientError(answer, operation)


def conflict(operation: str, parts: int) -> ClientError:
    """Return what AWS answers where a transaction overlaps another on one of its items."""
    reasons = [{"Code": "TransactionConflict"}, *[{"Code": "None"}] * (parts - 1)]
    return refused("TransactionCanceledException", 400, operation, CancellationReasons=reasons)


REFUSALS: Mapping[str, tuple[str, int]] = {
    "throttled": ("ProvisionedThroughputExceededException", 400),
    "broken": ("InternalServerError", 500),
    "denied": ("AccessDeniedException", 400),
}


_FAULTS = (*REFUSALS, TIMED_OUT)
WAYS = _FAULTS if EVERY_FAULT else ("refused", TIMED_OUT)


def refusal(name: str, operation: str) -> ClientError:
    """Return one of the ways in which AWS refuses."""
    return refused(*REFUSALS[name], operation)


@dataclass
class Trap:
    """Lets calls through until the one that is to fail, and the ones after it.

    Attributes:
        made: the operations so far that can fail in this way.
    """

    fails_at: int | None = None
    way: str = WAYS[0]
    made: list[str] = field(default_factory=list)

    def arm(self, at: int | None, way: str = WAYS[0]) -> None:
        """Make call number `at` from now on fail; None lets all through."""
        self.fails_at, self.way = at, way
        self.made.clear()

    def disarm(self) -> str | None:
        """Let all through again; return the operation that failed, None where there were fewer."""
        at, made = self.fails_at, self.made[:]
        self.arm(None)
        return made[at] if at is not None and at < len(made) else None


def set_trap(monkeypatch: pytest.MonkeyPatch) -> Trap:
    """Put a trap before every call of every client."""
    trap, make = Trap(), botocore.client.BaseClient._make_api_call

    def call(client: Any, operation: str, parameters: Any) -> Any:
        place, reads = len(trap.made), operation.startswith(_READS)
        if reads and trap.way == TIMED_OUT and not EVERY_FAULT:
            return make(client, operation, parameters)
        trap.made.append(operation)
        if place != trap.fails_at:
            return make(client, operation, parameters)
        name = trap.way
        if name not in _FAULTS:
            faults = _FAULTS if reads else tuple(REFUSALS)
            name = faults[place % len(faults)]
        if name != TIMED_OUT:
            raise refusal(name, operation)
        with contextlib.suppress(ClientError):
            make(client, operation, parameters)
        raise ReadTimeoutError(endpoint_url=f"https://dynamodb.example/{SECRET}")

    monkeypatch.setattr(botocore.client.BaseClient, "_make_api_call", call)
    return trap


# --- what is tried --------------------------------------------------------------


@dataclass
class Story:
    """One POST: who sends what, and what must be true in the end.

    Attributes:
        granted: whether it gave what a refused posting must not give.
        whole: after every posting; nothing is half done.
        done: after the one that succeeded, given the mails that were sent.
        again: what the second posting may answer where the first one's effect was there already.
    """

    visitor: PortalClient
    path: str
    fields: Mapping[str, str]
    success: int
    granted: Callable[[], bool] = lambda: False
    whole: Callable[[], bool] = lambda: True
    done: Callable[[list[SentMail]], bool] = lambda _: True
    again: frozenset[int] = frozenset()

    def post(self, form_id: str = "", **how: Any) -> Answer:
        """Post it."""
        return self.visitor.post(self.path, {**self.fields, "form_id": form_id}, **how)


class World:
    """The tables' items and the visitors' cookies, which can be put back as they were."""

    def __init__(self, new_visitor: Visitors) -> None:
        self._visitors: list[PortalClient] = []
        self._new_visitor = new_visitor
        self._items: dict[str, Any] = {}
        self._cookies: list[dict[str, str]] = []

    def new_visitor(self) -> PortalClient:
        """Return another visitor, whose cookies are kept too."""
        self._visitors.append(self._new_visitor())
        return self._visitors[-1]

    def keep(self) -> None:
        """Remember what there is."""
        self._items = {name: copy.deepcopy(table.items) for name, table in _tables().items()}
        self._cookies = [dict(one.cookies) for one in self._visitors]

    def put_back(self) -> None:
        """Be a new container in the world as it was kept."""
        for name, table in _tables().items():
            table.items = copy.deepcopy(self._items[name])
        for visitor, cookies in zip(self._visitors, self._cookies, strict=False):
            visitor.cookies = dict(cookies)
        forget_caches()

    def each_call(self, trap: Trap, way: str) -> Iterator[int]:
        """Arm the trap for one call after another, each in the world as it is now.

        The round in which nothing failed is the last that is worth anything.
        """
        self.keep()
        for place in itertools.count():
            assert place < _MOST_CALLS
            self.put_back()
            trap.arm(place, way)
            yield place


def assert_apology(answer: Answer, references: set[str]) -> None:
    """Hold a page to say that AWS failed, by a reference that the log has, and nothing of the cause."""
    assert answer.status == 503
    assert answer.header("content-security-policy")
    assert any(reference in answer.text for reference in references)
    assert SECRET not in answer.text


def _tables() -> Mapping[str, Any]:
    tables: Mapping[str, Any] = dynamodb_backends[DEFAULT_ACCOUNT_ID][aws_stage.REGION].tables
    return tables
