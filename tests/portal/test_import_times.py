"""When an import ended, as its report says it."""

import itertools
import json
from datetime import UTC, datetime, timedelta

from chalicelib.domain import roster_import
from tests.aws_stage import AwsStage
from tests.roster_sets import Office, district

NOON = datetime(2026, 3, 2, 17, 0, tzinfo=UTC)


def test_an_import_is_finished_when_all_is_written_not_when_it_began(stage: AwsStage) -> None:
    office = Office(stage)
    office.announce(office.put(district()))
    (message,) = office.messages()
    # Each look at the time that is left finds a minute less.
    left = itertools.count(900, -60)
    roster_import.advance(
        json.loads(message)["import_id"], now=NOON, seconds_left=lambda: float(next(left))
    )
    report = office.report()
    assert report["status"] == "applied"
    finished = datetime.fromisoformat(report["finished_at"])
    assert NOON < finished <= NOON + timedelta(minutes=15)
