"""A guardian's household: what the school has of it, confirmed or asked to be changed.

A household is whoever the roster gives the same household id *and* the same address, now. Who has no
household id, or no address, is a household of their own: nothing then says that two live together, and
a child's other household must learn nothing (security row S68). Both are read anew at each request, so
who moves out takes their requests along.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, date, datetime, timedelta

from chalicelib import crypto, errors, logs, policy
from chalicelib.domain import accounts, contact_details
from chalicelib.errors import FieldError
from chalicelib.storage import aws, change_requests, district, roster, signed_in
from chalicelib.storage.change_requests import PENDING, ChangeRequest, ShownRequest
from chalicelib.storage.values import Account, GuardianHome, GuardianRecord, Session

# How often a filing is tried that others overtake.
_ROUNDS = 6


@dataclass(frozen=True)
class Household:
    """What the page shows; `known` is what the school has, by the contract's names."""

    account: Account
    session: Session
    guardian: GuardianRecord
    known: Mapping[str, str | None]
    verified_on: str | None
    requests: tuple[ShownRequest, ...]
    may_ask: bool
    first_day: date
    last_day: date


def look(token: str | None, *, now: datetime) -> Household:
    """Return the household of whoever is signed in.

    Three calls, and one more where others of the household confirmed or asked for something too.

    Raises:
        SignInRequired: no session that stands.
        NotFound: the guardian may see no student (any more), so there is no household of theirs.
    """
    session = accounts.use_session(token, now=now)
    guardian = roster.guardian_partition(session.guardian_id)
    household = "" if guardian is None else key_of(guardian)
    read = signed_in.read_household(session.username_key, session.guardian_id, household)
    account = accounts.refuse_ended(session, read.account, read.all_ended_at)
    if guardian is None or not guardian.students:
        raise errors.NotFound
    shown = [read.own, *_others(guardian, read.members)]
    known = known_of(guardian)
    address = contact_details.address_key(known)
    # A confirmation counts for the address that was confirmed: a newer one wasn't looked at yet.
    verified = [s.verified_on for s in shown if s.verified_on and s.verified_address == address]
    since = int((now - timedelta(days=policy.REQUEST_DAYS)).timestamp())
    requests = [
        one
        for part in shown
        for one in part.requests
        if one.decided_at is None or one.decided_at > since
    ]
    first, last = contact_details.bounds(district.preferences().day(now))
    return Household(
        account=account,
        session=session,
        guardian=guardian,
        known=known,
        verified_on=max(verified, default=None),
        requests=tuple(
            sorted(requests, key=lambda one: (one.created_at, one.request_id), reverse=True)
        ),
        may_ask=read.open_requests < policy.OPEN_REQUESTS_PER_HOUSEHOLD,
        first_day=first,
        last_day=last,
    )


def _others(guardian: GuardianRecord, members: Sequence[str]) -> list[change_requests.Shown]:
    """Return what is shown of the others who live there now, whoever was a member before."""
    ids = [one for one in members if one != guardian.guardian_id]
    if not ids:
        return []
    key = key_of(guardian)
    return [shown for home, shown in signed_in.read_members(ids) if key_of(home) == key]


def key_of(guardian: GuardianRecord | GuardianHome) -> str:
    """Return the key of a guardian's household: equal for those who share id and address."""
    address = contact_details.address_key(asdict(guardian))
    if guardian.household_id is None or not address:
        return crypto.digest(f"alone\0{guardian.guardian_id}")[:20]
    return crypto.digest(f"{guardian.household_id}\0{address}")[:20]


def known_of(guardian: GuardianRecord) -> dict[str, str | None]:
    """Return what the school has, by the contract's names; a blank is nothing."""
    has = {**asdict(guardian), "mobile": guardian.sms}
    return {name: has[name] or None for name in contact_details.FIELDS}


# --- confirmed, or asked to be changed ----------------------------------------


def confirm(seen: Household, *, now: datetime) -> None:
    """Note that everything was found right today, in the district."""
    change_requests.confirm(
        seen.guardian.guardian_id,
        key_of(seen.guardian),
        address=contact_details.address_key(seen.known),
        day=district.preferences().day(now).isoformat(),
    )
    logs.event("household-confirmed", guardian=seen.guardian.guardian_id)


def ask(seen: Household, typed: Mapping[str, str], *, form_id: str, now: datetime) -> None:
    """File a request for a change, which an admin decides.

    The same posting again is the same request, also where its first answer was lost: a request's id
    comes from account, `form_id` and fields.

    Raises:
        Invalid: what is wrong with which field; nothing differs; too many open requests.
    """
    guardian = seen.guardian
    wanted, faults = contact_details.changes(typed, seen.known)
    day, wrong_day = contact_details.effective_date(
        typed.get("effective_date", ""), today=seen.first_day
    )
    comment, wrong_comment = contact_details.reason(typed.get("comment", ""))
    if not wanted and not faults:
        faults = [FieldError("action", "required")]
    faults = [*faults, *wrong_day, *wrong_comment]
    if faults:
        raise errors.Invalid(errors=faults)
    request = ChangeRequest(
        request_id=_request_id(seen.account, form_id, typed),
        status=PENDING,
        guardian_id=guardian.guardian_id,
        guardian=f"{guardian.given_name} {guardian.family_name}".strip(),
        sourced_id=guardian.sourced_id,
        student_sourced_ids=_children_at_home(guardian),
        household=key_of(guardian),
        changes=wanted,
        effective_date=day,
        comment=comment,
        decision_comment=None,
        created_at=int(now.timestamp()),
        decided_at=None,
    )
    _file(request)
    logs.event("change-requested", request=request.request_id, guardian=guardian.guardian_id)


def _request_id(account: Account, form_id: str, typed: Mapping[str, str]) -> str:
    """Return an id that begins with a letter: in an export no spreadsheet takes it for a formula."""
    if not form_id:
        return "r" + crypto.new_id()
    text = "\0".join((account.account_id, form_id, *(f"{k}={typed[k]}" for k in sorted(typed))))
    return "r" + aws.keyring().hash("request", text)[:22]


def _children_at_home(guardian: GuardianRecord) -> tuple[str, ...]:
    """Return the sourcedIds of the guardian's children whom the roster has in the same household."""
    children = roster.student_profiles(link.student_id for link in guardian.students)
    home = guardian.household_id
    return tuple(
        sorted(child.sourced_id for child in children if home and child.household_id == home)
    )


def _file(request: ChangeRequest) -> None:
    for _ in range(_ROUNDS):
        own = change_requests.shown(request.guardian_id)
        try:
            change_requests.file(request, own, most_open=policy.OPEN_REQUESTS_PER_HOUSEHOLD)
        except change_requests.AlreadyFiled:
            return
        except change_requests.TooManyOpen as error:
            most = policy.OPEN_REQUESTS_PER_HOUSEHOLD
            fault = FieldError("action", "out-of-bounds", (("bounds", most),))
            raise errors.Invalid(errors=[fault]) from error
        except change_requests.Overtaken:
            continue
        return
    raise errors.Unavailable


def instant(seconds: int) -> datetime:
    """Return a stored time as an instant (UTC)."""
    return datetime.fromtimestamp(seconds, UTC)
