"""The daily digest: who gets it when, what it tells, and that it goes out once."""

from collections.abc import Callable, Iterator
from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest
import time_machine

from chalicelib import errors, settings
from chalicelib.domain import digests, notifications
from chalicelib.domain.mail import note_address
from chalicelib.storage import accounts, aws, district, roster
from chalicelib.storage import digests as stored
from chalicelib.storage.values import Choices
from tests import aws_stage, conftest, factories
from tests.conftest import SentMail, run_schedule, send_mail_to_worker
from tests.factories import SomeAccount, SomeStudent

Mailbox = Callable[[], list[SentMail]]
SUBJECT = "Parent Portal: what is new at school"
ROSA = "parent@example.com"
# A Monday, and a Tuesday, at five in New York.
MONDAY, TUESDAY = "2026-03-02T17:00:00-05:00", "2026-03-03T17:00:00-05:00"
ABSENT = {
    "date": "2026-03-02",
    "type": "daily",
    "status": "absent",
    "excuse": "unexcused",
    "period": None,
    "class_id": None,
    "class": None,
    "reason": None,
    "minutes": None,
}
QUIZ = {
    "class": "Mathematics 5",
    "title": "Fractions quiz",
    "score": 18.0,
    "max_score": 20.0,
    "grade": None,
    "date": "2026-03-02",
}


@pytest.fixture(autouse=True)
def clock(stage: object) -> Iterator[Any]:
    with time_machine.travel(factories.NOW, tick=False) as clock:
        yield clock


def move(clock: Any, to: str) -> None:
    clock.move_to(datetime.fromisoformat(to))


def child(given_name: str = "Ana", **summary: Any) -> SomeStudent:
    return factories.student(given_name=given_name, **summary)


def enter(who: SomeStudent, **summary: Any) -> None:
    """Have an import write a child's summary anew."""
    profile = roster.student_profile(who.student_id)
    assert profile is not None
    shown = ("student_id", "given_name", "family_name", "grade", "school", "gtid", "student_number")
    data = {name: getattr(profile, name) for name in shown} | {
        "classes": [],
        "recent_attendance": [],
        "totals": {},
        "newest_grades": [],
    }
    factories._put(f"student#{who.student_id}", "summary", data | summary)


def parent(
    *children: SomeStudent,
    username: str = "Rosa1",
    on: str = "attendance.mail grades.mail",
    **how: Any,
) -> SomeAccount:
    """Make an account whose guardian chose something."""
    chosen = {name: how.pop(name) for name in ("quiet_from", "quiet_to") if name in how}
    account = factories.account(factories.guardian(*children, **how), username=username)
    choose(account, dict.fromkeys(on.split(), True) | chosen)
    return account


def choose(account: SomeAccount, fields: dict[str, Any]) -> None:
    found = accounts.read_account(account.username.lower())
    assert found is not None
    notifications.save(found, fields)


def digest(mailbox: Mailbox) -> list[SentMail]:
    """Run the schedule and the mail worker; return the digests that were sent."""
    mailbox()
    run_schedule("send_digests")
    return [mail for mail in mailbox() if mail.subject == SUBJECT]


# --- what it tells ------------------------------------------------------------------------


def test_at_five_a_guardian_is_mailed_what_they_chose(clock: Any, mailbox: Mailbox) -> None:
    parent(child(recent_attendance=[ABSENT], newest_grades=[QUIZ]))
    move(clock, MONDAY)
    (mail,) = digest(mailbox)
    assert mail.recipient == ROSA
    for said in (
        "Hello Rosa,",
        "Attendance of Ana:",
        "Mar 2, 2026 · Absent · Unexcused",
        "Grades of Ana:",
        "Fractions quiz · 18 of 20 · Mathematics 5 · Mar 2, 2026",
        "http://portal.localhost:4566/preferences",
    ):
        assert said in mail.html


