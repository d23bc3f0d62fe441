"""The AWS calls that aren't tables: SQS, SES and Secrets Manager; one function per call we make.

Clients are made on first use and kept for the container's life. Time-outs are shorter than the
functions' own, retries few and with jitter (botocore's standard mode).
"""

import functools
import json
import time
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from chalicelib import crypto, errors, logs, settings

if TYPE_CHECKING:
    from mypy_boto3_secretsmanager import SecretsManagerClient
    from mypy_boto3_sesv2 import SESV2Client
    from mypy_boto3_sqs import SQSClient
    from mypy_boto3_sqs.type_defs import SendMessageBatchRequestEntryTypeDef

# A rotated secret is in use within this time.
KEYRING_SECONDS = 60
_CONFIG = Config(
    connect_timeout=2, read_timeout=5, retries={"mode": "standard", "total_max_attempts": 3}
)


@functools.cache
def _sqs() -> "SQSClient":
    return boto3.client("sqs", config=_CONFIG)


@functools.cache
def _ses() -> "SESV2Client":
    return boto3.client("sesv2", config=_CONFIG)


@functools.cache
def _secrets_manager() -> "SecretsManagerClient":
    return boto3.client("secretsmanager", config=_CONFIG)


class _Kept:
    """The keyring this container read last, and when."""

    keyring: crypto.Keyring | None = None
    read_at = 0.0


def keyring() -> crypto.Keyring:
    """Return the live versions of the hashing secret, the current one first.

    Raises:
        Unavailable: Secrets Manager doesn't answer and nothing was read before.
    """
    if _Kept.keyring is None or time.monotonic() - _Kept.read_at > KEYRING_SECONDS:
        _Kept.keyring, _Kept.read_at = _read_keyring(), time.monotonic()
    return _Kept.keyring


def _read_keyring() -> crypto.Keyring:
    versions = []
    for stage in ("AWSCURRENT", "AWSPREVIOUS"):
        try:
            answer = _secrets_manager().get_secret_value(
                SecretId=settings.hash_secret_id(), VersionStage=stage
            )
        except ClientError as error:
            missing = error.response["Error"]["Code"] == "ResourceNotFoundException"
            if stage == "AWSPREVIOUS" and missing:
                continue
            raise errors.Unavailable from error
        except BotoCoreError as error:
            raise errors.Unavailable from error
        versions.append((answer["VersionId"], answer["SecretString"].encode()))
    return crypto.Keyring(tuple(versions))


def sso_client_secret() -> str | None:
    """Return the secret by which the identity provider knows us; None where the district made none.

    Raises:
        Unavailable: Secrets Manager doesn't answer.
    """
    try:
        answer = _secrets_manager().get_secret_value(SecretId=settings.name("sso"))
    except ClientError as error:
        code = error.response["Error"]["Code"]
        if code == "AccessDeniedException":
            # What a name that nobody has is answered by, or a key of KMS that isn't open to us.
            logs.event("sso-secret-denied", level="warning")
        if code in ("AccessDeniedException", "ResourceNotFoundException"):
            return None
        raise errors.Unavailable from error
    except BotoCoreError as error:
        raise errors.Unavailable from error
    return answer["SecretString"].strip()


def queue_mail(message: Mapping[str, object], *, delay: int = 0) -> None:
    """Put one mail on the queue; `workers.send_mail` delivers it, `delay` seconds later at the soonest.

    Raises:
        Unavailable: SQS doesn't take it.
    """
    _send(settings.mail_queue_url(), message, delay)


def queue_mails(messages: Sequence[Mapping[str, object]], *, delays: Sequence[int]) -> None:
    """Put up to ten mails on the queue by one call, each with its delay in seconds.

    Raises:
        Unavailable: SQS doesn't take them all; those it took are sent.
    """
    entries: list[SendMessageBatchRequestEntryTypeDef] = [
        {"Id": str(place), "MessageBody": json.dumps(message), "DelaySeconds": delay}
        for place, (message, delay) in enumerate(zip(messages, delays, strict=True))
    ]
    try:
        answer = _sqs().send_message_batch(QueueUrl=settings.mail_queue_url(), Entries=entries)
    except (BotoCoreError, ClientError) as error:
        raise errors.Unavailable from error
    if answer.get("Failed"):
        raise errors.Unavailable


def put_off_mail(receipt: str, *, seconds: int) -> None:
    """Keep a mail that was taken and failed out of sight for some seconds more, then deliver it again.

    Where SQS doesn't take that, the queue's own time counts: the mail comes later.
    """
    try:
        _sqs().change_message_visibility(
            QueueUrl=settings.mail_queue_url(), ReceiptHandle=receipt, VisibilityTimeout=seconds
        )
    except (BotoCoreError, ClientError):
        logs.event("mail-not-put-off", level="warning")


def queue_import(import_id: str, *, delay: int = 0) -> None:
    """Have `continue_import` take the next step of an import.

    Raises:
        Unavailable: SQS doesn't take it.
    """
    _send(settings.import_queue_url(), {"import_id": import_id}, delay)


def _send(queue_url: str, message: Mapping[str, object], delay: int) -> None:
    try:
        _sqs().send_message(QueueUrl=queue_url, MessageBody=json.dumps(message), DelaySeconds=delay)
    except (BotoCoreError, ClientError) as error:
        raise errors.Unavailable from error


def send_mail(*, recipient: str, subject: str, text: str, html: str) -> None:
    """Send one mail to one recipient through SES, from the configured sender.

    SES builds the message from its parts, so nothing in a name or subject can add a header.

    Raises:
        botocore.exceptions.ClientError: SES refuses or throttles; the queue tries again.
    """
    _ses().send_email(
        FromEmailAddress=settings.mail_from(),
        ConfigurationSetName=settings.mail_configuration_set(),
        Destination={"ToAddresses": [recipient]},
        Content={
            "Simple": {
                "Subject": {"Data": subject, "Charset": "UTF-8"},
                "Body": {
                    "Text": {"Data": text, "Charset": "UTF-8"},
                    "Html": {"Data": html, "Charset": "UTF-8"},
                },
                # RFC 3834: keeps out-of-office programs from answering.
                "Headers": [{"Name": "Auto-Submitted", "Value": "auto-generated"}],
            }
        },
    )


def forget_suppressed(address: str) -> None:
    """Take an address off SES's suppression list; one that isn't on it is fine.

    Raises:
        Unavailable: SES doesn't answer.
    """
    try:
        _ses().delete_suppressed_destination(EmailAddress=address)
    except ClientError as error:
        if error.response["Error"]["Code"] != "NotFoundException":
            raise errors.Unavailable from error
    except BotoCoreError as error:
        raise errors.Unavailable from error


def forget_keyring() -> None:
    """Read the hashing secret anew at the next question, as a new container would."""
    _Kept.keyring = None
