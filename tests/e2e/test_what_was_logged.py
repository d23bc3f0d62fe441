"""What the deployed functions logged while the tests before this one ran: events, and nobody in them.

Last in the order of files, so that the whole run's lines are searched (security rows S7, S22, S88).
"""

import json
import re
from collections.abc import Iterator

import pytest

from local import LocalStack
from tests.e2e import journeys, test_deployed, test_journey_browser, test_recovery_deployed
from tests.e2e.conftest import DeployedClient, District

pytestmark = pytest.mark.e2e

KEY = re.compile(r"\b(?:[2-9A-HJKMNP-TV-Z]{4}-){3}[2-9A-HJKMNP-TV-Z]{4}\b")
ADDRESS = re.compile(r"[\w.+-]+@[\w-]+\.[\w.]+")
PASSWORDS = {
    test_deployed.PASSWORD,
    test_recovery_deployed.NEW,
    test_journey_browser.PASSWORD,
    journeys.PASSWORD,
}


def lines(stack: LocalStack) -> Iterator[str]:
    """Yield every line of every function's log group."""
    logs = stack.client("logs")
    groups = logs.describe_log_groups(logGroupNamePrefix="/aws/lambda/parent-portal-local-")
    for group in groups["logGroups"]:
        for page in logs.get_paginator("filter_log_events").paginate(
            logGroupName=group["logGroupName"]
        ):
            for event in page["events"]:
                yield from event["message"].splitlines()


def test_no_log_line_of_the_run_holds_a_secret_or_a_person(
    stack: LocalStack, district: District
) -> None:
    child, guardian = district.family.students[0], district.family.guardians[0]
    visitor = DeployedClient(stack, ip="203.0.113.77")
    asked = {"student_number": child.student_number, "ssn_last4": child.last_four}
    assert visitor.post("/activation-key", asked).status == 202
    visitor.post("/sign-in", {"username": "nobody77", "password": test_deployed.PASSWORD})
    logged = list(lines(stack))
    events = [json.loads(line) for line in logged if line.startswith("{")]
    assert {"request", "sign-in-failed", "import-applied"} <= {one["event"] for one in events}
    people = {
        name
        for family in district.families
        for one in family.guardians
        for name in (one.email, one.family_name)
        # A short name may stand in a random id by chance.
        if name and len(name) > 5
    }
    text = "\n".join(logged)
    assert not KEY.search(text)
    assert not ADDRESS.search(text)
    assert "token=" not in text
    assert [one for one in (*PASSWORDS, *people) if one in text] == []
    assert str(guardian.email) not in text
