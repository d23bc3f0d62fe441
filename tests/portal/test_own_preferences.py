"""The guardian's own preferences: language, notifications by channel, quiet hours."""

from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any

import pytest
import time_machine

from chalicelib.domain import notifications
from chalicelib.storage import accounts
from chalicelib.storage import notifications as stored
from chalicelib.storage.values import Account, Choices
from tests import factories
from tests.aws_stage import AwsStage
from tests.conftest import SentMail
from tests.portal.test_recovery_limits import bring_about
from tests.portal_client import HTML, Answer, PortalClient
from tests.roster_sets import Office, delta, district, guardian_id

Mailbox = Callable[[], list[SentMail]]
Visitors = Callable[[], PortalClient]
ALWAYS = {"emergency.mail": True, "emergency.text": True, "emergency.voice": True}
NAMES = [
    f"{kind}.{channel}"
    for kind in ("attendance", "grades", "behavior", "messages", "emergency")
    for channel in ("mail", "text", "voice")
]
DEFAULTS = dict.fromkeys(NAMES, False) | ALWAYS


@pytest.fixture(autouse=True)
def monday(stage: object) -> Any:
    with time_machine.travel(factories.NOW, tick=False) as clock:
        yield clock


@pytest.fixture
def rosa(stage: object) -> factories.SomeAccount:
    return factories.account(factories.family(language="es-MX"))


@pytest.fixture
def browser(new_visitor: Visitors, rosa: factories.SomeAccount) -> PortalClient:
    return factories.signed_in(new_visitor, rosa)


def save(visitor: PortalClient, fields: Mapping[str, Any], **how: Any) -> Answer:
    answer = visitor.post("/preferences", fields, **how)
    assert answer.status == 200, answer.text
    return answer


def on(visitor: PortalClient) -> set[str]:
    """Return what is switched on beside emergencies."""
    shown = visitor.get("/preferences").json()["notifications"]
    return {name for name, flag in shown.items() if flag} - ALWAYS.keys()


def faults(answer: Answer) -> list[tuple[str, str]]:
    assert (answer.status, answer.code) == (422, "invalid")
    return [(one["field"], one["code"]) for one in answer.json()["errors"]]


# --- what is saved ------------------------------------------------------------------------


def test_who_chose_nothing_is_told_of_emergencies_in_the_rosters_language(
    browser: PortalClient,
) -> None:
    assert browser.get("/preferences").json() == {
        "language": "es",
        "quiet_from": None,
        "quiet_to": None,
        "notifications": DEFAULTS,
    }


def test_what_is_chosen_is_shown_again(browser: PortalClient) -> None:
    fields = {
        "language": "en",
        "quiet_from": "21:30",
        "quiet_to": "06:00",
        "attendance.mail": True,
        "messages.text": "true",
    }
    said = save(browser, fields).json()
    assert said == {
        "language": "en",
        "quiet_from": "21:30",
        "quiet_to": "06:00",
        "notifications": DEFAULTS | {"attendance.mail": True, "messages.text": True},
    }
    assert browser.get("/preferences").json() == said


def test_a_client_sends_only_what_changes(browser: PortalClient) -> None:
    save(browser, {"attendance.mail": True, "grades.mail": True, "quiet_from": "22:00"} | TO)
    save(browser, {"attendance.mail": "false", "behavior.voice": True, "unknown": 1})
    assert on(browser) == {"grades.mail", "behavior.voice"}
    assert browser.get("/preferences").json()["quiet_from"] == "22:00"
    save(browser, {"quiet_from": None, "quiet_to": "", "language": None})
    shown = browser.get("/preferences").json()
    assert (shown["quiet_from"], shown["quiet_to"], shown["language"]) == (None, None, "es")


TO = {"quiet_to": "06:00"}


def test_an_unchecked_box_of_the_page_is_switched_off(browser: PortalClient) -> None:
    page = {"every_box": "true", "quiet_from": "", "quiet_to": "", "language": "es"}
    boxes = {"attendance.mail": "true", "grades.mail": "true"}
    answer = browser.post("/preferences", page | boxes, form=True, accept=HTML)
    assert (answer.status, answer.header("location")) == (303, "./preferences?done")
    assert on(browser) == {"attendance.mail", "grades.mail"}
    browser.post("/preferences", page | {"grades.mail": "true"}, form=True, accept=HTML)
    assert on(browser) == {"grades.mail"}
    saved = browser.get("/preferences?done", accept=HTML).text
    assert "Se guardaron sus preferencias." in saved
    assert 'name="grades.mail" value="true" checked' in saved
    assert 'name="attendance.mail" value="true">' in saved
    assert saved.count(" checked disabled>") == 3