@pytest.mark.parametrize(
    ("on", "told"),
    [
        ("attendance.mail", ["Attendance"]),
        ("grades.mail", ["Grades"]),
        ("attendance.text grades.voice behavior.mail messages.mail", None),
        ("", None),
    ],
)
def test_only_what_was_chosen_by_mail_is_told(
    clock: Any, mailbox: Mailbox, on: str, told: list[str] | None
) -> None:
    parent(child(recent_attendance=[ABSENT], newest_grades=[QUIZ]), on=on)
    move(clock, MONDAY)
    mails = digest(mailbox)
    assert len(mails) == (told is not None)
    for mail in mails:
        assert [word for word in ("Attendance", "Grades") if f"{word} of Ana" in mail.html] == told


def test_the_first_tells_of_today_and_the_next_of_what_changed_since(
    clock: Any, mailbox: Mailbox
) -> None:
    old_quiz = QUIZ | {"title": "Old quiz", "date": "2026-02-20"}
    ana = child(recent_attendance=[ABSENT], newest_grades=[old_quiz])
    parent(ana)
    move(clock, MONDAY)
    (first,) = digest(mailbox)
    assert "Absent" in first.html
    assert "Old quiz" not in first.html
    # Excused since, a quiz of last week entered late, and nothing else.
    late = QUIZ | {"title": "Late quiz", "date": "2026-02-27"}
    enter(ana, recent_attendance=[ABSENT | {"excuse": "excused"}], newest_grades=[late, old_quiz])
    move(clock, TUESDAY)
    (second,) = digest(mailbox)
    assert "Mar 2, 2026 · Absent · Excused" in second.html
    assert "Late quiz" in second.html
    assert "Old quiz" not in second.html


def test_nothing_new_no_mail(clock: Any, mailbox: Mailbox) -> None:
    parent(child(recent_attendance=[ABSENT]))
    move(clock, MONDAY)
    assert len(digest(mailbox)) == 1
    move(clock, TUESDAY)
    assert digest(mailbox) == []


def test_an_entry_that_comes_back_when_a_newer_one_is_removed_is_no_news(
    clock: Any, mailbox: Mailbox
) -> None:
    ana = child(recent_attendance=[ABSENT], newest_grades=[QUIZ])
    parent(ana)
    move(clock, MONDAY)
    assert len(digest(mailbox)) == 1
    newer = QUIZ | {"title": "Essay"}
    enter(ana, recent_attendance=[ABSENT], newest_grades=[newer])
    move(clock, TUESDAY)
    assert len(digest(mailbox)) == 1
    enter(ana, recent_attendance=[ABSENT], newest_grades=[QUIZ])
    move(clock, "2026-03-04T17:00:00-05:00")
    assert digest(mailbox) == []


def test_a_kind_switched_on_later_tells_no_old_story(clock: Any, mailbox: Mailbox) -> None:
    ana = child(recent_attendance=[ABSENT], newest_grades=[QUIZ])
    rosa = parent(ana, on="attendance.mail")
    move(clock, MONDAY)
    assert len(digest(mailbox)) == 1
    choose(rosa, {"grades.mail": True})
    move(clock, TUESDAY)
    assert digest(mailbox) == []


def test_a_childs_digest_ends_with_the_access(clock: Any, mailbox: Mailbox) -> None:
    ana, ben = child("Ana", recent_attendance=[ABSENT]), child("Ben", recent_attendance=[ABSENT])
    rosa = parent(ana, ben)
    move(clock, MONDAY)
    run_schedule("send_digests")
    # Queued already; an import takes the access before the worker comes to it.
    aws_stage.client("dynamodb").delete_item(
        TableName=settings.name("roster"),
        Key={
            "pk": {"S": f"guardian#{rosa.guardian.guardian_id}"},
            "sk": {"S": f"student#{ben.student_id}"},
        },
    )
    (mail,) = [one for one in mailbox() if one.subject == SUBJECT]
    assert "Ana" in mail.html
    assert "Ben" not in mail.html


def test_two_guardians_of_a_child_are_told_in_their_languages(clock: Any, mailbox: Mailbox) -> None:
    ana = child(recent_attendance=[ABSENT])
    parent(ana)
    other = parent(ana, username="Luis1", email="luis@example.com", given_name="Luis")
    choose(other, {"language": "es"})
    move(clock, MONDAY)
    mailbox()
    run_schedule("send_digests")
    said = {mail.recipient: mail.subject for mail in mailbox()}
    assert said == {
        ROSA: SUBJECT,
        "luis@example.com": "Portal para Padres: novedades de la escuela",
    }


