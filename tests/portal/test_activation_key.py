"""Asking for a key: who gets what by mail, and that no answer tells whether there was a match."""

from collections.abc import Callable
from typing import Any

import pytest
import time_machine

from chalicelib.domain import limits
from chalicelib.storage import district
from tests import factories
from tests.conftest import SentMail
from tests.portal_client import Answer, PortalClient

PATH = "/activation-key"
Mailbox = Callable[[], list[SentMail]]


@pytest.fixture(autouse=True)
def monday(stage: object) -> Any:
    with time_machine.travel(factories.NOW, tick=False) as clock:
        yield clock


def ask(visitor: PortalClient, number: str, last4: str = "4321", **how: Any) -> Answer:
    return visitor.post(PATH, {"student_number": number, "ssn_last4": last4}, **how)


def test_each_guardian_with_access_gets_a_key_of_their_own(
    portal: PortalClient, mailbox: Mailbox
) -> None:
    child = factories.student(number="007", gtid="1234567891")
    factories.guardian(child, email="rosa@example.com")
    factories.guardian(child, email="luis@example.com")
    factories.guardian(child, email="barred@example.com", portal_access=False)
    factories.guardian(child, email=None)

    answer = ask(portal, "007")

    assert answer.status == 202
    assert answer.json()["status"] == "accepted"
    mails = mailbox()
    assert sorted(m.recipient for m in mails) == ["luis@example.com", "rosa@example.com"]
    keys = {m.activation_key for m in mails}
    assert len(keys) == 2
    for key in keys:
        assert portal.post("/activate", {"activation_key": key}).status == 200


def test_the_gtid_finds_the_student_too(portal: PortalClient, mailbox: Mailbox) -> None:
    factories.guardian(factories.student(gtid="1234567891"))
    ask(portal, "1234567891")
    assert len(mailbox()) == 1


@pytest.mark.parametrize(("number", "last4"), [("007", "0000"), ("7", "4321"), ("999", "4321")])
def test_wrong_digits_or_number_mail_nothing(
    portal: PortalClient, mailbox: Mailbox, number: str, last4: str
) -> None:
    factories.guardian(factories.student(number="007"))
    assert ask(portal, number, last4).status == 202
    assert mailbox() == []


def test_a_student_without_digits_never_matches(portal: PortalClient, mailbox: Mailbox) -> None:
    factories.guardian(factories.student(number="007", last4=None))
    ask(portal, "007", "0000")
    assert mailbox() == []


def test_match_and_miss_are_alike_to_the_byte_and_in_their_aws_calls(
    new_visitor: Callable[[], PortalClient], aws_calls: list[Any]
) -> None:
    factories.guardian(factories.student(number="007"))
    ask(new_visitor(), "008")
    traces, answers = [], []
    for number in ("007", "999"):
        aws_calls.clear()
        answers.append(ask(new_visitor(), number))
        traces.append(list(aws_calls))

    assert answers[0] == answers[1]
    assert traces[0] == traces[1]
    assert [operation for _, operation, _ in traces[0]] == [
        "UpdateItem",
        "UpdateItem",
        "SendMessage",
    ]


def test_the_message_on_the_queue_holds_no_digits(
    portal: PortalClient, queued_mail: Callable[[], list[dict[str, Any]]]
) -> None:
    factories.guardian(factories.student(number="007", last4="8642"))
    ask(portal, "007", "8642")
    assert "8642" not in str(queued_mail())


@pytest.mark.parametrize(("number", "last4"), [("007", "4321"), ("007", "0000"), ("999", "1111")])
def test_the_eleventh_lookup_of_a_number_in_a_day_is_refused(
    new_visitor: Callable[[], PortalClient], number: str, last4: str
) -> None:
    factories.guardian(factories.student(number="007"))
    for place in range(10):
        assert ask(new_visitor(), number, last4, ip=f"192.0.2.{place}").status == 202
    eleventh = ask(new_visitor(), number, last4, ip="192.0.2.99")
    assert eleventh.status == 429
    assert eleventh.code == "too-many-tries"
    assert eleventh.json()["locked_until"] == "2026-03-03T05:00:00Z"
    assert eleventh.header("retry-after") == str(14 * 3600)


