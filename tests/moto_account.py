"""The one account on moto that a process's tests stand in: made once, as new again for each test.

To make a stage costs forty times what it costs to put it back. What a test left goes the way it goes
in moto itself: every backend is reset when the account is entered and when it is left. Then those that
hold the stage get it back, as copies of what it was before any test had it.
"""

import copy
import functools
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from moto.core.base_backend import BackendDict
from moto.core.model_instances import reset_model_data
from moto.core.models import MockAWS, botocore_stubber
from moto.sqs.models import SQSBackend

from tests import aws_stage
from tests.aws_stage import AwsStage


@dataclass(frozen=True)
class _Kept:
    """What moto holds right after the stage was made.

    Attributes:
        stage: the stage.
        accounts: of each service its accounts, and of each of those the backends by region.
        held: what each of them holds, by the id of the object; nothing ever changes it.
    """

    stage: AwsStage
    accounts: tuple[tuple[Any, Mapping[str, tuple[Any, Mapping[str, Any]]]], ...]
    held: Mapping[int, dict[str, Any]]

    def owners(self) -> Iterator[Any]:
        """Yield every object that holds something."""
        for service, accounts in self.accounts:
            yield service
            for account, backends in accounts.values():
                yield account
                yield from backends.values()


class _Account(MockAWS):
    """`mock_aws` without its hold on `requests`, which is slow to set and with which nothing sends."""

    def _enable_patching(self, reset: bool = True) -> None:  # noqa: ARG002, FBT002 - moto's
        botocore_stubber.enabled = True
        BackendDict.reset()

    def _disable_patching(self, remove_data: bool) -> None:  # noqa: ARG002 - moto's
        botocore_stubber.enabled = False
        BackendDict.reset()
        reset_model_data()


@contextmanager
def empty_stage(**how: Any) -> Iterator[AwsStage]:
    """Give the stage as it was when it was made, and nothing else in the account.

    Args:
        how: what `mock_aws` takes.
    """
    kept = keep()
    with _Account(**how):
        _put_back(kept)
        yield kept.stage


@functools.cache
def keep() -> _Kept:
    """Make the stage, once per process; return what it is put back from."""
    with _Account():
        stage = aws_stage.create_stage()
        accounts = tuple(
            (service, {name: (account, dict(account)) for name, account in service.items()})
            for service in BackendDict._instances
        )
        kept = _Kept(stage, accounts, {})
        held = {id(owner): vars(owner) for owner in kept.owners()}
        return _Kept(stage, accounts, _copied(held, kept))


def _put_back(kept: _Kept) -> None:
    held = _copied(kept.held, kept)
    for service, accounts in kept.accounts:
        BackendDict._instances.append(service)
        for name, (account, backends) in accounts.items():
            service[name] = account
            account.clear()
            account.update(backends)
    for owner in kept.owners():
        owner.__dict__ = held[id(owner)]


def _copied(held: Mapping[int, dict[str, Any]], kept: _Kept) -> dict[int, dict[str, Any]]:
    """Return a deep copy of what backends hold, in which they stay themselves."""
    # A queue's lock can't be copied; the copies of a queue get one of their own.
    known = {id(owner): owner for owner in kept.owners()}
    for owner in kept.owners():
        if isinstance(owner, SQSBackend):
            for queue in held[id(owner)]["queues"].values():
                known[id(queue._messages_lock)] = threading.Condition()
    return copy.deepcopy(dict(held), known)
