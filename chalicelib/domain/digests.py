"""The daily digest: what guardians chose, of what changed since their last one.

Dates of events and grades don't say when they were entered, so a digest compares: every entry that
home shows of a child (`summary`: the newest 20 attendance events and 5 grades) has a mark made of
what it says, and the guardian's item holds the marks of what was told. An entry that is new or says
something else is news. Before a guardian's first digest, and for a child they newly see, only today's
entries are.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, date, datetime, time, timedelta
from itertools import islice
from typing import Any

from chalicelib import crypto, logs, policy
from chalicelib.domain import mail, notifications
from chalicelib.policy import Preferences
from chalicelib.storage import accounts, aws, digests, district, roster
from chalicelib.storage import notifications as choices
from chalicelib.storage.values import Account, AttendanceEvent, NewestGrade, StudentSummary

# For how long after its hour a digest is still taken up; later, tomorrow's tells the same.
_LATE = timedelta(hours=6)
# One run takes up so many, spread over so many seconds; a message on the queue goes on from there.
_SPREAD_SECONDS = 300
_AT_ONCE = policy.DIGESTS_PER_SECOND * _SPREAD_SECONDS
# Past then that message is lost, and the hourly run goes on itself.
_GIVEN_UP = timedelta(minutes=30)
_SQS_BATCH = 10
_HOURS = 24
# Of a child's entries that home no longer shows: they may come back when newer ones are removed.
_MARKS_KEPT = 60


@dataclass(frozen=True)
class ChildNews:
    """What is new of a child."""

    given_name: str
    attendance: tuple[AttendanceEvent, ...]
    grades: tuple[NewestGrade, ...]


# --- whose hour has come ----------------------------------------------------------


def queue_due(*, now: datetime) -> None:
    """Queue the digests whose hour has come and that aren't queued yet.

    May be cut off anywhere, run twice at once, or not run for some hours: how far each hour got is
    noted after its messages, and each mail goes out once a district day whatever is queued again.

    Raises:
        Unavailable: SQS doesn't take them; the next run goes on.
    """
    for day, hour in due(district.preferences(), now):
        at = digests.queued(day.isoformat(), hour)
        given_up = at.at is None or now - datetime.fromtimestamp(at.at, UTC) > _GIVEN_UP
        if not at.all and given_up:
            _queue_some(day, hour, at.past, now=now)


def go_on(message: Mapping[str, Any], *, now: datetime) -> None:
    """Queue the next digests of an hour that had more than one run takes up."""
    day, hour = date.fromisoformat(message["day"]), message["hour"]
    at = digests.queued(message["day"], hour)
    if (
        not at.all
        and at.past == message["past"]
        and (day, hour) in due(district.preferences(), now)
    ):
        _queue_some(day, hour, at.past, now=now)


def _queue_some(day: date, hour: int, past: str | None, *, now: datetime) -> None:
    found = choices.wanting_digest(hour, after=past, page=_AT_ONCE)
    queued = 0
    while batch := list(islice(found, min(_SQS_BATCH, _AT_ONCE - queued))):
        aws.queue_mails(
            [{"kind": "digest", "username_key": key, "day": day.isoformat()} for key in batch],
            delays=[(queued + place) // policy.DIGESTS_PER_SECOND for place in range(len(batch))],
        )
        queued, past = queued + len(batch), batch[-1]
    done = queued < _AT_ONCE
    digests.note_queued(day.isoformat(), hour, past=past, all_of_them=done, now=now)
    logs.event("digests-queued", count=queued, all=done)
    if not done:
        aws.queue_mail(
            {"kind": "digests", "day": day.isoformat(), "hour": hour, "past": past},
            delay=_SPREAD_SECONDS,
        )


def due(preferences: Preferences, now: datetime) -> list[tuple[date, int]]:
    """Return the digests (district day, hour of day) whose time has come lately, oldest first.

    A day's digests begin at 17:00; hours before that are those of the next calendar day. On the day
    of a DST change an hour that is skipped counts from the change, one that comes twice from its first.
    """
    today = preferences.day(now)
    days = (today - timedelta(days=1), today)
    moments = (
        (_moment(preferences, day, ahead), day, (policy.DIGEST_HOUR + ahead) % _HOURS)
        for day in days
        for ahead in range(_HOURS)
    )
    return [(day, hour) for moment, day, hour in sorted(moments) if now - _LATE < moment <= now]


def _moment(preferences: Preferences, day: date, ahead: int) -> datetime:
    days, hour = divmod(policy.DIGEST_HOUR + ahead, _HOURS)
    local = datetime.combine(day + timedelta(days=days), time(hour), tzinfo=preferences.zone())
    return local.astimezone(UTC)


# --- one guardian's -----------------------------------------------------------------


def mail_digest(message: Mapping[str, Any], *, now: datetime) -> None:
    """Mail one guardian what is new of what they chose; nothing new, no mail.

    What must not or can't be mailed now (quiet hours, an address that bounced, an account that was
    shut) isn't told, so the next digest tells it.

    Raises:
        Busy: another worker is at it.
    """
    preferences = district.preferences()
    day = date.fromisoformat(message["day"])
    account = accounts.read_account(message["username_key"])
    if account is None or now >= _moment(preferences, day + timedelta(days=1), 0):
        return
    refused = _refused(account, now.astimezone(preferences.zone()).time())
    if refused:
        logs.event("digest-not-sent", reason=refused)
        return
    with mail.once(f"digest#{account.account_id}#{day.isoformat()}", now=now) as send:
        if send is not None:
            _tell(send, account, preferences.day(now), now=now)


def _refused(account: Account, local: time) -> str | None:
    if account.state != accounts.ACTIVE:
        return account.state
    if notifications.digest_hour(account.choices) is None:
        return "not-wanted"
    if notifications.is_quiet(account.choices, local):
        return "quiet-hours"
    if not account.email:
        return "no-address"
    return None


def _tell(send: mail.Send, account: Account, today: date, *, now: datetime) -> None:
    """Send what is new, then note it: a crash in between mails it twice rather than never."""
    guardian = roster.guardian_partition(account.guardian_id)
    if guardian is None:
        return
    told = digests.told(account.account_id) or {}
    # The links as they are now: access that was taken since is gone from the digest too.
    children = roster.student_summaries([link.student_id for link in guardian.students])
    children.sort(key=lambda child: (child.given_name, child.student_id))
    news = [_news(child, told.get(child.student_id), account, today) for child in children]
    news = [one for one in news if one.attendance or one.grades]
    if news:
        sent = send(
            str(account.email),
            "digest",
            languages=mail.languages_of(guardian, account),
            data={"name": guardian.given_name, "children": [asdict(one) for one in news]},
        )
        if not sent:
            # Mails to the address come back, or it is none.
            return
    marks = {one.student_id: _marks(one, told.get(one.student_id, ())) for one in children}
    if marks != told:
        digests.note_told(account.account_id, marks, now=now)


def _news(
    child: StudentSummary, told: Sequence[str] | None, account: Account, today: date
) -> ChildNews:
    def is_new(entry: AttendanceEvent | NewestGrade) -> bool:
        return entry.date == today.isoformat() if told is None else _mark(entry) not in told

    def wanted(kind: str) -> bool:
        return notifications.DIGESTED[kind] in account.choices.on

    return ChildNews(
        given_name=child.given_name,
        attendance=tuple(filter(is_new, child.recent_attendance if wanted("attendance") else ())),
        grades=tuple(filter(is_new, child.newest_grades if wanted("grades") else ())),
    )


def _marks(child: StudentSummary, before: Sequence[str]) -> list[str]:
    """Return the marks of a child's entries, also of kinds not chosen: they are no news later."""
    now = [_mark(entry) for entry in _entries(child)]
    return [*now, *(mark for mark in before if mark not in now)][:_MARKS_KEPT]


def _entries(child: StudentSummary) -> Iterator[AttendanceEvent | NewestGrade]:
    yield from child.recent_attendance
    yield from child.newest_grades


def _mark(entry: AttendanceEvent | NewestGrade) -> str:
    said = json.dumps([type(entry).__name__, asdict(entry)], sort_keys=True)
    return crypto.digest(said)[:12]
