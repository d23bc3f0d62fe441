"""What admins do with families' requests: list, decide and export them.

With the mail that tells of a decision.
"""

import csv
import io
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta, tzinfo
from typing import Any

from chalicelib import crypto, errors, logs, policy
from chalicelib.domain import mail
from chalicelib.storage import accounts, aws, change_requests, district, exports, roster
from chalicelib.storage.change_requests import APPROVED, DENIED, PENDING, ChangeRequest

STATES = (PENDING, APPROVED, DENIED)
DECISIONS: Mapping[str, str] = {"approve": APPROVED, "deny": DENIED}
# Lambda's answer holds 6 MB; what the console can show is less.
MOST_LISTED = 500
# How often a decision is tried that others overtake.
_ROUNDS = 6
# How long a decision may take to be written after its mail was queued.
_DECIDED_SECONDS = 60

# The columns of the guardian's own row in a roster's users.csv, by the names there.
_COLUMNS: Mapping[str, str] = {
    "email": "email",
    "sms": "mobile",
    "phone": "phone",
    "metadata.address1": "address1",
    "metadata.address2": "address2",
    "metadata.city": "city",
    "metadata.state": "state",
    "metadata.postCode": "post_code",
}
_HEADER = (
    *("requestId", "decidedAt", "effectiveDate", "sourcedId", "studentSourcedIds"),
    *(*_COLUMNS, "clear"),
)
# A spreadsheet runs what begins like this (OWASP, CSV Injection).
_FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n", "\0")


@dataclass(frozen=True)
class Export:
    """A file of approved changes: an address that opens it until a time, and how many it holds."""

    url: str
    expires_at: datetime
    count: int


# --- listed and decided -------------------------------------------------------


def listed(status: str | None) -> tuple[list[ChangeRequest], int]:
    """Return the newest requests of a state, or of all, and how many there are in all."""
    found = sorted(
        change_requests.every(status),
        key=lambda one: (one.created_at, one.request_id),
        reverse=True,
    )
    return found[:MOST_LISTED], len(found)


def decide(request_id: str, decision: str, comment: str, *, now: datetime) -> ChangeRequest:
    """Approve or deny a request; whoever asked is told by mail.

    Decided again in the same way it is answered as it was decided, and mails nothing more.

    Raises:
        NoSuchRequest: nobody asked under this id.
        AlreadyDecided: it was decided otherwise.
    """
    status = DECISIONS[decision]
    for _ in range(_ROUNDS):
        request = change_requests.read(request_id)
        if request is None:
            raise errors.NoSuchRequest
        if request.status == status:
            return request
        if request.status != PENDING:
            raise errors.AlreadyDecided
        # Queued before it is decided, so that a crash in between loses no mail; the worker sends none
        # for what never came to be.
        aws.queue_mail(
            {
                "kind": "change-request-decided",
                "request_id": request_id,
                "status": status,
                "queued_at": int(now.timestamp()),
            },
            delay=1,
        )
        try:
            decided = change_requests.decide(
                request,
                change_requests.shown(request.guardian_id),
                status,
                comment.strip(),
                purge_at=int((now + timedelta(days=policy.REQUEST_DAYS)).timestamp()),
                now=now,
            )
        except (change_requests.NotPending, change_requests.Overtaken):
            continue
        logs.event("change-decided", request=request_id, status=status)
        return decided
    raise errors.Unavailable


def mail_decision(message: Mapping[str, Any], *, now: datetime) -> None:
    """Tell the guardian who asked, at the address on record, and nobody else (security row S68).

    Raises:
        Busy: the decision isn't written yet; after a minute it never will be.
    """
    request = change_requests.read(message["request_id"])
    if request is None or request.status not in (PENDING, message["status"]):
        return
    if request.status == PENDING:
        queued = datetime.fromtimestamp(message["queued_at"], UTC)
        if now - queued < timedelta(seconds=_DECIDED_SECONDS):
            raise mail.Busy
        return
    guardian = roster.guardian_partition(request.guardian_id)
    account = guardian and guardian.account and accounts.read_account(guardian.account)
    if not guardian or not account or not account.email:
        return
    with mail.once(f"change-request#{request.request_id}", now=now) as send:
        if send is not None:
            zone = district.preferences().zone()
            asked = datetime.fromtimestamp(request.created_at, UTC).astimezone(zone)
            send(
                account.email,
                "change-request-decided",
                languages=mail.languages_of(guardian, account),
                data={
                    "name": guardian.given_name,
                    "status": request.status,
                    "asked_on": asked.date(),
                    "fields": list(request.changes),
                    "effective_date": date.fromisoformat(request.effective_date),
                    "comment": request.decision_comment,
                },
            )


# --- handed back to the SIS ---------------------------------------------------


def is_since(text: str) -> bool:
    """Whether a text is an ISO day, or an ISO time with its offset."""
    return _since(text, UTC) is not None


def _since(text: str, zone: tzinfo) -> datetime | None:
    try:
        if len(text) == len("YYYY-MM-DD"):
            return datetime.combine(date.fromisoformat(text), time.min, tzinfo=zone)
        at = datetime.fromisoformat(text)
    except ValueError:
        return None
    return at if at.tzinfo is not None else None


def export(since: str | None, *, now: datetime) -> Export:
    """Write the changes approved since a day (the district's) or a time, and hand the file out."""
    begins = _since(since, district.preferences().zone()) if since else None
    from_then = 0 if begins is None else int(begins.timestamp())
    approved = [
        one for one in change_requests.every(APPROVED) if (one.decided_at or 0) >= from_then
    ]
    approved.sort(key=lambda one: (one.decided_at or 0, one.request_id))
    name = f"changes-{now:%Y%m%dT%H%M%SZ}-{crypto.new_id()[:8]}.csv"
    url = exports.hand_out(name, as_csv(approved), "text/csv; charset=utf-8")
    lasts = timedelta(seconds=exports.ADDRESS_SECONDS)
    return Export(url, now + lasts, len(approved))


def as_csv(requests: Iterable[ChangeRequest]) -> bytes:
    """Return requests as CSV (RFC 4180, UTF-8 with a byte order mark, without which Excel guesses).

    An empty cell leaves a value as it is; `clear` names the columns to be emptied. No spreadsheet
    runs a cell: what begins like a formula comes out behind an apostrophe (security row S74).
    """
    out = io.StringIO()
    writer = csv.writer(out)
    writer.writerow(_HEADER)
    for one in requests:
        decided = datetime.fromtimestamp(one.decided_at or 0, UTC)
        cleared = [c for c, n in _COLUMNS.items() if n in one.changes and one.changes[n] is None]
        cells = (
            one.request_id,
            f"{decided:%Y-%m-%dT%H:%M:%SZ}",
            one.effective_date,
            one.sourced_id,
            ",".join(one.student_sourced_ids),
            *(one.changes.get(name) or "" for name in _COLUMNS.values()),
            ",".join(cleared),
        )
        writer.writerow(f"'{cell}" if cell.startswith(_FORMULA) else cell for cell in cells)
    return out.getvalue().encode("utf-8-sig")
