"""Activation keys: asking for one, issuing, checking, revoking, and making an account with one.

Guide: "Request a Parent Portal Activation Key" and "First Time Account Creation".
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, date, datetime, timedelta
from typing import TypeGuard

from chalicelib import crypto, errors, logs, policy
from chalicelib.domain import addresses, contact_details, credentials, last_four, limits, mail
from chalicelib.errors import FieldError
from chalicelib.storage import accounts, activation_keys, aws, district, roster
from chalicelib.storage.values import ActivationKey, GuardianRecord, NewAccount, StudentMatch


@dataclass(frozen=True)
class ShownKey:
    """A key for the screen: initials of its guardian, and the key, None where an account exists."""

    guardian: str
    activation_key: str | None


@dataclass(frozen=True)
class KeyState:
    """A key as an admin sees it: state, end (UTC), and the key itself only where asked for."""

    state: str
    expires_at: datetime
    activation_key: str | None = None


# --- asking for a key ---------------------------------------------------------


def request_keys(number: str, last4: str, *, ip: str, now: datetime) -> tuple[ShownKey, ...] | None:
    """Have a fresh key mailed to each eligible guardian of the student, whoever that is.

    Takes a student number or GTID (digits) and the last four digits. Match and miss cost the same: two
    counters and one message; only the mail worker learns which it was. None means: mailed, if anything
    matched. With preference `key_delivery=screen` keys come back where all eligible guardians share
    one household, so that no parent gets the other's key.

    Raises:
        TooManyTries: past the limits of the IP or of the number.
        NoMatch: in screen mode only.
    """
    limits.from_ip("lookups-per-ip", ip, now=now)
    limits.of("lookups-per-number", number, now=now)
    if district.preferences().key_delivery == "screen" and _screen_is_open(now=now):
        shown = _show_keys(number, last4, now=now)
        if shown is not None:
            return shown
    aws.queue_mail(
        {
            "kind": "activation-keys",
            "id": crypto.new_id(),
            "number": number,
            "last4": last_four.hashes_by_secret(aws.keyring(), number, last4),
        }
    )
    return None


def repeat_request(number: str, last4: str, *, now: datetime) -> tuple[ShownKey, ...] | None:
    """Answer a posting repeated as the first was: nothing is counted or mailed again."""
    if district.preferences().key_delivery == "screen" and _screen_is_open(now=now):
        return _show_keys(number, last4, now=now)
    return None


def _matches(number: str, hashes: dict[str, str]) -> list[StudentMatch]:
    """Return the students whose number and digits both fit; without digits a student never matches."""
    return [
        match
        for match in roster.find_student(number)
        if match.last4 is not None and crypto.equal(match.last4, hashes.get(match.secret or "", ""))
    ]


def _eligible_guardians(matches: Sequence[StudentMatch]) -> list[GuardianRecord]:
    """Return the guardians with portal access; each guardian's own partition is the authority."""
    found = (
        roster.guardian_partition(link.guardian_id)
        for match in matches
        for link in roster.guardians_of(match.student_id)
        if link.portal_access
    )
    students = {match.student_id for match in matches}
    return [
        guardian
        for guardian in found
        if guardian is not None and students & {link.student_id for link in guardian.students}
    ]


# --- the mail worker's half ---------------------------------------------------


def mail_keys(message_id: str, number: str, hashes: dict[str, str], *, now: datetime) -> None:
    """Mail each eligible guardian of a match a fresh key, or that an account exists.

    Runs in the mail worker, outside the answer's time. Delivered twice it mails once.
    """
    for guardian in _eligible_guardians(_matches(number, hashes)):
        if guardian.account is not None:
            _mail_account_exists(message_id, guardian, now=now)
        elif guardian.email:
            _mail_key(message_id, guardian, now=now)


def _mail_key(message_id: str, guardian: GuardianRecord, *, now: datetime) -> None:
    with mail.once(f"{message_id}#{guardian.guardian_id}", now=now) as send:
        if send is None or not _within_day("key", message_id, guardian, now=now):
            return
        issued = _issue(guardian, now=now)
        send_key(send, guardian, issued, now=now)


def _mail_account_exists(message_id: str, guardian: GuardianRecord, *, now: datetime) -> None:
    account = accounts.read_account(guardian.account or "-")
    if account is None or not account.email:
        return
    with mail.once(f"{message_id}#{guardian.guardian_id}", now=now) as send:
        if send is None or not _within_day("account", message_id, guardian, now=now):
            return
        send(
            account.email,
            "account-exists",
            languages=mail.languages_of(guardian, account),
            data={"name": guardian.given_name, "username": account.username},
        )


def _within_day(kind: str, message_id: str, guardian: GuardianRecord, *, now: datetime) -> bool:
    """Count one mail of a kind for a guardian, once a message, and say whether it may go out."""
    counted = mail.first_time(f"count#{message_id}#{guardian.guardian_id}", now=now)
    if not counted:
        return True
    try:
        limits.of("key-mails-per-guardian", f"{kind}#{guardian.guardian_id}", now=now)
    except errors.TooManyTries:
        return False
    return True