def test_a_name_of_the_roster_begins_no_line_and_turns_no_words(
    clock: Any, mailbox: Mailbox
) -> None:
    hostile = QUIZ | {"title": "Quiz\r\nBcc: x@example.net\u202e<b>"}
    parent(child(newest_grades=[hostile]))
    move(clock, MONDAY)
    (mail,) = digest(mailbox)
    assert "Quiz Bcc: x@example.net&lt;b&gt;" in mail.html


# --- who gets none ----------------------------------------------------------------------------


@pytest.mark.parametrize("why", ["bounced", "complained", "no address", "disabled", "deleted"])
def test_who_can_not_or_must_not_be_mailed_gets_none(
    clock: Any, mailbox: Mailbox, invoke: Callable[[str, Any], Any], why: str
) -> None:
    rosa = parent(child(recent_attendance=[ABSENT]))
    if why == "no address":
        give_address(rosa, None)
    if why in ("bounced", "complained"):
        note_address(ROSA, why, now=factories.NOW)
    if why == "disabled":
        invoke("disable_account", {"username": "Rosa1"})
    if why == "deleted":
        invoke("delete_account", {"username": "Rosa1"})
    move(clock, MONDAY)
    assert digest(mailbox) == []


def give_address(account: SomeAccount, address: str | None) -> None:
    """Write an account's address as it is, whatever the portal would say of it."""
    change = {"Action": "PUT", "Value": {"S": address}} if address else {"Action": "DELETE"}
    aws_stage.client("dynamodb").update_item(
        TableName=settings.name("accounts"),
        Key={"username_key": {"S": account.username.lower()}},
        AttributeUpdates={"email": change},
    )


@pytest.mark.parametrize("why", ["bounced", "no mailbox"])
def test_what_could_not_be_mailed_is_told_once_it_can(
    clock: Any, mailbox: Mailbox, why: str
) -> None:
    ana = child(recent_attendance=[ABSENT])
    rosa = parent(ana)
    move(clock, MONDAY)
    assert len(digest(mailbox)) == 1
    if why == "bounced":
        note_address(ROSA, "bounced", now=factories.NOW)
    else:
        give_address(rosa, "rosa@example.com, luis@example.com")
    enter(ana, newest_grades=[QUIZ])
    move(clock, TUESDAY)
    assert digest(mailbox) == []
    note_address(ROSA, None, now=factories.NOW)
    give_address(rosa, ROSA)
    move(clock, "2026-03-04T17:00:00-05:00")
    (told,) = digest(mailbox)
    assert "Fractions quiz" in told.html


# --- when --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("quiet", "hour"),
    [
        (("21:00", "06:00"), 17),
        (("16:00", "17:00"), 17),
        (("17:00", "17:01"), 18),
        (("16:30", "18:15"), 19),
        (("15:00", "23:30"), 0),
        (("15:00", "05:00"), 5),
        (("08:00", "07:00"), 7),
    ],
)
def test_the_first_full_hour_outside_quiet_hours(quiet: tuple[str, str], hour: int) -> None:
    choices = Choices(quiet_from=quiet[0], quiet_to=quiet[1], on=frozenset({"grades.mail"}))
    assert notifications.digest_hour(choices) == hour


def hours_of_digests(clock: Any, mailbox: Mailbox, since: str, hours: int) -> list[str]:
    """Run the schedule every hour from an instant on; return the local times of digests sent."""
    zone = district.preferences().zone()
    start, sent = datetime.fromisoformat(since).astimezone(UTC), []
    for ahead in range(hours):
        clock.move_to(start + timedelta(hours=ahead))
        sent += [f"{datetime.now(zone):%d %H:%M %Z}" for _ in digest(mailbox)]
    return sent


def test_quiet_hours_put_it_off_to_the_first_full_hour_after_them(
    clock: Any, mailbox: Mailbox
) -> None:
    parent(child(recent_attendance=[ABSENT]), quiet_from="16:30", quiet_to="18:15")
    sent = hours_of_digests(clock, mailbox, "2026-03-02T12:00:00-05:00", 12)
    assert sent == ["02 19:00 EST"]


