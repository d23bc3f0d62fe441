"""Does an answer's time tell whether a name or number exists? Pairs are sent in turn and compared.

Security rows S9 and S24: known and unknown must cost the same. What a machine measures varies, so
nothing is asserted; a ratio near 1.00 and a guess that is right half of the time are what to look for.
Processor time is what our side of the request cost, without the simulated AWS and whatever else ran.

    python -m bench.answers [PAIRS]      500 pairs of each kind by default
"""

import contextlib
import importlib
import io
import os
import random
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from statistics import median, quantiles
from typing import Any

import time_machine
from moto import mock_aws
from moto.core.botocore_stubber import BotocoreStubber

from tests import aws_stage, factories
from tests.portal_client import PortalClient

PAIRS = 500
# Longer than the windows of names and IPs; eight lookups of a number a day stay below its ten.
STEP_SECONDS = 6 * 3600

Times = tuple[float, float]


@dataclass(frozen=True)
class Pair:
    """Two posts that must not be told apart by their time."""

    name: str
    path: str
    known: dict[str, str]
    unknown: dict[str, str]
    status: int


class _Server:
    """The processor time that the simulated AWS took so far."""

    seconds = 0.0

    @contextlib.contextmanager
    def watched(self) -> Iterator[None]:
        """Add up what happens between the client's sending and receiving."""
        answer = BotocoreStubber.__call__

        def timed(stubber: BotocoreStubber, *args: Any, **how: Any) -> Any:
            begun = time.process_time()
            try:
                return answer(stubber, *args, **how)
            finally:
                self.seconds += time.process_time() - begun

        BotocoreStubber.__call__ = timed  # type: ignore[method-assign]
        try:
            yield
        finally:
            BotocoreStubber.__call__ = answer  # type: ignore[method-assign]


def main(pairs: int) -> None:
    """Measure every pair and print what was seen."""
    server = _Server()
    with mock_aws(), server.watched(), time_machine.travel(factories.NOW, tick=False) as clock:
        _begin()
        app = importlib.import_module("app").app
        print(f"{pairs} pairs of each kind, sent in turn; milliseconds")  # noqa: T201
        for pair in _pairs():
            known, unknown = _measure(app, pair, pairs, server, lambda: clock.shift(STEP_SECONDS))
            print(f"\n{pair.name}")  # noqa: T201
            for place, what in enumerate(("as seen", "processor")):
                columns = [one[place] for one in known], [one[place] for one in unknown]
                print(_told(what, *columns), flush=True)  # noqa: T201


def _begin() -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN"):
        os.environ[name] = "testing"
    os.environ["AWS_DEFAULT_REGION"] = aws_stage.REGION
    os.environ.update(aws_stage.create_stage().environment)


def _pairs() -> Iterator[Pair]:
    child = factories.student(number="007", last4="4321")
    factories.guardian(child, email="rosa@example.com")
    who = factories.account(factories.family(), username="Rosa1")
    wrong = "wrong password 1"
    yield Pair(
        "sign-in: a name with an account, a name without",
        "/sign-in",
        {"username": who.username, "password": wrong},
        {"username": "Nobody1", "password": wrong},
        401,
    )
    yield Pair(
        "activation-key: a match, a number that nobody has",
        "/activation-key",
        {"student_number": "007", "ssn_last4": "4321"},
        {"student_number": "999", "ssn_last4": "4321"},
        202,
    )
    yield Pair(
        "activation-key: a match, wrong digits",
        "/activation-key",
        {"student_number": "007", "ssn_last4": "4321"},
        {"student_number": "007", "ssn_last4": "0000"},
        202,
    )


def _measure(
    app: object, pair: Pair, pairs: int, server: _Server, step: Callable[[], None]
) -> tuple[list[Times], list[Times]]:
    """Return both kinds' milliseconds; who goes first is drawn anew for each pair."""
    times: tuple[list[Times], list[Times]] = ([], [])
    for place in range(pairs + 20):
        step()
        kinds = [(0, pair.known), (1, pair.unknown)]
        random.shuffle(kinds)
        for kind, fields in kinds:
            visitor = PortalClient(app, ip=f"198.51.100.{kind + 1}")
            with contextlib.redirect_stderr(io.StringIO()):
                begun = time.perf_counter(), time.process_time() - server.seconds
                answer = visitor.post(pair.path, fields)
                ended = time.perf_counter(), time.process_time() - server.seconds
            took = ((ended[0] - begun[0]) * 1000, (ended[1] - begun[1]) * 1000)
            assert answer.status == pair.status, answer.text
            # The first ones fill caches.
            if place >= 20:  # noqa: PLR2004
                times[kind].append(took)
    return times


def _told(what: str, known: list[float], unknown: list[float]) -> str:
    tenths = [quantiles(one, n=10)[-1] for one in (known, unknown)]
    parts = [
        f"{name} {one:.2f} : {other:.2f} = {one / other:.3f}"
        for name, one, other in (
            ("median", median(known), median(unknown)),
            ("slowest tenth", *tenths),
        )
    ]
    guess = f"a guess by one answer's time is right {_right_guesses(known, unknown):.1%}"
    return f"  {what:10} " + "; ".join([*parts, guess])


def _right_guesses(known: list[float], unknown: list[float]) -> float:
    """Return how often the slower of two answers is the same kind; a half is pure chance."""
    slower = sum((a > b) + (a == b) / 2 for a in known for b in unknown)
    share = slower / (len(known) * len(unknown))
    return max(share, 1 - share)


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else PAIRS)