def test_the_number_is_open_again_at_the_districts_midnight(
    new_visitor: Callable[[], PortalClient], monday: Any
) -> None:
    for place in range(11):
        ask(new_visitor(), "007", ip=f"192.0.2.{place}")
    monday.move_to("2026-03-03T04:59:59+00:00")
    assert ask(new_visitor(), "007").status == 429
    monday.move_to("2026-03-03T05:00:00+00:00")
    assert ask(new_visitor(), "007").status == 202


def test_an_ip_has_sixty_lookups_an_hour_and_a_refusal_counts_nowhere_else(
    portal: PortalClient, monday: Any
) -> None:
    for place in range(60):
        assert ask(portal, str(1000 + place)).status == 202
    refused = [ask(portal, "5") for _ in range(11)]
    assert {answer.code for answer in refused} == {"too-many-tries"}
    assert ask(portal, "5", ip="198.51.100.7").status == 202
    monday.shift(3601)
    assert ask(portal, "5").status == 202


def test_two_hosts_of_one_ipv6_network_share_their_limit(portal: PortalClient) -> None:
    district.save_preferences({"lookups_per_ip_hour": 10})
    for place in range(10):
        ask(portal, str(1000 + place), ip=f"2001:db8:1:1::{place}")
    assert ask(portal, "1", ip="2001:db8:1:1:ffff::1").status == 429
    assert ask(portal, "1", ip="2001:db8:1:2::1").status == 202


def test_the_schools_own_network_is_not_limited_by_ip(portal: PortalClient) -> None:
    district.save_preferences({"lookups_per_ip_hour": 10, "trusted_networks": "203.0.113.0/24"})
    assert {ask(portal, str(i), ip="203.0.113.9").status for i in range(12)} == {202}


def test_a_forwarded_for_header_changes_nothing(portal: PortalClient) -> None:
    district.save_preferences({"lookups_per_ip_hour": 10})
    forged = [
        ask(portal, str(i), headers={"X-Forwarded-For": f"198.51.100.{i}"}).status
        for i in range(11)
    ]
    assert forged == [202] * 10 + [429]


def test_the_fourth_lookup_of_a_day_mails_no_more(
    new_visitor: Callable[[], PortalClient], mailbox: Mailbox, monday: Any
) -> None:
    factories.guardian(factories.student(number="007"))
    answers = [ask(new_visitor(), "007") for _ in range(4)]
    assert {(a.status, a.text) for a in answers} == {(202, answers[0].text)}
    assert len(mailbox()) == 3
    monday.shift(86_400)
    ask(new_visitor(), "007")
    assert len(mailbox()) == 1


def test_a_guardian_with_an_account_is_told_so_at_the_address_on_record(
    portal: PortalClient, mailbox: Mailbox
) -> None:
    factories.account(factories.guardian(factories.student(number="007")), username="Rosa1")
    mailbox()
    ask(portal, "007")
    (mail,) = mailbox()
    assert mail.recipient == "parent@example.com"
    assert "Rosa1" in mail.html


def test_a_double_tap_mails_once_and_counts_once(portal: PortalClient, mailbox: Mailbox) -> None:
    factories.guardian(factories.student(number="007"))
    fields = {"student_number": "007", "ssn_last4": "4321", "form_id": "f1"}
    answers = [portal.post(PATH, fields) for _ in range(12)]
    assert {(a.status, a.text) for a in answers} == {(202, answers[0].text)}
    assert len(mailbox()) == 1


def test_the_same_form_id_with_other_fields_is_a_new_try(
    portal: PortalClient, mailbox: Mailbox
) -> None:
    factories.guardian(factories.student(number="007"))
    for last4 in ("0000", "4321"):
        portal.post(PATH, {"student_number": "007", "ssn_last4": last4, "form_id": "f1"})
    assert len(mailbox()) == 1