@pytest.mark.parametrize(
    ("day", "quiet_to", "expected"),
    [
        # The night to 8 March has no 2:00: the hour counts from the change, at 3:00.
        ("2026-03-07", "01:30", "08 03:00 EDT"),
        ("2026-03-07", "03:00", "08 03:00 EDT"),
        ("2026-03-07", None, "07 17:00 EST"),
        ("2026-03-08", None, "08 17:00 EDT"),
        # The night to 1 November has two 1:00: the first, and once.
        ("2026-10-31", "00:30", "01 01:00 EDT"),
        ("2026-10-31", None, "31 17:00 EDT"),
        ("2026-11-01", None, "01 17:00 EST"),
    ],
)
def test_once_a_district_day_over_the_nights_of_a_dst_change(
    clock: Any, mailbox: Mailbox, day: str, quiet_to: str | None, expected: str
) -> None:
    today = (date.fromisoformat(day) + timedelta(days=bool(quiet_to))).isoformat()
    quiet = {"quiet_from": "16:00", "quiet_to": quiet_to} if quiet_to else {}
    parent(child(recent_attendance=[ABSENT | {"date": today}]), **quiet)
    assert hours_of_digests(clock, mailbox, f"{day}T12:00:00-04:00", 22) == [expected]


def test_a_mail_that_comes_late_into_quiet_hours_waits_for_the_next_day(
    clock: Any, mailbox: Mailbox
) -> None:
    ana = child()
    parent(ana, quiet_from="18:00", quiet_to="06:00")
    move(clock, MONDAY)
    assert digest(mailbox) == []
    enter(ana, newest_grades=[QUIZ])
    move(clock, TUESDAY)
    run_schedule("send_digests")
    move(clock, "2026-03-03T18:05:00-05:00")
    assert mailbox() == []
    move(clock, "2026-03-04T17:00:00-05:00")
    assert len(digest(mailbox)) == 1


def test_a_run_that_was_left_out_is_made_up_for_some_hours(clock: Any, mailbox: Mailbox) -> None:
    parent(child(recent_attendance=[ABSENT]))
    move(clock, "2026-03-02T20:00:00-05:00")
    assert len(digest(mailbox)) == 1


def test_a_message_of_yesterday_tells_nothing(
    clock: Any, mailbox: Mailbox, queued_mail: Callable[[], list[dict[str, Any]]]
) -> None:
    parent(child(recent_attendance=[ABSENT | {"date": "2026-03-03"}]))
    move(clock, MONDAY)
    mailbox()
    run_schedule("send_digests")
    (message,) = queued_mail()
    move(clock, TUESDAY)
    assert send_mail_to_worker(message) == []
    assert len(digest(mailbox)) == 1


def test_a_district_in_another_zone_has_its_own_five_o_clock(clock: Any, mailbox: Mailbox) -> None:
    district.save_preferences({"time_zone": "Pacific/Honolulu"})
    parent(child(recent_attendance=[ABSENT]))
    sent = hours_of_digests(clock, mailbox, "2026-03-02T12:00:00-05:00", 24)
    assert sent == ["02 17:00 HST"]


# --- once -----------------------------------------------------------------------------------------


def families(count: int) -> list[str]:
    """Make accounts that each have news; return their addresses."""
    ana = child(recent_attendance=[ABSENT])
    emails = [f"p{place:03d}@example.com" for place in range(count)]
    for place, email in enumerate(emails):
        parent(ana, username=f"Parent{place:03d}", email=email)
    return emails


def sent_to() -> list[str]:
    """Return who was sent a digest so far, in order of their addresses."""
    return sorted(one.recipient for one in conftest._sent() if one.subject == SUBJECT)


def test_two_runs_and_messages_delivered_twice_mail_once(
    clock: Any, queued_mail: Callable[[], list[dict[str, Any]]]
) -> None:
    everybody = families(3)
    queued_mail()
    move(clock, MONDAY)
    run_schedule("send_digests")
    messages = queued_mail()
    run_schedule("send_digests")
    assert queued_mail() == []
    # As if the note of the first run had been lost with its container.
    stored.note_queued("2026-03-02", 17, past=None, all_of_them=False, now=factories.NOW)
    run_schedule("send_digests")
    messages += queued_mail()
    assert len(messages) == 6
    assert send_mail_to_worker(*messages, *messages) == []
    assert sent_to() == everybody


