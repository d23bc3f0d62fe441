"""One AWS stage per test on moto, the portal's client on it, and what it put into its queues.

Nothing of ours is patched: the environment says where things are, as it does in Lambda.
"""

import importlib
import json
from collections.abc import Callable, Iterator
from typing import Any

import boto3
import pytest
from moto import mock_aws

from chalicelib.storage import aws, district
from tests import aws_stage
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


def forget_caches() -> None:
    """Be a new container: no client, secret or preference of another test's stage."""
    aws.forget_clients()
    district.forget_preferences()


@pytest.fixture
def stage(no_real_aws: None, monkeypatch: pytest.MonkeyPatch) -> Iterator[AwsStage]:
    """Give an empty stage: tables, queues, bucket, secret, sender."""
    with mock_aws():
        made = aws_stage.create_stage()
        for name, value in made.environment.items():
            monkeypatch.setenv(name, value)
        forget_caches()
        yield made
        forget_caches()


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
    sqs = boto3.client("sqs", aws_stage.REGION)
    bodies = []
    while messages := sqs.receive_message(QueueUrl=queue_url, MaxNumberOfMessages=10).get(
        "Messages"
    ):
        for message in messages:
            bodies.append(json.loads(message["Body"]))
            sqs.delete_message(QueueUrl=queue_url, ReceiptHandle=message["ReceiptHandle"])
    return bodies