@pytest.mark.parametrize(
    ("number", "last4", "faults"),
    [
        ("", "4321", [("student_number", "required")]),
        ("12a", "4321", [("student_number", "format")]),
        ("1" * 21, "4321", [("student_number", "format")]),
        ("007", "432", [("ssn_last4", "format")]),
        ("007", "123456789", [("ssn_last4", "format")]),
        ("٧", "4321", [("student_number", "format")]),
        ("0-07", "４３２１", [("student_number", "format"), ("ssn_last4", "format")]),
        (" \t", "\u00a0", [("student_number", "required"), ("ssn_last4", "required")]),
    ],
)
def test_what_is_no_number_is_named(
    portal: PortalClient, number: str, last4: str, faults: list[tuple[str, str]]
) -> None:
    answer = ask(portal, number, last4)
    assert (answer.status, answer.code) == (422, "invalid")
    assert [(e["field"], e["code"]) for e in answer.json()["errors"]] == faults


def test_a_browser_comes_to_the_done_page_and_gets_its_digits_on_no_page(
    portal: PortalClient,
) -> None:
    portal.accept = "text/html"
    done = ask(portal, "007", form=True)
    assert (done.status, done.header("location")) == (303, "./activation-key?done")
    assert portal.get("/activation-key?done").status == 200
    again = ask(portal, "x", "8642", form=True)
    assert again.status == 422
    assert "8642" not in again.text


@pytest.mark.parametrize(
    ("number", "last4"), [(" 007 ", "43 21"), ("0\u00a007\t", "4321\r\n"), ("00\u202f7", "4321")]
)
def test_spaces_that_came_along_from_a_report_card_dont_matter(
    portal: PortalClient, mailbox: Mailbox, number: str, last4: str
) -> None:
    factories.guardian(factories.student(number="007"))
    assert ask(portal, number, last4).status == 202
    assert len(mailbox()) == 1


# --- key_delivery=screen ------------------------------------------------------


@pytest.fixture
def screen(stage: object) -> None:
    district.save_preferences({"key_delivery": "screen"})


@pytest.mark.usefixtures("screen")
def test_on_the_screen_a_household_sees_its_keys_and_initials_only(portal: PortalClient) -> None:
    child = factories.student(number="007")
    factories.guardian(child, household="h1", given_name="Rosa", family_name="Rivera")
    answer = ask(portal, "007")
    assert answer.status == 200
    shown = answer.json()
    assert set(shown) == {"status", "keys"}
    (key,) = shown["keys"]
    assert set(key) == {"guardian", "activation_key"}
    assert key["guardian"] == "R. R."
    assert portal.post("/activate", {"activation_key": key["activation_key"]}).status == 200
    assert answer.header("cache-control") == "no-store"


@pytest.mark.usefixtures("screen")
@pytest.mark.parametrize(
    "other", [{"household": "h2"}, {"address1": "9 Oak St"}, {"address1": None}]
)
def test_two_households_get_their_keys_by_mail(
    portal: PortalClient, mailbox: Mailbox, other: dict[str, str | None]
) -> None:
    child = factories.student(number="007")
    home: dict[str, Any] = {"household": "h1", "address1": "1 Elm St", "city": "Milton"}
    factories.guardian(child, **home)
    factories.guardian(child, email="luis@example.com", **(home | other))
    assert ask(portal, "007").json()["status"] == "accepted"
    assert len(mailbox()) == 2


@pytest.mark.usefixtures("screen")
def test_a_miss_on_the_screen_is_a_404_until_the_days_misses_are_used_up(
    portal: PortalClient, capsys: pytest.CaptureFixture[str]
) -> None:
    for _ in range(498):
        limits.of("screen-misses", "district", now=factories.NOW)
    assert [ask(portal, str(i)).status for i in range(3)] == [404, 404, 202]
    assert capsys.readouterr().err.count("screen-misses-exhausted") == 1