def test_a_run_that_breaks_off_half_way_is_finished_by_the_next(
    clock: Any, queued_mail: Callable[[], list[dict[str, Any]]], monkeypatch: pytest.MonkeyPatch
) -> None:
    everybody = families(25)
    queued_mail()
    move(clock, MONDAY)
    take = aws.queue_mails
    taken: list[int] = []

    def twice(messages: Any, *, delays: Any) -> None:
        if len(taken) == 2:
            raise errors.Unavailable
        taken.append(len(messages))
        take(messages, delays=delays)

    monkeypatch.setattr(aws, "queue_mails", twice)
    with pytest.raises(errors.Unavailable):
        run_schedule("send_digests")
    monkeypatch.setattr(aws, "queue_mails", take)
    assert send_mail_to_worker(*queued_mail()) == []
    assert len(sent_to()) == 20
    # Lambda tries again, or the next hour does.
    move(clock, "2026-03-02T18:00:00-05:00")
    run_schedule("send_digests")
    assert send_mail_to_worker(*queued_mail()) == []
    assert sent_to() == everybody


def test_more_than_one_run_takes_up_go_on_from_the_queue_at_an_even_pace(
    clock: Any, queued_mail: Callable[[], list[dict[str, Any]]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(digests, "_AT_ONCE", 10)
    everybody = families(25)
    queued_mail()
    move(clock, MONDAY)
    run_schedule("send_digests")
    counts = []
    for minutes in range(0, 20, 5):
        move(clock, f"2026-03-02T17:{minutes:02d}:10-05:00")
        # Meanwhile another run of the schedule leaves it alone.
        run_schedule("send_digests")
        sent = len(sent_to())
        for _ in ("what goes on", "and what that queued"):
            messages = queued_mail()
            assert send_mail_to_worker(*messages, *messages) == []
        counts.append(len(sent_to()) - sent)
    assert counts == [10, 10, 5, 0]
    assert sent_to() == everybody


def test_where_the_message_that_goes_on_is_lost_the_next_hour_goes_on(
    clock: Any, queued_mail: Callable[[], list[dict[str, Any]]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(digests, "_AT_ONCE", 10)
    everybody = families(15)
    queued_mail()
    for time in ("17:00", "18:00"):
        move(clock, f"2026-03-02T{time}:00-05:00")
        run_schedule("send_digests")
        messages = [one for one in queued_mail() if one["kind"] == "digest"]
        assert send_mail_to_worker(*messages) == []
    assert sent_to() == everybody


def test_a_mail_that_ses_refuses_at_first_is_mailed_once(
    clock: Any, queued_mail: Callable[[], list[dict[str, Any]]], monkeypatch: pytest.MonkeyPatch
) -> None:
    (address,) = families(1)
    queued_mail()
    move(clock, MONDAY)
    run_schedule("send_digests")
    (message,) = queued_mail()
    send = aws.send_mail
    monkeypatch.setattr(aws, "send_mail", lambda **_: 1 / 0)
    assert send_mail_to_worker(message) == ["m0"]
    monkeypatch.setattr(aws, "send_mail", send)
    assert send_mail_to_worker(message) == []
    assert send_mail_to_worker(message) == []
    assert sent_to() == [address]


def test_no_run_reads_an_account_that_wants_no_digest_at_its_hour(
    clock: Any, queued_mail: Callable[[], list[dict[str, Any]]], aws_calls: list[Any]
) -> None:
    ana = child(recent_attendance=[ABSENT])
    parent(ana, username="None1", on="attendance.text")
    parent(ana, username="Late1", quiet_from="16:00", quiet_to="21:00")
    parent(ana, username="Rosa1")
    queued_mail()
    move(clock, MONDAY)
    aws_calls.clear()
    run_schedule("send_digests")
    assert "Scan" not in [what for _, what, table in aws_calls if table.endswith("accounts")]
    assert queued_mail() == [{"kind": "digest", "username_key": "rosa1", "day": "2026-03-02"}]
