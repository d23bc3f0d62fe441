"""Recovery as deployed: what the guide promises a parent who forgot, and what admins can do about it.

Each function of it runs once under the role that it is deployed with.
"""

import itertools
import re
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from local import LocalStack
from tests.e2e.conftest import DeployedClient, District, wait_for_mail
from tests.portal_client import Answer

pytestmark = pytest.mark.e2e

USERNAME, PASSWORD, NEW = "recovers1", "blue42horses", "green43zebras"
# Each asks from an address of its own: what one IP may ask in an hour isn't meant here.
_places = itertools.count(1)
SCHEDULE = {
    "version": "0",
    "id": "reset",
    "detail-type": "Scheduled Event",
    "source": "aws.events",
    "account": "000000000000",
    "time": "2026-11-24T12:00:00Z",
    "region": "us-east-1",
    "resources": [],
    "detail": {},
}


@pytest.fixture
def email(stack: LocalStack, district: District) -> Iterator[str]:
    """Give the address of a guardian with an account, who asked for nothing today."""
    address = str(district.families[8].guardians[0].email)
    (found,) = stack.invoke("find_guardian", {"email": address})["guardians"]
    event = {"guardian_id": found["guardian_id"], "deliver": "return"}
    form = {
        "activation_key": stack.invoke("issue_activation_key", event)["activation_key"],
        "username": USERNAME,
        "password": PASSWORD,
        "verify_password": PASSWORD,
    }
    assert DeployedClient(stack).post("/create-account", form).status == 201
    stack.invoke("unlock_account", {"username": USERNAME})
    yield address
    stack.invoke("unlock_account", {"username": USERNAME})
    stack.invoke("delete_account", {"username": USERNAME})


def sign_in(stack: LocalStack, password: str = PASSWORD) -> Answer:
    fields = {"username": USERNAME, "password": password}
    return DeployedClient(stack).post("/sign-in", fields)


def forgot_username(stack: LocalStack, address: str) -> Answer:
    visitor = DeployedClient(stack, ip=f"198.51.100.{next(_places)}")
    return visitor.post("/forgot-username", {"email": address})


def locked_until(stack: LocalStack) -> str | None:
    """Return what the admins' answer says of the account."""
    (found,) = stack.invoke("find_guardian", {"username": USERNAME})["guardians"]
    until: str | None = found["account"]["locked_until"]
    return until


def lock(stack: LocalStack, address: str) -> str:
    """Ask six times; return until when the address is locked."""
    sent = len(stack.mails())
    answers = [forgot_username(stack, address) for _ in range(6)]
    assert [one.status for one in answers] == [202] * 5 + [429]
    wait_for_mail(stack, address, after=sent, saying="asked for too many times")
    until: str = answers[-1].json()["locked_until"]
    return until


def reset_token(mail: dict[str, Any]) -> str:
    found = re.search(r"reset-password\?token=([\w-]+)", mail["BodyText"])
    assert found, mail["BodyText"]
    return found[1]


def reset(stack: LocalStack, token: str, password: str) -> Answer:
    fields = {"token": token, "password": password, "verify_password": password}
    return DeployedClient(stack).post("/reset-password", fields)


def test_the_sixth_is_locked_and_the_next_day_all_is_open(
    stack: LocalStack, email: str, clock: Callable[[timedelta], None]
) -> None:
    until = lock(stack, email)
    refused = sign_in(stack)
    assert (refused.status, refused.code) == (403, "locked-out")
    assert refused.json()["locked_until"] == until
    assert sign_in(stack, "wrong7wrong").status == 401
    assert locked_until(stack) == until
    stack.invoke("reset_lockouts", SCHEDULE)
    assert locked_until(stack) == until

    midnight = datetime.fromisoformat(until)
    clock(midnight - datetime.now(UTC) + timedelta(seconds=1))
    stack.invoke("reset_lockouts", SCHEDULE)
    assert locked_until(stack) is None
    assert sign_in(stack).status == 200
    assert forgot_username(stack, email).status == 202


def test_an_address_that_nobody_has_is_answered_alike(stack: LocalStack, email: str) -> None:
    stranger = f"nobody{datetime.now(UTC):%H%M%S}@example.com"
    answers = [[forgot_username(stack, address) for _ in range(6)] for address in (email, stranger)]
    known, unknown = ([(one.status, one.text) for one in each] for each in answers)
    assert known == unknown


def test_an_admin_unlocks_account_and_recovery(stack: LocalStack, email: str) -> None:
    lock(stack, email)
    assert stack.invoke("unlock_account", {"username": USERNAME})["locked_until"] is None
    assert sign_in(stack).status == 200
    assert forgot_username(stack, email).status == 202


def test_a_parent_resets_a_forgotten_password(stack: LocalStack, email: str) -> None:
    sent = len(stack.mails())
    asked = DeployedClient(stack).post("/forgot-password", {"username": USERNAME})
    assert asked.status == 202
    mail = wait_for_mail(stack, email, after=sent, saying="reset-password?token=")
    token = reset_token(mail)
    assert reset(stack, token, NEW).status == 200
    assert reset(stack, token, "other77others").code == "reset-link-invalid"
    assert sign_in(stack).status == 401
    assert sign_in(stack, NEW).status == 200


def test_an_admin_sends_a_link(stack: LocalStack, email: str) -> None:
    sent = len(stack.mails())
    answer = stack.invoke("send_password_reset", {"username": USERNAME})
    assert (answer["username"], answer["state"]) == (USERNAME, "active")
    mail = wait_for_mail(stack, email, after=sent, saying="reset-password?token=")
    token = reset_token(mail)
    assert reset(stack, token, NEW).status == 200
    assert sign_in(stack, NEW).status == 200


def test_an_admin_ends_a_password(stack: LocalStack, email: str) -> None:
    sent = len(stack.mails())
    event = {"username": USERNAME, "reason": "the parent's phone was stolen"}
    assert stack.invoke("require_password_reset", event)["state"] == "reset-required"
    mail = wait_for_mail(stack, email, after=sent, saying="reset-password?token=")
    assert sign_in(stack).code == "password-reset-required"
    assert reset(stack, reset_token(mail), NEW).status == 200
    assert sign_in(stack, NEW).status == 200
