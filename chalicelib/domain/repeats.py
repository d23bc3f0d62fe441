"""A form posted twice (a double tap, a reload) counts, mails and creates once (contract section 2).

Every form carries a random `form_id`. The mark of a posting is a keyed hash over route, `form_id` and
fields: nobody who reads the table can guess a password from it, since the `form_id` isn't stored.
"""

import json
import time
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any, TypeVar

from chalicelib import errors, policy
from chalicelib.storage import aws, counters

_T = TypeVar("_T")

# How long the second of two postings at once waits for the first one's answer.
_WAIT_SECONDS, _LOOK_EVERY_SECONDS = 6.0, 0.05
_DONE, _REFUSED = "done:", "refused:"


def _read(said: Mapping[str, Any]) -> errors.Refusal:
    """Return the refusal that the first posting got, of its own class: pages differ by it."""
    kind: type[errors.Refusal] = getattr(errors, said["kind"])
    # Not by its own constructor: some know their errors without being told.
    refusal = kind.__new__(kind)
    until = said["locked_until"]
    errors.Refusal.__init__(
        refusal,
        errors=[
            errors.FieldError(field, code, tuple((n, v) for n, v in parameters))
            for field, code, parameters in said["errors"]
        ],
        locked_until=None if until is None else datetime.fromtimestamp(until, UTC),
    )
    return refusal


def once(
    route: str,
    form_id: str,
    fields: Mapping[str, str],
    *,
    first: Callable[[], _T],
    again: Callable[[], _T],
    now: datetime,
    keep: Callable[[_T], str] = lambda _: "",
    recall: Callable[[_T, str], _T] = lambda said, _: said,
) -> _T:
    """Run `first` for a new posting; answer a repeat as the first was answered.

    A repeat of a refused posting is refused alike and counts nothing, as long as the waiting lasts
    that the refusal asked for; a repeat of one that succeeded runs `again`, which says the same without
    doing it anew. What can't be read any more by then, `keep` takes from the first answer (nothing
    secret: it is stored) and `recall` puts into the repeat's. Without a `form_id` every posting is new.
    """
    if not form_id:
        return first()
    text = json.dumps([route, form_id, sorted(fields.items())], ensure_ascii=True)
    mark = aws.keyring().hash("form", text)
    if counters.claim(mark, seconds=policy.REPEAT_SECONDS, now=now):
        return _run(mark, first, keep, now)
    outcome = _wait_for(mark)
    if outcome is None:
        return first()
    if outcome.startswith(_REFUSED):
        raise _read(json.loads(outcome.removeprefix(_REFUSED)))
    return recall(again(), outcome.removeprefix(_DONE))


def _run(mark: str, first: Callable[[], _T], keep: Callable[[_T], str], now: datetime) -> _T:
    try:
        answer = first()
    except errors.Unavailable:
        counters.release(mark)
        raise
    except errors.Refusal as refusal:
        seconds = _as_long_as_it_holds(refusal, now)
        counters.conclude(mark, _REFUSED + _written(refusal), seconds=seconds, now=now)
        raise
    except Exception:
        # Nobody knows what was done: the next posting is a new try, judged by the tables' conditions.
        counters.release(mark)
        raise
    counters.conclude(mark, _DONE + keep(answer), seconds=policy.REPEAT_SECONDS, now=now)
    return answer


def _as_long_as_it_holds(refusal: errors.Refusal, now: datetime) -> int:
    """Return for how many seconds a repeat is refused alike: not past the time it was told to wait."""
    if refusal.locked_until is None:
        return policy.REPEAT_SECONDS
    left = int(refusal.locked_until.timestamp()) - int(now.timestamp())
    return min(policy.REPEAT_SECONDS, max(left, 0))


def _written(refusal: errors.Refusal) -> str:
    until = refusal.locked_until
    return json.dumps(
        {
            "kind": type(refusal).__name__,
            "locked_until": None if until is None else int(until.timestamp()),
            "errors": [[e.field, e.code, list(e.parameters)] for e in refusal.errors],
        }
    )


def _wait_for(mark: str) -> str | None:
    """Return the first posting's outcome, waiting while it runs; None where it never ended."""
    deadline = time.monotonic() + _WAIT_SECONDS
    while (outcome := counters.outcome(mark)) is None and time.monotonic() < deadline:
        time.sleep(_LOOK_EVERY_SECONDS)
    return outcome
