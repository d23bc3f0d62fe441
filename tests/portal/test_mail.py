"""Mails: to one mailbox, from configuration, once; whatever names hold and wherever a worker dies."""

import json
import re
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime, timedelta
from html.parser import HTMLParser
from typing import Any

import botocore.client
import pytest
import time_machine

from chalicelib import settings, texts
from chalicelib.domain import mail
from chalicelib.storage import aws, district
from tests import aws_stage, factories
from tests.conftest import SentMail, forget_caches, hand_to_worker, send_mail_to_worker
from tests.portal_client import PortalClient

Mailbox = Callable[[], list[SentMail]]
Queued = Callable[[], list[dict[str, Any]]]
PORTAL = "http://portal.localhost:4566/"
OUR_LINKS = {
    PORTAL + page
    for page in ("sign-in", "activate", "forgot-password", "forgot-username", "not-me")
}


@pytest.fixture(autouse=True)
def monday(stage: object) -> Any:
    with time_machine.travel(factories.NOW, tick=False) as clock:
        yield clock


@pytest.fixture
def sent(stage: object, monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    """Give the list of what SES is asked to send from now on, whole."""
    asked: list[dict[str, Any]] = []
    make = botocore.client.BaseClient._make_api_call

    def record(client: Any, operation: str, parameters: Any) -> Any:
        answer = make(client, operation, parameters)
        if operation == "SendEmail":
            asked.append(parameters)
        return answer

    monkeypatch.setattr(botocore.client.BaseClient, "_make_api_call", record)
    return asked


# --- hostile names (S51, S52) ----------------------------------------------------

HOSTILE = {
    "script": '"><script>alert(1)</script><img src=x onerror=alert(1)>',
    "header": "Rosa\r\nBcc: thief@evil.example\r\n\r\nNew body",
    "part": "Rosa\r\n--boundary\r\nContent-Type: text/html\r\n\r\n<b>x</b>",
    "nul": "Rosa\x00\x1b[31m\x85\u2028\u2029x",
    "encoded word": "=?utf-8?B?QmNjOiB0aGllZkBldmlsLmV4YW1wbGU=?=",
    "list": "rosa@example.com, thief@evil.example; <other@evil.example>",
    "bidi": "\u202eesrever\u202c \u2066inside\u2069",
    "template": "{{7*7}}{% include 'mail/closing.jinja' %}{name}",
    "ten kilobytes": "R" * 10_240,
}


class Links(HTMLParser):
    """The links and elements of an HTML part."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.links: list[str] = []
        self.elements: list[str] = []
        self.handlers: list[str] = []
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append(tag)
        self.handlers += [name for name, _ in attrs if name.startswith("on")]
        self.links += [
            # A mailed link's token differs each time; the page it leads to doesn't.
            re.sub(r"\?token=[\w-]{43}\Z", "", str(value))
            for name, value in attrs
            if name in ("href", "src", "action")
        ]


def all_four_mails(hostile: str, language: str | None, queued: Queued) -> int:
    """Have every kind of mail sent to a family whose names are hostile; return how many."""
    names = {"given_name": hostile, "family_name": hostile}
    child = factories.student(number="007", given_name=hostile, family_name=hostile)
    with_account = factories.guardian(
        child, email="rosa@example.com", language=language, household="h1", **names
    )
    factories.guardian(child, email="luis@example.com", language=language, **names)
    factories.account(with_account)
    ask = {
        "kind": "activation-keys",
        "id": "m1",
        "number": "007",
        "last4": dict(
            zip(
                [version for version, _ in aws.keyring().versions],
                aws.keyring().hashes("last4", "007#4321"),
                strict=True,
            )
        ),
    }
    changed = {
        "kind": "address-changed",
        "id": "m2",
        "guardian_id": with_account.guardian_id,
        "old_address": "old@example.com",
    }
    assert send_mail_to_worker(*queued(), ask, changed) == []
    return 4


def subjects(languages: Sequence[str]) -> set[str]:
    names = ("account-created", "account-exists", "activation-key", "address-changed")
    return {
        " / ".join(texts.say(one, f"mail.{name}.subject") for one in languages) for name in names
    }


@pytest.mark.parametrize("language", ["en", "es", None])
@pytest.mark.parametrize("hostile", HOSTILE.values(), ids=HOSTILE)
def test_no_name_adds_a_recipient_a_header_a_part_or_a_link(
    sent: list[dict[str, Any]], queued_mail: Queued, hostile: str, language: str | None
) -> None:
    support = "https://support.example.org/tickets"
    district.save_preferences({"support_url": support})
    expected = all_four_mails(hostile, language, queued_mail)
    assert len(sent) == expected
    languages = (language,) if language else texts.LANGUAGES
    recipients = []
    for one in sent:
        (to,) = one["Destination"].values()
        recipients += to
        assert len(to) == 1
        assert set(one) == {
            "FromEmailAddress",
            "Destination",
            "Content",
            "ConfigurationSetName",
        }
        simple = one["Content"]["Simple"]
        assert simple["Subject"]["Data"] in subjects(languages)
        assert set(simple["Body"]) == {"Text", "Html"}
        assert simple["Headers"] == [{"Name": "Auto-Submitted", "Value": "auto-generated"}]
        page = Links(simple["Body"]["Html"]["Data"])
        assert set(page.links) <= {support, *OUR_LINKS}
        assert not {"script", "img", "iframe", "link", "form", "style"} & set(page.elements)
        assert page.handlers == []
        text = simple["Body"]["Text"]["Data"]
        plain = {line.strip() for line in text.splitlines()}
        assert not {"Bcc: thief@evil.example", "New body", "--boundary", "inside"} & plain
        assert not set("\x00\x1b\x85\u2028\u2029\u202e\u2066\r") & set(text)
        assert "49" not in re.findall(r"\b49\b", text)
    assert sorted(recipients) == [
        *("luis@example.com", "old@example.com", "rosa@example.com", "rosa@example.com"),
    ]


def test_a_subject_holds_no_secret_and_no_name(
    portal: PortalClient, mailbox: Mailbox, stage: object
) -> None:
    factories.guardian(factories.student(number="007"), given_name="Zanzibarbara")
    portal.post("/activation-key", {"student_number": "007", "ssn_last4": "4321"})
    (one,) = mailbox()
    assert one.activation_key
    assert one.activation_key not in one.subject
    assert "Zanzibarbara" not in one.subject


@pytest.mark.parametrize(
    "address",
    [
        "a@example.com, b@example.com",
        "a@example.com;b@example.com",
        "a@example.com\r\nBcc: b@example.com",
        "Rosa <a@example.com>",
        "a@example.com\x00",
        "a@exam\u202eple.com",
        "",
    ],
)
def test_what_is_not_one_mailbox_gets_no_mail(
    sent: list[dict[str, Any]], capsys: pytest.CaptureFixture[str], address: str
) -> None:
    guardian = factories.family()
    message = {"kind": "address-changed", "id": "m", "guardian_id": guardian.guardian_id}
    assert send_mail_to_worker({**message, "old_address": address}) == []
    assert sent == []
    assert "mail-unsendable" in capsys.readouterr().err


# --- links come from configuration (S50) -----------------------------------------

FORGED = {
    "Host": "evil.example",
    "X-Forwarded-Host": "evil.example",
    "X-Forwarded-Proto": "ftp",
    "X-Forwarded-For": "198.51.100.9",
    "Forwarded": "host=evil.example",
    "X-Original-URL": "https://evil.example/",
    "Referer": "https://evil.example/",
}


@pytest.mark.parametrize("origin", [{}, {"Origin": "http://portal.localhost:4566"}])
def test_no_header_moves_a_link(
    portal: PortalClient, sent: list[dict[str, Any]], mailbox: Mailbox, origin: dict[str, str]
) -> None:
    forged = {**FORGED, **origin}
    guardian = factories.guardian(factories.student(number="007"))
    numbers = {"student_number": "007", "ssn_last4": "4321"}
    assert portal.post("/activation-key", numbers, headers=forged).status == 202
    made = {
        "activation_key": factories.activation_key(guardian),
        "username": "Rosa1",
        "password": factories.PASSWORD,
        "verify_password": factories.PASSWORD,
    }
    mailbox()
    assert portal.post("/create-account", made, headers=forged).status == 201
    mailbox()
    assert len(sent) == 2
    assert "evil.example" not in json.dumps(sent)
    for one in sent:
        body = one["Content"]["Simple"]["Body"]
        assert PORTAL in body["Text"]["Data"]
        assert set(Links(body["Html"]["Data"]).links) <= OUR_LINKS


def test_the_sender_is_the_configured_one(
    portal: PortalClient, sent: list[dict[str, Any]], mailbox: Mailbox
) -> None:
    factories.guardian(factories.student(number="007"))
    portal.post("/activation-key", {"student_number": "007", "ssn_last4": "4321"})
    mailbox()
    assert [one["FromEmailAddress"] for one in sent] == [settings.mail_from()]


# --- once, but for a crash (S53) --------------------------------------------------


class Killed(BaseException):
    """The worker's process is gone: nothing that it would still do is done."""


@pytest.fixture
def kill(stage: object, monkeypatch: pytest.MonkeyPatch) -> Iterator[dict[str, Any]]:
    """Give a switch: at call number `at`, before or after its effect, the process is gone."""
    switch: dict[str, Any] = {"at": None, "after": False, "calls": 0}
    make = botocore.client.BaseClient._make_api_call

    def call(client: Any, operation: str, parameters: Any) -> Any:
        place, at = switch["calls"], switch["at"]
        switch["calls"] += 1
        if at is None or place < at:
            return make(client, operation, parameters)
        if place == at and switch["after"]:
            make(client, operation, parameters)
        raise Killed

    monkeypatch.setattr(botocore.client.BaseClient, "_make_api_call", call)
    return switch


@pytest.mark.parametrize("after", [False, True], ids=["before the effect", "after the effect"])
def test_a_worker_killed_at_any_step_loses_no_mail_and_doubles_one_at_most(
    portal: PortalClient,
    kill: dict[str, Any],
    sent: list[dict[str, Any]],
    queued_mail: Queued,
    monday: Any,
    *,
    after: bool,
) -> None:
    step = 0
    while True:
        child = factories.student(last4="4321")
        factories.guardian(child, email=f"parent{step}@example.com")
        numbers = {"student_number": child.number, "ssn_last4": "4321"}
        kill.update(at=None)
        assert portal.post("/activation-key", numbers, ip=f"198.51.100.{step}").status == 202
        messages = queued_mail()
        sent.clear()
        kill.update(at=step, after=after, calls=0)
        try:
            send_mail_to_worker(*messages)
        except Killed:
            ended = False
        else:
            ended = True
        kill.update(at=None)
        if ended:
            break
        # SQS may deliver it again at once, and again after the visibility timeout where that failed,
        # when no lease can stand any more; what it saw succeed never comes again.
        if send_mail_to_worker(*messages):
            monday.shift(360)
            assert send_mail_to_worker(*messages) == []
        assert 1 <= len(sent) <= 2, step
        keys = [re.findall(r"(?:\w{4}-){3}\w{4}", json.dumps(one))[0] for one in sent]
        assert portal.post("/activate", {"activation_key": keys[-1]}).status == 200
        step += 1
    assert len(sent) == 1
    # Claim, count, issue, send, note: there were as many places to die.
    assert step >= 6


def test_a_message_delivered_twice_mails_once(
    portal: PortalClient, sent: list[dict[str, Any]], queued_mail: Queued, monday: Any
) -> None:
    factories.guardian(factories.student(number="007"))
    portal.post("/activation-key", {"student_number": "007", "ssn_last4": "4321"})
    messages = queued_mail()
    assert send_mail_to_worker(*messages, *messages) == []
    monday.shift(86_400)
    assert send_mail_to_worker(*messages) == []
    assert len(sent) == 1


BROKEN = ["{", "[]", '"text"', "null", '{"kind": "no such kind"}', '{"kind": "activation-keys"}']


@pytest.mark.parametrize("broken", BROKEN)
def test_one_bad_message_of_ten_stops_no_other(
    sent: list[dict[str, Any]], broken: str, capsys: pytest.CaptureFixture[str]
) -> None:
    good = [
        {
            "kind": "address-changed",
            "id": f"m{i}",
            "guardian_id": factories.family().guardian_id,
            "old_address": f"old{i}@example.com",
        }
        for i in range(9)
    ]
    bodies: list[Any] = [*good[:4], broken, *good[4:]]
    assert send_mail_to_worker(*bodies) == ["m4"]
    assert sorted(one["Destination"]["ToAddresses"][0] for one in sent) == sorted(
        str(one["old_address"]) for one in good
    )
    # It fails alone, again and again, until SQS lays it with the dead letters.
    assert send_mail_to_worker(broken) == ["m0"]
    assert len(sent) == 9
    lines = [json.loads(line) for line in capsys.readouterr().err.splitlines()]
    assert [line["level"] for line in lines if line["event"] == "mail-failed"] == ["error"] * 2


def test_a_mail_that_ses_refused_goes_out_when_it_is_redriven(
    portal: PortalClient,
    sent: list[dict[str, Any]],
    queued_mail: Queued,
    monkeypatch: pytest.MonkeyPatch,
    monday: Any,
) -> None:
    factories.guardian(factories.student(number="007"))
    portal.post("/activation-key", {"student_number": "007", "ssn_last4": "4321"})
    messages = queued_mail()

    def refuse(**_: object) -> None:
        raise RuntimeError("SES throttles")

    with monkeypatch.context() as while_down:
        while_down.setattr(aws, "send_mail", refuse)
        for _ in range(5):
            assert send_mail_to_worker(*messages) == ["m0"]
            monday.shift(360)
    monday.shift(13 * 86_400)
    assert send_mail_to_worker(*messages) == []
    assert len(sent) == 1


def test_a_mail_that_ses_refuses_is_tried_again_later_each_time(
    portal: PortalClient, stage: aws_stage.AwsStage, monkeypatch: pytest.MonkeyPatch, monday: Any
) -> None:
    factories.guardian(factories.student(number="007"))
    portal.post("/activation-key", {"student_number": "007", "ssn_last4": "4321"})
    sqs = aws_stage.client("sqs")

    def refuse(**_: object) -> None:
        raise RuntimeError("SES throttles")

    monkeypatch.setattr(aws, "send_mail", refuse)

    def taken() -> list[str]:
        answer = sqs.receive_message(QueueUrl=stage.mail_queue_url, AttributeNames=["All"])
        records = [
            {
                "messageId": one["MessageId"],
                "receiptHandle": one["ReceiptHandle"],
                "attributes": one["Attributes"],
                "body": one["Body"],
            }
            for one in answer.get("Messages", [])
        ]
        return hand_to_worker(records)

    assert len(taken()) == 1
    for seconds in (10, 30, 120, 360, 900, 3600):
        monday.shift(seconds - 1)
        assert taken() == []
        monday.shift(2)
        assert len(taken()) == 1, seconds


def test_no_mail_tells_of_an_account_that_never_came_to_be(
    sent: list[dict[str, Any]], monday: Any
) -> None:
    mail.queue_account_created("ghost1", "no such id", now=datetime.now(UTC))
    message = {
        "kind": "account-created",
        "username_key": "ghost1",
        "account_id": "no such id",
        "queued_at": int(factories.NOW.timestamp()),
    }
    assert send_mail_to_worker(message) == ["m0"]
    monday.shift(timedelta(seconds=60).total_seconds())
    assert send_mail_to_worker(message) == []
    assert sent == []


# --- who gets one (S12) ------------------------------------------------------------


def test_who_lost_access_between_asking_and_mailing_gets_nothing(
    portal: PortalClient, mailbox: Mailbox
) -> None:
    child = factories.student(number="007")
    guardian = factories.guardian(child)
    portal.post("/activation-key", {"student_number": "007", "ssn_last4": "4321"})
    # The import takes the guardian's own side of the link first.
    _delete(f"guardian#{guardian.guardian_id}", f"student#{child.student_id}")
    forget_caches()
    assert mailbox() == []


def _delete(pk: str, sk: str) -> None:
    key = {"pk": {"S": pk}, "sk": {"S": sk}}
    aws_stage.client("dynamodb").delete_item(TableName=settings.name("roster"), Key=key)