def test_the_same_form_twice_is_saved_once_and_answered_alike(browser: PortalClient) -> None:
    first = save(browser, {"grades.mail": True, "form_id": "f1"})
    save(browser, {"grades.mail": False, "form_id": "f2"})
    save(browser, {"grades.text": True, "form_id": "f3"})
    again = save(browser, {"grades.mail": True, "form_id": "f1"})
    assert first.json()["notifications"]["grades.mail"] is True
    assert on(browser) == {"grades.text"}
    assert again.status == first.status


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({"language": "fr"}, [("language", "unknown")]),
        ({"language": ["en"]}, [("language", "unknown")]),
        ({"language": False}, [("language", "unknown")]),
        ({"grades.mail": "on"}, [("grades.mail", "format")]),
        ({"grades.mail": 1}, [("grades.mail", "format")]),
        ({"grades.mail": None}, [("grades.mail", "format")]),
        ({"quiet_from": "9:00", "quiet_to": "10:00"}, [("quiet_from", "format")]),
        ({"quiet_from": "21:00", "quiet_to": "24:00"}, [("quiet_to", "format")]),
        ({"quiet_from": "21:00", "quiet_to": "06:00\n"}, [("quiet_to", "format")]),
        ({"quiet_from": "٢١:٠٠", "quiet_to": "06:00"}, [("quiet_from", "format")]),
        ({"quiet_from": 2100, "quiet_to": "06:00"}, [("quiet_from", "format")]),
        ({"quiet_from": 0, "quiet_to": []}, [("quiet_from", "format"), ("quiet_to", "format")]),
        ({"quiet_from": "21:00"}, [("quiet_to", "required")]),
        ({"quiet_to": "06:00"}, [("quiet_from", "required")]),
        ({"quiet_from": "08:00", "quiet_to": "08:00"}, [("quiet_to", "too-long")]),
        ({"quiet_from": "08:10", "quiet_to": "08:05"}, [("quiet_to", "too-long")]),
        ({"emergency.text": False}, [("emergency.text", "always-on")]),
    ],
)
def test_what_does_not_fit_is_named_and_nothing_is_saved(
    browser: PortalClient, fields: dict[str, Any], expected: list[tuple[str, str]]
) -> None:
    assert faults(browser.post("/preferences", {"attendance.text": True} | fields)) == expected
    assert on(browser) == set()
    assert browser.get("/preferences").json()["quiet_from"] is None


def test_a_refused_page_keeps_what_was_typed_and_names_the_field(browser: PortalClient) -> None:
    page = {"every_box": "true", "quiet_from": "21:00", "quiet_to": "", "grades.text": "true"}
    answer = browser.post("/preferences", page, form=True, accept=HTML)
    assert answer.status == 422
    assert 'href="#quiet_to"' in answer.text
    assert 'value="21:00"' in answer.text
    assert 'name="grades.text" value="true" checked' in answer.text
    assert on(browser) == set()


@pytest.mark.parametrize("method", ["GET", "POST"])
def test_without_a_session_there_are_no_preferences(portal: PortalClient, method: str) -> None:
    assert portal.request(method, "/preferences").code == "sign-in-required"


def test_each_guardian_has_their_own(browser: PortalClient, new_visitor: Visitors) -> None:
    other = factories.account(factories.family(email="other@example.com"), username="Other1")
    save(browser, {"grades.mail": True, "language": "es"})
    visitor = factories.signed_in(new_visitor, other)
    assert on(visitor) == set()
    assert visitor.get("/preferences").json()["language"] == "en"


def test_the_page_reads_twice_whatever_was_chosen(
    browser: PortalClient, aws_calls: list[tuple[str, str, str]]
) -> None:
    browser.get("/students")
    aws_calls.clear()
    browser.get("/preferences")
    made = [operation for service, operation, _ in aws_calls if service == "dynamodb"]
    assert made == ["UpdateItem", "BatchGetItem"]


# --- two devices at once --------------------------------------------------------------------


def read() -> Account:
    account = accounts.read_account("rosa1")
    assert account is not None
    return account


def test_two_changes_at_once_are_both_kept(rosa: factories.SomeAccount) -> None:
    before = read()
    notifications.save(before, {"grades.mail": True})
    # The other device read the account before that.
    notifications.save(before, {"attendance.text": True, "quiet_from": "22:00"} | TO)
    assert read().choices == Choices(
        quiet_from="22:00", quiet_to="06:00", on=frozenset({"grades.mail", "attendance.text"})
    )