def send_key(send: mail.Send, guardian: GuardianRecord, issued: KeyState, *, now: datetime) -> None:
    """Mail a guardian a fresh key at the roster address, and note for admins that it was sent."""
    assert guardian.email is not None
    assert issued.activation_key is not None
    sent = send(
        guardian.email,
        "activation-key",
        languages=mail.languages_of(guardian),
        data={
            "name": guardian.given_name,
            "students": _given_names(guardian),
            "activation_key": issued.activation_key,
            "expires_on": _expires_on(issued),
        },
    )
    if sent:
        roster.set_mail_state(guardian.guardian_id, "sent", now)


def _expires_on(issued: KeyState) -> date:
    return district.preferences().day(issued.expires_at)


# --- on the screen ------------------------------------------------------------


def _screen_is_open(*, now: datetime) -> bool:
    """Whether the day's misses left screen mode open: a guesser must not read the whole district."""
    return limits.room_left("screen-misses", "district", now=now)


def _show_keys(number: str, last4: str, *, now: datetime) -> tuple[ShownKey, ...] | None:
    hashes = last_four.hashes_by_secret(aws.keyring(), number, last4)
    guardians = _eligible_guardians(_matches(number, hashes))
    if not guardians:
        try:
            limits.of("screen-misses", "district", now=now)
        except errors.TooManyTries:
            return None
        if not _screen_is_open(now=now):
            logs.event("screen-misses-exhausted", level="error")
        raise errors.NoMatch
    # Of one household id, and at one address as far as the roster has it: who lives apart must not
    # get the other's key (as on the household's page, `household.key_of`).
    homes = {(one.household_id, contact_details.address_key(asdict(one))) for one in guardians}
    if len(homes) != 1 or any(one.household_id is None for one in guardians):
        return None
    return tuple(
        ShownKey(
            guardian=_initials(guardian),
            activation_key=None if guardian.account else _issue(guardian, now=now).activation_key,
        )
        for guardian in guardians
    )


def _initials(guardian: GuardianRecord) -> str:
    names = (guardian.given_name, guardian.family_name)
    return " ".join(f"{name[0]}." for name in names if name)


# --- issuing and revoking -----------------------------------------------------


def issue_for_admin(guardian_id: str, *, deliver: str, now: datetime) -> KeyState:
    """Issue a key for the console: mailed to the roster address, or returned.

    Raises:
        NoSuchGuardian: nobody of that id has access.
        AccountExists: the guardian has an account.
        NoAddress: to be mailed, but the roster has no address.
    """
    guardian = roster.guardian_partition(guardian_id)
    if guardian is None or not guardian.students:
        raise errors.NoSuchGuardian
    if guardian.account is not None:
        raise errors.AccountExists
    if deliver == "return":
        return _issue(guardian, now=now)
    if not guardian.email:
        raise errors.NoAddress
    aws.queue_mail({"kind": "activation-key", "id": crypto.new_id(), "guardian_id": guardian_id})
    return KeyState(state=activation_keys.ISSUED, expires_at=_end_of_a_key(now))


def mail_key_for_admin(message_id: str, guardian_id: str, *, now: datetime) -> None:
    """Mail the key that an admin ordered; the worker makes it, so that no queue holds a key."""
    guardian = roster.guardian_partition(guardian_id)
    if guardian is None or not guardian.students or guardian.account or not guardian.email:
        return
    with mail.once(f"{message_id}#{guardian_id}", now=now) as send:
        if send is not None:
            send_key(send, guardian, _issue(guardian, now=now), now=now)


def _issue(guardian: GuardianRecord, *, now: datetime) -> KeyState:
    """Make a key of the generation that was read with the address it goes to.

    Generation and address stand in one partition and change in one transaction: a key mailed to an
    address that an import just corrected is dead on arrival.
    """
    shown = crypto.new_activation_key()
    symbols = crypto.read_activation_key(shown)
    assert symbols is not None
    expires_at = _end_of_a_key(now)
    activation_keys.issue_key(
        aws.keyring().hash("activation-key", symbols),
        guardian_id=guardian.guardian_id,
        key_generation=guardian.key_generation,
        expires_at=int(expires_at.timestamp()),
        now=now,
    )
    logs.event("activation-key-issued", guardian=guardian.guardian_id)
    return KeyState(state=activation_keys.ISSUED, expires_at=expires_at, activation_key=shown)


def _end_of_a_key(now: datetime) -> datetime:
    return now + timedelta(days=district.preferences().key_lifetime_days)


def revoke(guardian_id: str) -> int:
    """End every unused key of a guardian at once and return how many the index found.

    Raises:
        NoSuchGuardian: the roster has nobody of that id.
    """
    if roster.guardian_partition(guardian_id) is None:
        raise errors.NoSuchGuardian
    return activation_keys.revoke_keys(guardian_id)


# --- using a key --------------------------------------------------------------


def check_key(typed: str, *, ip: str, now: datetime) -> list[str]:
    """Return the given names of the students that a key opens; consumes nothing.

    Raises:
        TooManyTries: ten bad keys from this IP in an hour.
        ActivationKeyInvalid: unknown, mistyped, used, revoked and expired alike.
    """
    counted = limits.from_ip("bad-keys-per-ip", ip, now=now)
    _, guardian = _open(_find(typed), now=now)
    limits.give_back(counted)
    return _given_names(guardian)


