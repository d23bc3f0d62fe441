"""The face of queues, schedules and the bucket: unpack records, call the domain, report the failed.

Each record stands for itself: one that is broken or fails is delivered again, and in the end goes to
the dead-letter queue with an alarm; the rest of its batch is done.
"""

import json
from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any

from chalice.app import CloudWatchEvent, SQSEvent

from chalicelib import clock, logs, settings
from chalicelib.domain import activation, mail, recovery, roster_import

# --- mail ---------------------------------------------------------------------


def send_mail(event: SQSEvent) -> dict[str, list[dict[str, str]]]:
    """Send each queued mail; return those to deliver again (SQS partial batch response)."""
    logs.begin(_request_id(event))
    failed = []
    for record in event.to_dict()["Records"]:
        try:
            _deliver(json.loads(record["body"]), now=clock.now())
        except mail.Busy:
            logs.event("mail-waits")
            failed.append(record)
        except Exception as error:  # noqa: BLE001 - one bad message must not stop the others
            logs.event("mail-failed", level="error", error=type(error).__name__)
            failed.append(record)
    for record in failed:
        mail.put_off(record["receiptHandle"], int(record["attributes"]["ApproximateReceiveCount"]))
    return {"batchItemFailures": [{"itemIdentifier": one["messageId"]} for one in failed]}


def _deliver(message: Mapping[str, Any], *, now: datetime) -> None:
    _KINDS[message["kind"]](message, now)


_KINDS: Mapping[str, Callable[[Mapping[str, Any], datetime], None]] = {
    "activation-keys": lambda m, now: activation.mail_keys(
        m["id"], m["number"], m["last4"], now=now
    ),
    "activation-key": lambda m, now: activation.mail_key_for_admin(
        m["id"], m["guardian_id"], now=now
    ),
    "usernames": lambda m, now: recovery.mail_usernames(m["id"], m["address"], now=now),
    "locked-out": lambda m, now: recovery.lock_out(m, now=now),
    "password-reset": lambda m, now: recovery.mail_reset_link(m["id"], m["username_key"], now=now),
    "email-confirm": lambda m, now: recovery.mail_address_link(m, now=now),
    "notice": lambda m, now: mail.mail_notice(m, now=now),
    "account-created": lambda m, now: mail.mail_account_created(
        m["username_key"], m["account_id"], m["queued_at"], now=now
    ),
    "address-changed": lambda m, now: mail.mail_address_changed(m, now=now),
}


def record_mail_event(event: Mapping[str, Any], context: object) -> None:
    """Take what SES says of mails, by SNS: deliveries, bounces, complaints.

    The event is read as it comes: Chalice's own wrapper needs a subject, which SES sends none of.
    What didn't come by this stage's topic is no word of SES's.

    Raises:
        Exception: what the first broken record raised, after the others are done. Lambda tries
            again, and then the dead-letter queue keeps the event.
    """
    logs.begin(str(getattr(context, "aws_request_id", "")))
    failed: Exception | None = None
    for record in event["Records"]:
        try:
            if not record["Sns"]["TopicArn"].endswith(":" + settings.name("mail-events")):
                logs.event("mail-event-refused", level="warning")
                continue
            recovery.record_mail_event(json.loads(record["Sns"]["Message"]), now=clock.now())
        except Exception as error:  # noqa: BLE001 - one broken record must not stop the others
            logs.event("mail-event-failed", level="error", error=type(error).__name__)
            failed = failed or error
    if failed is not None:
        raise failed


def reset_lockouts(event: CloudWatchEvent) -> None:
    """Unlock accounts and counters whose time has come."""
    logs.begin(_request_id(event))
    context: Any = event.context
    recovery.reset_lockouts(
        now=clock.now(), seconds_left=lambda: context.get_remaining_time_in_millis() / 1000
    )


# --- the roster ---------------------------------------------------------------


def import_roster(event: CloudWatchEvent) -> None:
    """Take note of an uploaded object; its import runs from the queue."""
    logs.begin(_request_id(event))
    detail = event.to_dict().get("detail") or {}
    stored = detail.get("object") or {}
    roster_import.receive(
        (detail.get("bucket") or {}).get("name"),
        stored.get("key"),
        stored.get("version-id"),
        now=clock.now(),
    )


def continue_import(event: SQSEvent) -> None:
    """Take the next step of an import, for as long as the function's time allows."""
    logs.begin(_request_id(event))
    context: Any = event.context
    for record in event.to_dict()["Records"]:
        roster_import.advance(
            json.loads(record["body"])["import_id"],
            now=clock.now(),
            seconds_left=lambda: context.get_remaining_time_in_millis() / 1000,
        )


def check_imports(event: CloudWatchEvent) -> None:
    """Delete held uploads after their time, and notice that no set was applied for two days."""
    logs.begin(_request_id(event))
    roster_import.check(now=clock.now())


def _request_id(event: Any) -> str:
    return str(getattr(event.context, "aws_request_id", ""))
