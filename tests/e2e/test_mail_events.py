"""What became of mails, as deployed: from SES's topic to what admins and guardians see.

The embedded AWS sends no events of its own, so the tests publish to the topic what SES would. It
knows no dead letters of functions either; those are read in the template (tests/test_template.py).
"""

import json
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from local import ACCOUNT, REGION, LocalStack
from tests.e2e.conftest import DeployedClient, District, wait_for_mail
from tests.portal.test_mail_events import bounce, complaint, delivery
from tests.portal_client import HTML

pytestmark = pytest.mark.e2e

TOPIC = f"arn:aws:sns:{REGION}:{ACCOUNT}:parent-portal-local-mail-events"


@pytest.fixture
def both(stack: LocalStack, district: District) -> Iterator[tuple[str, str]]:
    """Give two addresses of the roster that mails reach, and have them so again afterwards."""
    first, second = (str(one.email) for one in district.families[4].guardians)
    yield first, second
    for email in (first, second):
        stack.invoke("clear_mail_state", {"email": email})


def publish(stack: LocalStack, event: dict[str, Any]) -> None:
    stack.client("sns").publish(TopicArn=TOPIC, Message=json.dumps(event))


def mail_state(stack: LocalStack, email: str) -> str | None:
    found = stack.invoke("find_guardian", {"email": email})["guardians"]
    mail = found[0]["mail"]
    return mail and mail["state"]


def wait_until(holds: Callable[[], bool], *, seconds: float = 30) -> None:
    deadline = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < deadline, f"not within {seconds} seconds"
        time.sleep(0.2)


@pytest.mark.parametrize(
    ("event_of", "state", "whose"), [(bounce, "bounced", 0), (complaint, "complained", 1)]
)
def test_a_mail_that_came_back_stops_mails_until_an_admin_clears_it(
    stack: LocalStack,
    both: tuple[str, str],
    *,
    event_of: Callable[[str], dict[str, Any]],
    state: str,
    whose: int,
) -> None:
    portal = DeployedClient(stack, ip="198.51.100.200")
    bad, good = both[whose], both[1 - whose]
    publish(stack, event_of(bad))
    wait_until(lambda: mail_state(stack, bad) == state)

    before = len(stack.mails())
    assert portal.post("/forgot-username", {"email": bad}).status == 202
    assert portal.post("/forgot-username", {"email": good}).status == 202
    wait_for_mail(stack, good, after=before)
    assert all(bad not in one["To"] for one in stack.mails()[before:])

    assert stack.invoke("clear_mail_state", {"email": bad}) == {"email": bad, "cleared": True}
    assert mail_state(stack, bad) is None
    assert portal.post("/forgot-username", {"email": bad}).status == 202
    wait_for_mail(stack, bad, after=before)


def test_the_guardian_is_told_on_the_first_page(stack: LocalStack, district: District) -> None:
    (one,) = (g for g in district.families[7].guardians if g.portal_access)
    email = str(one.email)
    (found,) = stack.invoke("find_guardian", {"email": email})["guardians"]
    event = {"guardian_id": found["guardian_id"], "deliver": "return"}
    account = {"username": "bounced1", "password": "blue42horses"}
    key = stack.invoke("issue_activation_key", event)["activation_key"]
    visitor = DeployedClient(stack)
    form = {**account, "activation_key": key, "verify_password": account["password"]}
    assert visitor.post("/create-account", form).status == 201
    assert visitor.post("/sign-in", account).status == 200
    try:
        assert 'class="note warn"' not in visitor.get("/", accept=HTML).text
        publish(stack, bounce(email))
        wait_until(lambda: 'class="note warn"' in visitor.get("/", accept=HTML).text)
        stack.invoke("clear_mail_state", {"email": email})
        assert 'class="note warn"' not in visitor.get("/", accept=HTML).text
    finally:
        stack.invoke("delete_account", {"username": account["username"]})


def test_a_delivery_is_seen(stack: LocalStack, both: tuple[str, str]) -> None:
    publish(stack, delivery(both[1]))
    wait_until(lambda: mail_state(stack, both[1]) == "delivered")


def test_another_topics_word_changes_nothing(stack: LocalStack, both: tuple[str, str]) -> None:
    notification = {
        "Type": "Notification",
        "TopicArn": TOPIC.replace("-local-", "-prod-"),
        "Message": json.dumps(bounce(both[0])),
    }
    stack.invoke("record_mail_event", {"Records": [{"Sns": notification}]})
    assert mail_state(stack, both[0]) is None