def create_account(
    typed: str, username: str, password: str, verify_password: str, *, ip: str, now: datetime
) -> str:
    """Make an account with an activation key and return its username.

    The key is judged before anything else, so that only a good one learns whether a username is taken
    or what a password lacks. Posted again within ten minutes with the same key, username and password
    it answers as the first time.

    Raises:
        TooManyTries: ten bad keys from this IP, or thirty tries with this key, in an hour.
        ActivationKeyInvalid: unknown, mistyped, used, revoked and expired alike.
        Invalid, UsernameTaken: the fields at fault.
    """
    counted = limits.from_ip("bad-keys-per-ip", ip, now=now)
    key = _find(typed)
    if key is not None and _is_fresh_use(key, now):
        limits.of("tries-per-key", key.key_hash, now=now)
        repeated = _repeated(key, username, password)
        limits.give_back(counted)
        return repeated
    try:
        good, guardian = _open(key, now=now)
    except errors.ActivationKeyInvalid:
        # Between the reads of key and guardian the very same form may have used the key.
        used = activation_keys.read_key([key.key_hash]) if _was_open(key, now) else None
        if used is None or not _is_fresh_use(used, now):
            raise
        repeated = _repeated(used, username, password)
        limits.give_back(counted)
        return repeated
    limits.give_back(counted)
    limits.of("tries-per-key", good.key_hash, now=now)
    faults = _faults(username, password, verify_password)
    if faults:
        raise errors.Invalid(errors=[*_taken(username), *faults])
    return _create(good, guardian, username, password, now=now)


def _find(typed: str) -> ActivationKey | None:
    symbols = crypto.read_activation_key(typed)
    if symbols is None:
        return None
    return activation_keys.read_key(aws.keyring().hashes("activation-key", symbols))


def _open(key: ActivationKey | None, *, now: datetime) -> tuple[ActivationKey, GuardianRecord]:
    """Return a key that opens something now, with its guardian; the transaction judges it again."""
    if (
        key is not None
        and key.state == activation_keys.ISSUED
        and key.expires_at > now.timestamp()
        and (guardian := roster.guardian_partition(key.guardian_id)) is not None
        and guardian.key_generation == key.key_generation
        and guardian.account is None
        and guardian.students
    ):
        return key, guardian
    logs.event("activation-key-refused")
    raise errors.ActivationKeyInvalid


def _was_open(key: ActivationKey | None, now: datetime) -> TypeGuard[ActivationKey]:
    return (
        key is not None and key.state == activation_keys.ISSUED and key.expires_at > now.timestamp()
    )


def _faults(username: str, password: str, verify_password: str) -> list[FieldError]:
    return [
        *credentials.username_faults(username),
        *credentials.password_faults(
            password, verify_password, username=username, preferences=district.preferences()
        ),
    ]


def _taken(username: str) -> list[FieldError]:
    """Return that a username is taken, so that all is said at once; the transaction decides it."""
    wanted = credentials.username_key(username)
    is_taken = wanted is not None and accounts.read_account(wanted) is not None
    return list(errors.UsernameTaken().errors) if is_taken else []


def _create(
    key: ActivationKey, guardian: GuardianRecord, username: str, password: str, *, now: datetime
) -> str:
    new = NewAccount(
        username=username,
        username_key=username.lower(),
        account_id=crypto.new_id(),
        guardian_id=guardian.guardian_id,
        password_hash=crypto.hash_password(password),
        email=guardian.email,
        address_hash=addresses.hashed(guardian.email),
    )
    # Queued before the account is made: a crash in between loses no mail, and the worker sends none
    # for an account that never came to be.
    mail.queue_account_created(new.username_key, new.account_id, now=now)
    try:
        accounts.create_account(new, key, now=now)
    except errors.ActivationKeyInvalid:
        # Lost a race: perhaps against the very same form, posted twice at once.
        used = activation_keys.read_key([key.key_hash])
        if used is not None and _is_fresh_use(used, now):
            return _repeated(used, username, password)
        raise
    logs.event("account-created", account=new.account_id)
    return username


def _is_fresh_use(key: ActivationKey, now: datetime) -> bool:
    used_at = key.used_at
    return (
        key.state == activation_keys.USED
        and used_at is not None
        and now - datetime.fromtimestamp(used_at, UTC) < timedelta(seconds=policy.REPEAT_SECONDS)
    )


def _repeated(key: ActivationKey, username: str, password: str) -> str:
    """Return the username where a used key comes again with its own username and password."""
    account = accounts.read_account(key.used_for or "-")
    same_name = account is not None and account.username_key == username.lower()
    stored = account.password_hash if account is not None and same_name else None
    if not crypto.password_matches(stored, password) or account is None:
        raise errors.ActivationKeyInvalid
    return account.username


def _given_names(guardian: GuardianRecord) -> list[str]:
    student_ids = [link.student_id for link in guardian.students]
    return sorted(summary.given_name for summary in roster.student_summaries(student_ids))
