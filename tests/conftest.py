"""An empty AWS stage for each test on moto, the portal's client on it, and what it put into its queues.

Nothing of ours is patched: the environment says where things are, as it does in Lambda.
"""

import importlib
import json
import re
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import botocore.client
import pytest
import time_machine
from chalice.local import LambdaContext
from moto.core import DEFAULT_ACCOUNT_ID
from moto.core.exceptions import JsonRESTError
from moto.ses.models import ses_backends
from moto.sesv2.responses import SESV2Response

from chalicelib import crypto
from chalicelib.storage import aws, district, oidc
from tests import aws_stage, moto_account, permissions
from tests.aws_stage import AwsStage
from tests.portal_client import PortalClient


@pytest.fixture(autouse=True)
def no_real_aws(monkeypatch: pytest.MonkeyPatch) -> None:
    """Keep every test away from a real account, whatever the developer's shell holds."""
    for name, value in {
        "AWS_ACCESS_KEY_ID": "testing",
        "AWS_SECRET_ACCESS_KEY": "testing",
        "AWS_SESSION_TOKEN": "testing",
        "AWS_DEFAULT_REGION": aws_stage.REGION,
        "AWS_EC2_METADATA_DISABLED": "true",
    }.items():
        monkeypatch.setenv(name, value)
    monkeypatch.delenv("AWS_PROFILE", raising=False)
    monkeypatch.delenv("AWS_ENDPOINT_URL", raising=False)


permissions.watch()


@pytest.fixture(autouse=True)
def nothing_beyond_its_policy() -> Iterator[None]:
    """Fail a test in which a function did what its policy file doesn't allow."""
    permissions.denied.clear()
    yield
    assert not permissions.denied


def forget_caches() -> None:
    """Be a new container: no secret or preference of another test's stage (clients may stay)."""
    aws.forget_keyring()
    district.forget_preferences()
    oidc.forget()


@pytest.fixture
def stage(no_real_aws: None, monkeypatch: pytest.MonkeyPatch) -> Iterator[AwsStage]:
    """Give an empty stage: tables, queues, bucket, secret, sender."""
    _one_call_at_a_time(monkeypatch)
    with moto_account.empty_stage() as made:
        for name, value in made.environment.items():
            monkeypatch.setenv(name, value)
        forget_caches()
        yield made
        forget_caches()


def _one_call_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let calls of several threads take turns: moto's tables aren't made for more.

    What runs between two calls still interleaves; real concurrency is tried on DynamoDB Local.
    """
    lock, make = threading.Lock(), botocore.client.BaseClient._make_api_call

    def in_turn(client: Any, operation: str, parameters: Any) -> Any:
        with lock:
            return make(client, operation, parameters)

    monkeypatch.setattr(botocore.client.BaseClient, "_make_api_call", in_turn)


@pytest.fixture
def portal_app(stage: AwsStage) -> Any:
    """Give the Chalice app, on an empty stage."""
    return importlib.import_module("app").app


@pytest.fixture
def portal(portal_app: Any) -> PortalClient:
    """Give a visitor of the portal: keeps cookies, speaks JSON or HTML."""
    return PortalClient(portal_app)


@pytest.fixture
def new_visitor(portal_app: Any) -> Callable[[], PortalClient]:
    """Give a maker of further visitors, each with cookies of their own."""
    return lambda: PortalClient(portal_app)


@pytest.fixture
def queued_mail(stage: AwsStage) -> Callable[[], list[dict[str, Any]]]:
    """Give a function that takes every message from the mail queue and returns their bodies."""
    return lambda: take_messages(stage.mail_queue_url)


def take_messages(queue_url: str) -> list[dict[str, Any]]:
    """Take every message from a queue; return their JSON bodies in order."""
    sqs = aws_stage.client("sqs")
    bodies = []
    # A little later, so that delayed messages have come too.
    with time_machine.travel(datetime.now(UTC) + timedelta(seconds=5), tick=False):
        while messages := sqs.receive_message(QueueUrl=queue_url, MaxNumberOfMessages=10).get(
            "Messages"
        ):
            for message in messages:
                bodies.append(json.loads(message["Body"]))
                sqs.delete_message(QueueUrl=queue_url, ReceiptHandle=message["ReceiptHandle"])
    return bodies


@dataclass(frozen=True)
class SentMail:
    """A mail that SES took."""

    recipient: str
    subject: str
    html: str

    @property
    def activation_key(self) -> str | None:
        """Return the activation key that the mail holds, or None."""
        found = re.search(r"\b(?:[2-9A-HJKMNP-TV-Z]{4}-){3}[2-9A-HJKMNP-TV-Z]{4}\b", self.html)
        return found[0] if found else None


@pytest.fixture
def mailbox(stage: AwsStage, portal_app: Any) -> Callable[[], list[SentMail]]:
    """Give a function that lets the mail worker work the queue off and returns the mails it sent."""

    def work_off() -> list[SentMail]:
        before = len(_sent())
        bodies = take_messages(stage.mail_queue_url)
        again = [body for body in bodies if send_mail_to_worker(body)]
        # What had to wait is delivered again after the queue's visibility timeout.
        with time_machine.travel(datetime.now(UTC) + timedelta(seconds=180), tick=False):
            assert [body for body in again if send_mail_to_worker(body)] == []
        return _sent()[before:]

    return work_off


def send_mail_to_worker(*bodies: Any) -> list[str]:
    """Hand messages to `send_mail` as SQS would; return the ids of those to deliver again."""
    records = [
        {
            "messageId": f"m{i}",
            "receiptHandle": "none",
            "attributes": {"ApproximateReceiveCount": "1"},
            "body": body if isinstance(body, str) else json.dumps(body),
        }
        for i, body in enumerate(bodies)
    ]
    return hand_to_worker(records)


def hand_to_worker(records: list[dict[str, Any]]) -> list[str]:
    """Hand SQS's records to `send_mail`; return the ids of those to deliver again."""
    send_mail = importlib.import_module("app").send_mail
    with permissions.as_function("send_mail"):
        answer = send_mail({"Records": records}, LambdaContext("t", 128))
    return [one["itemIdentifier"] for one in answer["batchItemFailures"]]


