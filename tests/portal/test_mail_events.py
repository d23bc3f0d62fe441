"""What became of mails: SES's word of deliveries, bounces and complaints, as it comes by SNS.

The events have the shapes that SES publishes for a configuration set (`eventType`), and for an
identity (`notificationType`), which says the same.
"""

import importlib
import json
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import time_machine
from chalice.local import LambdaContext
from moto.sesv2.responses import SESV2Response

from tests import aws_stage, factories, permissions
from tests.conftest import SentMail
from tests.portal_client import HTML, PortalClient

ROSA = "Rosa@Example.com"
TOPIC = f"arn:aws:sns:us-east-1:{aws_stage.ACCOUNT}:parent-portal-local-mail-events"
AT = "2026-03-02T15:00:00Z"
Mailbox = Callable[[], list[SentMail]]


@pytest.fixture(autouse=True)
def monday(stage: object) -> Iterator[Any]:
    with time_machine.travel(factories.NOW, tick=False) as clock:
        yield clock


@pytest.fixture
def rosa(new_visitor: Callable[[], PortalClient], mailbox: Mailbox) -> PortalClient:
    """Give a guardian who is signed in."""
    visitor = factories.signed_in(new_visitor, factories.account(factories.family(email=ROSA)))
    mailbox()
    return visitor


# --- SES's events -----------------------------------------------------------------------


def mail_of(recipient: str) -> dict[str, Any]:
    return {
        "timestamp": "2026-03-02T14:59:58.000Z",
        "source": aws_stage.MAIL_FROM,
        "sourceArn": f"arn:aws:ses:us-east-1:{aws_stage.ACCOUNT}:identity/{aws_stage.MAIL_FROM}",
        "sendingAccountId": aws_stage.ACCOUNT,
        "messageId": "0100019aa-1111",
        "destination": [recipient],
        "headersTruncated": False,
        "headers": [{"name": "To", "value": recipient}],
        "commonHeaders": {"to": [recipient], "subject": "Your activation key"},
        "tags": {"ses:configuration-set": ["parent-portal-local"]},
    }


def bounce(recipient: str, kind: str = "Permanent", sub_kind: str = "General") -> dict[str, Any]:
    return {
        "eventType": "Bounce",
        "bounce": {
            "feedbackId": "0100019aa-2222",
            "bounceType": kind,
            "bounceSubType": sub_kind,
            "bouncedRecipients": [
                {
                    "emailAddress": recipient,
                    "action": "failed",
                    "status": "5.1.1",
                    "diagnosticCode": "smtp; 550 5.1.1 user unknown",
                }
            ],
            "timestamp": "2026-03-02T15:00:00.000Z",
            "reportingMTA": "dsn; mta.example.com",
        },
        "mail": mail_of(recipient),
    }


def complaint(recipient: str) -> dict[str, Any]:
    return {
        "eventType": "Complaint",
        "complaint": {
            "feedbackId": "0100019aa-3333",
            "complaintSubType": None,
            "complainedRecipients": [{"emailAddress": recipient}],
            "timestamp": "2026-03-02T15:00:00.000Z",
            "userAgent": "Example Feedback Loop/1.0",
            "complaintFeedbackType": "abuse",
            "arrivalDate": "2026-03-02T15:00:00.000Z",
        },
        "mail": mail_of(recipient),
    }


def delivery(recipient: str) -> dict[str, Any]:
    return {
        "eventType": "Delivery",
        "delivery": {
            "timestamp": "2026-03-02T15:00:00.000Z",
            "processingTimeMillis": 811,
            "recipients": [recipient],
            "smtpResponse": "250 2.0.0 OK",
            "reportingMTA": "a8-50.smtp-out.amazonses.com",
        },
        "mail": mail_of(recipient),
    }


def of_identity(event: dict[str, Any]) -> dict[str, Any]:
    """Return an event as an identity's own notification says it."""
    return {"notificationType": event["eventType"], **event, "eventType": None}


def tell(*events: Any, topic: str = TOPIC) -> None:
    """Hand events to `record_mail_event` as SNS would; a text goes as it is."""
    records = [
        {
            "EventSource": "aws:sns",
            "EventVersion": "1.0",
            "EventSubscriptionArn": f"{topic}:5a1b",
            "Sns": {
                "Type": "Notification",
                "MessageId": f"m{place}",
                "TopicArn": topic,
                "Subject": None,
                "Message": event if isinstance(event, str) else json.dumps(event),
                "Timestamp": "2026-03-02T15:00:00.123Z",
                "MessageAttributes": {},
            },
        }
        for place, event in enumerate(events)
    ]
    with permissions.as_function("record_mail_event"):
        record = importlib.import_module("app").record_mail_event
        record({"Records": records}, LambdaContext("record_mail_event", 128))