def test_choices_do_not_bring_a_deleted_account_back(
    browser: PortalClient, rosa: factories.SomeAccount
) -> None:
    before = read()
    accounts.delete_account(before)
    assert browser.post("/preferences", {"grades.mail": True}).status == 401
    with pytest.raises(accounts.AccountChanged):
        stored.save(before, Choices(on=frozenset({"grades.mail"})), digest_hour=17)
    assert accounts.read_account("rosa1") is None


# --- language ---------------------------------------------------------------------------------


def test_the_chosen_language_is_that_of_pages_and_mails(
    browser: PortalClient, new_visitor: Visitors, rosa: factories.SomeAccount, mailbox: Mailbox
) -> None:
    mailbox()
    save(browser, {"language": "en"})
    visitor = factories.signed_in(new_visitor, rosa)
    spanish = {"accept-language": "es"}
    for path in ("/", "/students", "/account", "/preferences"):
        assert '<html lang="en"' in visitor.get(path, accept=HTML, headers=spanish).text
    assert [mail.subject for mail in mailbox()] == ["New sign-in to your Parent Portal account"]


def test_a_browser_that_remembers_another_language_follows_the_choice(
    browser: PortalClient,
) -> None:
    assert '<html lang="en"' in browser.get("/preferences?lang=en", accept=HTML).text
    save(browser, {"language": "es"})
    assert '<html lang="es"' in browser.get("/preferences", accept=HTML).text
    # Another link counts again, also after saving something else.
    browser.get("/preferences?lang=en", accept=HTML)
    save(browser, {"language": "es", "grades.mail": True})
    assert '<html lang="en"' in browser.get("/preferences", accept=HTML).text


@pytest.mark.parametrize("asked", ["usernames", "key", "password"])
def test_mails_nobody_is_signed_in_for_follow_the_choice_too(
    browser: PortalClient, new_visitor: Visitors, mailbox: Mailbox, asked: str
) -> None:
    mailbox()
    save(browser, {"language": "en"})
    (student,) = {one["student_number"] for one in browser.get("/students").json()[:1]}
    path, fields = {
        "usernames": ("/forgot-username", {"email": "parent@example.com"}),
        "key": ("/activation-key", {"student_number": student, "ssn_last4": "4321"}),
        "password": ("/forgot-password", {"username": "rosa1"}),
    }[asked]
    assert new_visitor().post(path, fields).status == 202
    (mail,) = mailbox()
    assert "Hello" in mail.html
    assert "Hola" not in mail.html


def test_choices_survive_an_import_that_changes_the_guardian(
    stage: AwsStage, monday: Any, mailbox: Mailbox
) -> None:
    monday.move_to(datetime(2026, 3, 2, 17, 0, tzinfo=UTC))
    office = Office(stage)
    office.upload(district(relationships=True))
    g1a = factories.SomeGuardian(guardian_id("g1a"), "parent1a@example.com")
    factories.account(g1a, now=datetime.now(UTC))
    chosen = {"language": "es", "grades.mail": True, "quiet_from": "22:00"} | TO
    saved = notifications.save(read(), chosen)
    mailbox()
    row = district().row("users.csv", "g1a") | {"email": "new@example.com", "givenName": "Neu"}
    office.upload(delta(users=[row | {"metadata.language": "en"}]))
    assert read().choices == saved.choices
    assert read().email == "new@example.com"
    (told,) = mailbox()
    assert (told.recipient, told.subject) == (
        "parent1a@example.com",
        "Se cambió su correo electrónico en el Portal para Padres",
    )


# --- security mails (S55) ------------------------------------------------------------------------


@pytest.mark.parametrize(
    "event", ["unknown device", "locked out", "new password", "address asked for"]
)
def test_with_every_choice_off_security_mails_are_still_sent(
    browser: PortalClient,
    new_visitor: Visitors,
    rosa: factories.SomeAccount,
    mailbox: Mailbox,
    event: str,
) -> None:
    mailbox()
    off = {name: False for name in NAMES if name not in ALWAYS}
    save(browser, off | {"quiet_from": "00:00", "quiet_to": "23:00"})
    if event == "unknown device":
        factories.signed_in(new_visitor, rosa)
    else:
        bring_about(event, browser, new_visitor, rosa)
    assert "not-me?token=" in "".join(mail.html for mail in mailbox())


def test_with_every_choice_off_a_change_of_state_and_of_address_is_still_mailed(
    browser: PortalClient, mailbox: Mailbox, invoke: Callable[[str, Any], Any]
) -> None:
    mailbox()
    save(browser, {name: False for name in NAMES if name not in ALWAYS})
    invoke("disable_account", {"username": "Rosa1"})
    assert [mail.recipient for mail in mailbox()] == ["parent@example.com"]