def _sent() -> list[SentMail]:
    backend = ses_backends[DEFAULT_ACCOUNT_ID][aws_stage.REGION]
    return [
        SentMail(message.destinations["ToAddresses"][0], message.subject, message.body)
        for message in backend.sent_messages
    ]


@pytest.fixture(autouse=True)
def cheap_hashes(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Spend a hundredth on each password: thousands are hashed here, and none is to be kept safe."""
    if "costly_hashes" in request.keywords:
        return
    monkeypatch.setattr(crypto, "ARGON2_MEMORY_KIB", 64)
    monkeypatch.setattr(crypto, "ARGON2_PASSES", 1)


@pytest.fixture
def suppressed(monkeypatch: pytest.MonkeyPatch) -> set[str]:
    """Give SES's own list of addresses that get no mail; moto has none."""
    addresses: set[str] = set()

    def delete(call: Any) -> str:
        address = call._get_param("EmailAddress")
        if address not in addresses:
            raise JsonRESTError("NotFoundException", "not on the list")
        addresses.discard(address)
        return "{}"

    monkeypatch.setattr(SESV2Response, "delete_suppressed_destination", delete, raising=False)
    return addresses


def run_schedule(name: str) -> None:
    """Run a scheduled function as its rule does."""
    event = {
        "version": "0",
        "id": "e1",
        "detail-type": "Scheduled Event",
        "source": "aws.events",
        "account": aws_stage.ACCOUNT,
        "time": "2026-03-02T15:00:00Z",
        "region": aws_stage.REGION,
        "resources": [],
        "detail": {},
    }
    context = LambdaContext(name, 128, max_runtime_ms=300_000)
    with permissions.as_function(name):
        getattr(importlib.import_module("app"), name)(event, context)


@pytest.fixture
def aws_calls(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, str, str]]:
    """Give the list of every AWS call from now on: service, operation, and the table or queue."""
    calls: list[tuple[str, str, str]] = []
    make = botocore.client.BaseClient._make_api_call

    def record(client: Any, operation: str, parameters: Any) -> Any:
        place = parameters.get("TableName") or parameters.get("QueueUrl") or ""
        calls.append((client.meta.service_model.service_name, operation, place))
        return make(client, operation, parameters)

    monkeypatch.setattr(botocore.client.BaseClient, "_make_api_call", record)
    return calls


@pytest.fixture
def invoke(portal_app: Any) -> Callable[[str, Any], Any]:
    """Give a function that runs an admin function with a console's test event."""
    entry_points = importlib.import_module("app")

    def run(name: str, event: Any) -> Any:
        with permissions.as_function(name):
            answer = getattr(entry_points, name)(event, LambdaContext(name, 128))
        return json.loads(json.dumps(answer))

    return run