# --- what people see ----------------------------------------------------------------------


def shown_to_admins(invoke: Any, email: str = ROSA) -> Any:
    (found,) = invoke("find_guardian", {"email": email})["guardians"]
    return found["mail"]


def is_warned(visitor: PortalClient) -> bool:
    """Whether the guardian reads on the first page that mails don't arrive."""
    page = visitor.get("/", accept=HTML)
    assert page.status == 200
    return 'class="note warn"' in page.text


def mails_to_rosa(visitor: PortalClient, mailbox: Mailbox) -> int:
    assert visitor.post("/forgot-username", {"email": ROSA}).status == 202
    return len(mailbox())


def all_items() -> list[Any]:
    found = []
    for name in ("accounts", "roster", "recovery-counters"):
        scanned = aws_stage.client("dynamodb").scan(TableName=f"parent-portal-local-{name}")
        found.append(sorted(scanned["Items"], key=str))
    return found


def test_each_mail_is_sent_with_the_set_whose_events_we_get(
    rosa: PortalClient, mailbox: Mailbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    sets, send = [], SESV2Response.send_email

    def noting(call: Any) -> Any:
        sets.append(call._get_param("ConfigurationSetName"))
        return send(call)

    monkeypatch.setattr(SESV2Response, "send_email", noting)
    assert mails_to_rosa(rosa, mailbox) == 1
    assert sets == ["parent-portal-local"]


# --- bounces and complaints ---------------------------------------------------------------


@pytest.mark.parametrize(
    ("event", "state"),
    [
        (bounce(ROSA), "bounced"),
        (bounce(ROSA, sub_kind="OnAccountSuppressionList"), "bounced"),
        (of_identity(bounce(ROSA)), "bounced"),
        (complaint(ROSA), "complained"),
        (of_identity(complaint(ROSA)), "complained"),
        (bounce(ROSA.lower()), "bounced"),
    ],
)
def test_an_address_that_gets_no_mail_is_shown_to_admin_and_guardian_and_spared(
    event: dict[str, Any], state: str, rosa: PortalClient, mailbox: Mailbox, invoke: Any
) -> None:
    assert not is_warned(rosa)
    tell(event)
    assert shown_to_admins(invoke) == {"state": state, "at": AT}
    assert is_warned(rosa)
    assert mails_to_rosa(rosa, mailbox) == 0


@pytest.mark.parametrize("kind", ["Transient", "Undetermined"])
def test_a_bounce_that_may_pass_marks_nothing(
    kind: str, rosa: PortalClient, mailbox: Mailbox
) -> None:
    before = all_items()
    tell(bounce(ROSA, kind, "MailboxFull"))
    assert all_items() == before
    assert mails_to_rosa(rosa, mailbox) == 1


def test_a_delivery_is_shown_to_admins(rosa: PortalClient, mailbox: Mailbox, invoke: Any) -> None:
    tell(delivery(ROSA))
    assert shown_to_admins(invoke) == {"state": "delivered", "at": AT}
    assert mails_to_rosa(rosa, mailbox) == 1


def test_a_delivery_that_comes_late_takes_back_no_bounce(
    rosa: PortalClient, mailbox: Mailbox, invoke: Any
) -> None:
    tell(bounce(ROSA), delivery(ROSA))
    assert shown_to_admins(invoke)["state"] == "bounced"
    assert is_warned(rosa)


def test_an_event_delivered_twice_says_the_same(rosa: PortalClient) -> None:
    tell(bounce(ROSA))
    once = all_items()
    tell(bounce(ROSA))
    assert all_items() == once


def test_a_bounce_marks_its_address_only(rosa: PortalClient, mailbox: Mailbox, invoke: Any) -> None:
    factories.family(email="other@example.com", family_name="Okafor")
    tell(bounce("nobody@example.com"), bounce("other@example.com"))
    assert shown_to_admins(invoke, "other@example.com")["state"] == "bounced"
    assert shown_to_admins(invoke) is None
    assert mails_to_rosa(rosa, mailbox) == 1


# --- clearing ------------------------------------------------------------------------------


@pytest.mark.parametrize("event", [bounce(ROSA), complaint(ROSA)])
def test_an_admin_clears_it_on_sess_list_too(
    event: dict[str, Any],
    rosa: PortalClient,
    mailbox: Mailbox,
    invoke: Any,
    suppressed: set[str],
) -> None:
    suppressed.update({ROSA, "other@example.com"})
    tell(event)
    assert invoke("clear_mail_state", {"email": ROSA}) == {"email": ROSA, "cleared": True}
    assert suppressed == {"other@example.com"}
    assert shown_to_admins(invoke) is None
    assert not is_warned(rosa)
    assert mails_to_rosa(rosa, mailbox) == 1


def test_clearing_what_isnt_marked_is_fine(
    rosa: PortalClient, invoke: Any, suppressed: set[str]
) -> None:
    answer = invoke("clear_mail_state", {"email": "new@example.com"})
    assert answer == {"email": "new@example.com", "cleared": False}


def test_clearing_what_is_no_address_changes_nothing(
    rosa: PortalClient, invoke: Any, suppressed: set[str]
) -> None:
    tell(bounce(ROSA))
    before = all_items()
    answer = invoke("clear_mail_state", {"email": "Rosa"})
    assert answer["error"]["code"] == "invalid"
    assert all_items() == before


# --- what isn't SES's word -----------------------------------------------------------------


@pytest.mark.parametrize(
    "topic",
    [
        f"arn:aws:sns:us-east-1:{aws_stage.ACCOUNT}:parent-portal-prod-mail-events",
        f"arn:aws:sns:us-east-1:{aws_stage.ACCOUNT}:other-parent-portal-local-mail-events",
        f"arn:aws:sns:us-east-1:{aws_stage.ACCOUNT}:parent-portal-local-alarms",
        "",
    ],
)
def test_a_bounce_forged_through_another_topic_changes_nothing(
    topic: str, rosa: PortalClient
) -> None:
    before = all_items()
    tell(bounce(ROSA), topic=topic)
    assert all_items() == before


BROKEN: list[Any] = [
    "",
    "not JSON",
    "[]",
    "null",
    '"Bounce"',
    {"eventType": "Bounce"},
    {"eventType": "Bounce", "bounce": None},
    {"eventType": "Bounce", "bounce": {"bounceType": "Permanent"}},
    {"eventType": "Bounce", "bounce": {"bounceType": "Permanent", "bouncedRecipients": [{}]}},
    {"eventType": "Bounce", "bounce": {"bounceType": "Permanent", "bouncedRecipients": [ROSA]}},
    {"eventType": "Complaint", "complaint": {"complainedRecipients": [None]}},
    {"eventType": "Delivery", "delivery": {}},
]


@pytest.mark.parametrize("broken", BROKEN, ids=str)
def test_a_broken_event_changes_nothing_is_kept_and_stops_no_other(
    broken: Any, rosa: PortalClient, invoke: Any
) -> None:
    before = all_items()
    with pytest.raises(Exception):  # noqa: B017 - Lambda keeps what fails, whatever it is
        tell(broken)
    assert all_items() == before
    with pytest.raises(Exception):  # noqa: B017
        tell(broken, bounce(ROSA))
    assert shown_to_admins(invoke)["state"] == "bounced"


@pytest.mark.parametrize(
    "event",
    [
        {},
        {"eventType": "Open", "open": {}, "mail": {}},
        {"eventType": "Reject", "reject": {"reason": "Bad content"}},
        '{"notificationType": "AmazonSnsSubscriptionSucceeded", "message": "You have"}',
        delivery("not an address"),
        delivery(""),
        bounce("x" * 400 + "@example.com"),
        {"eventType": "Delivery", "delivery": {"recipients": ROSA}},
    ],
    ids=str,
)
def test_what_says_nothing_of_an_address_changes_nothing(event: Any, rosa: PortalClient) -> None:
    before = all_items()
    tell(event)
    assert all_items() == before


def test_the_log_names_no_address(rosa: PortalClient, capfd: pytest.CaptureFixture[str]) -> None:
    tell(bounce(ROSA), complaint(ROSA), delivery(ROSA))
    with pytest.raises(KeyError):
        tell({"eventType": "Bounce", "bounce": {"bounceType": "Permanent", ROSA: ROSA}})
    said = capfd.readouterr().err
    lines = [json.loads(line) for line in said.splitlines()]
    assert {line["event"] for line in lines} == {"mail-event", "mail-event-failed"}
    assert "example" not in said.lower()
