"""Signing in and out, sessions, and what an admin does to an account."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from chalicelib import crypto, errors, logs, policy
from chalicelib.domain import addresses, credentials, devices, limits, mail, recovery
from chalicelib.errors import FieldError
from chalicelib.storage import account_changes, accounts, aws, counters, district, sessions
from chalicelib.storage.values import Account, Session

# The account may change while a password is checked; then it is judged anew, this often at most.
_ROUNDS = 3


@dataclass(frozen=True)
class SignedIn:
    """A new session: its token, and what the guardian is told on arrival (ASVS 6.3.5)."""

    token: str
    username: str
    last_sign_in: datetime | None
    failed_since: int
    lasts_seconds: int
    device_cookie: tuple[str, str]


@dataclass(frozen=True)
class Device:
    """What a device shows of itself: kind in words, and our cookies by name."""

    name: str
    cookie: Callable[[str], str | None]


@dataclass(frozen=True)
class SessionTimes:
    """When a session ends: unused, and in any case (UTC)."""

    idle_until: datetime
    ends_at: datetime


# --- signing in ---------------------------------------------------------------


def sign_in(
    username: str,
    password: str,
    *,
    ip: str,
    device: Device,
    carried: str | None,
    now: datetime,
    repeated: bool = False,
) -> SignedIn:
    """Check a password and begin a session.

    A name that nobody has costs the same calls and the same hash as a wrong password. Tries count
    before the hash, so that many at once can't outrun the limit, and are given back where the password
    was right. A session that the request carried ends. `repeated` is the same form posted again, of
    which no mail tells a second time.

    Raises:
        TooManyTries: the limits of the IP, the name, or the name from this IP.
        SignInFailed: no such name, or a wrong password.
        AccountDisabled, PasswordResetRequired, LockedOut: only after the right password.
    """
    name = name_of(username)
    cookie = device.cookie(devices.cookie_name(name))
    signed = devices.is_signed(name, cookie)
    from_ip = limits.from_ip("sign-in-failures-per-ip", ip, now=now)
    of_name = limits.of_name(name, ip, known_device=signed, now=now)
    account = accounts.read_account(name)
    known = signed and devices.is_current(account, cookie)
    if signed and not known:
        limits.refuse_beyond_name(of_name)
    checked = _checked(account, password)
    if checked is None:
        accounts.count_failure(name)
        logs.event("sign-in-failed")
        raise errors.SignInFailed
    try:
        signed_in = begin_session(
            checked,
            device=device.name,
            known=known or repeated,
            password=password,
            again=lambda: _checked(accounts.read_account(name), password),
            now=now,
        )
    finally:
        # Right, whatever follows: a disabled account's owner isn't guessing.
        limits.give_back(of_name)
        limits.give_back(from_ip)
    end_earlier_sessions(name, carried)
    return signed_in


def name_of(username: str) -> str:
    """Return what a typed name counts and is looked up as; one that can't be is looked up alike.

    A phone's keyboard puts a space behind the word it suggests.
    """
    return credentials.username_key(username.strip()) or "-" + crypto.digest(username)


def _checked(account: Account | None, password: str) -> Account | None:
    fits = crypto.password_matches(account.password_hash if account else None, password)
    return account if fits else None


def begin_session(
    account: Account | None,
    *,
    device: str,
    known: bool,
    password: str | None,
    sso_link: str | None = None,
    again: Callable[[], Account | None],
    now: datetime,
) -> SignedIn:
    """Begin a session for whoever proved the account theirs, by its password or by single sign-on.

    Where the account changed meanwhile, `again` reads and judges it anew; None means no more.

    Raises:
        SignInFailed: it isn't theirs any more.
        AccountDisabled, PasswordResetRequired, LockedOut: it is, and it is shut.
    """
    for _ in range(_ROUNDS):
        if account is None:
            break
        _refuse_closed(account)
        token = crypto.new_token()
        preferences = district.preferences()
        lasts = timedelta(hours=preferences.session_hours)
        stale = password is not None and crypto.needs_rehash(account.password_hash)
        if not known:
            # Queued before the session is made; none is sent for a sign-in that never came to be.
            mail.queue_notice(
                "new-device",
                account,
                proof={"last_sign_in": int(now.timestamp())},
                now=now,
                device=device or None,
                at=int(now.timestamp()),
            )
        try:
            sessions.begin_session(
                aws.keyring().hash("session", token),
                account,
                device=device,
                rehashed=crypto.hash_password(password) if password and stale else None,
                # Under the secret's current version: an older one retires (security row S85).
                address_hash=addresses.hashed(account.email),
                sso_link=sso_link,
                purge_at=int((now + lasts).timestamp()),
                unlocked=_lockouts(account, preferences, now),
                now=now,
            )
        except sessions.AddressLocked as error:
            logs.event("sign-in-refused", account=account.account_id, reason="locked-out")
            raise errors.LockedOut(locked_until=_locked_until(account, preferences, now)) from error
        except accounts.AccountChanged:
            account = again()
            continue
        logs.event("sign-in-succeeded", account=account.account_id)
        return SignedIn(
            token=token,
            username=account.username,
            last_sign_in=None if account.last_sign_in is None else instant(account.last_sign_in),
            failed_since=account.failures,
            lasts_seconds=int(lasts.total_seconds()),
            device_cookie=(devices.cookie_name(account.username_key), devices.cookie(account)),
        )
    raise errors.SignInFailed


def _lockouts(
    account: Account, preferences: policy.Preferences, now: datetime
) -> list[tuple[str, str]]:
    """Return the counters that may lock an account out of signing in (guide): its address's, today."""
    if preferences.lockout_scope != "account" or not account.email:
        return []
    day = preferences.day(now).isoformat()
    return [(address_hash, day) for address_hash in addresses.hashes(account.email)]


def _locked_until(account: Account, preferences: policy.Preferences, now: datetime) -> datetime:
    address_hashes = [one for one, _ in _lockouts(account, preferences, now)]
    day = preferences.day(now).isoformat()
    until = counters.locked_until(address_hashes, day=day, now=now)
    return until or preferences.next_midnight(now)


def end_earlier_sessions(username_key: str, carried: str | None) -> None:
    """End the session that a sign-in's request carried, and keep the account's bounded.

    The index is read late, so one more may live for a while.
    """
    if carried:
        sign_out(carried)
    for session_hash in sessions.sessions_of(username_key)[: -policy.SESSIONS_PER_ACCOUNT]:
        sessions.end_session(session_hash)


def _refuse_closed(account: Account) -> None:
    if account.state == accounts.DISABLED:
        logs.event("sign-in-refused", account=account.account_id, reason="account-disabled")
        raise errors.AccountDisabled
    if account.state == accounts.RESET_REQUIRED:
        logs.event("sign-in-refused", account=account.account_id, reason="password-reset-required")
        recovery.queue_reset_link(account.username_key)
        raise errors.PasswordResetRequired


def sign_out(token: str) -> None:
    """End a session in the table; a token that is none costs the same."""
    for session_hash in aws.keyring().hashes("session", token):
        sessions.end_session(session_hash)


# --- sessions -----------------------------------------------------------------


def use_session(token: str | None, *, now: datetime) -> Session:
    """Return the session of a token and move its last-seen time; the account is judged with the page.

    Raises:
        SignInRequired: no token, or a session that is over.
    """
    if token:
        preferences = district.preferences()
        seen_after = now - timedelta(minutes=preferences.session_idle_minutes)
        made_after = now - timedelta(hours=preferences.session_hours)
        for session_hash in aws.keyring().hashes("session", token):
            session = sessions.use_session(
                session_hash,
                seen_after=int(seen_after.timestamp()),
                made_after=int(made_after.timestamp()),
                now=now,
            )
            if session is not None:
                return session
    raise errors.SignInRequired


def look_at_session(token: str | None, *, now: datetime) -> Session:
    """Return the session of a token without moving anything.

    Raises:
        SignInRequired: no token, or a session that is over.
    """
    for session_hash in aws.keyring().hashes("session", token) if token else []:
        session = sessions.read_session(session_hash)
        if session is not None:
            times = session_times(session)
            if now < times.idle_until and now < times.ends_at:
                return session
    raise errors.SignInRequired


def session_times(session: Session) -> SessionTimes:
    """Return when a session ends by today's preferences, from its stored times."""
    preferences = district.preferences()
    seen = datetime.fromtimestamp(session.last_seen, UTC)
    made = datetime.fromtimestamp(session.created_at, UTC)
    ends = made + timedelta(hours=preferences.session_hours)
    return SessionTimes(min(seen + timedelta(minutes=preferences.session_idle_minutes), ends), ends)


def refuse_ended(session: Session, account: Account | None, all_ended_at: int) -> Account:
    """Return the account of a session that still stands.

    Disabling, deleting and resetting move the account's generation on, which ends its sessions at
    once, whether or not an index finds them (security row S35).

    Raises:
        SignInRequired: the account is gone, another, not active, or ended its sessions.
    """
    if (
        account is None
        or account.account_id != session.account_id
        or account.session_generation != session.session_generation
        or account.state != accounts.ACTIVE
        or session.created_at <= all_ended_at
    ):
        raise errors.SignInRequired
    return account


def require_account(session: Session) -> Account:
    """Read the account of a session that still stands, where the page reads nothing else.

    Raises:
        SignInRequired: see `refuse_ended`.
    """
    return refuse_ended(
        session, accounts.read_account(session.username_key), sessions.all_ended_at()
    )


# --- the guardian's own account ---------------------------------------------------------


def open_sessions(account: Account, *, now: datetime) -> list[Session]:
    """Return an account's sessions that aren't over, the newest first."""
    alive = [one for one in sessions.open_sessions(account) if _is_alive(one, now)]
    return sorted(alive, key=lambda one: one.last_seen, reverse=True)


def _is_alive(session: Session, now: datetime) -> bool:
    times = session_times(session)
    return now < times.idle_until and now < times.ends_at


def prove(
    account: Account, current_password: str, *, ip: str, device: Device, now: datetime
) -> None:
    """Check the password of somebody who is signed in; a wrong one counts as a failed sign-in.

    As at sign-in a known device is spared the name's total: strangers' failures must not keep the
    parent from putting a thief out.

    Raises:
        TooManyTries: the limits of signing in.
        Invalid: it is missing or wrong.
    """
    if not current_password:
        raise errors.Invalid(errors=[FieldError("current_password", "required")])
    from_ip = limits.from_ip("sign-in-failures-per-ip", ip, now=now)
    known = devices.is_known(account, device.cookie(devices.cookie_name(account.username_key)))
    of_name = limits.of_name(account.username_key, ip, known_device=known, now=now)
    if not crypto.password_matches(account.password_hash, current_password):
        accounts.count_failure(account.username_key)
        logs.event("sign-in-failed")
        raise errors.Invalid(errors=[FieldError("current_password", "wrong")])
    limits.give_back(of_name)
    limits.give_back(from_ip)


def change_password(
    session: Session,
    account: Account,
    current_password: str,
    password: str,
    verify_password: str,
    *,
    ip: str,
    device: Device,
    now: datetime,
) -> None:
    """Set a new password; every other session, open link and known device ends.

    Raises:
        TooManyTries, Invalid: see `prove`, and what the new password lacks.
        SignInRequired: the account changed meanwhile.
    """
    prove(account, current_password, ip=ip, device=device, now=now)
    credentials.require_password(
        password,
        verify_password,
        username=account.username,
        preferences=district.preferences(),
    )
    mail.queue_notice(
        "password-changed",
        account,
        proof={"password_generation": account.password_generation + 1},
        event=f"password#{account.password_generation + 1}",
        now=now,
    )
    try:
        account_changes.change_password(
            account,
            crypto.hash_password(password),
            keep_session=session.session_hash,
        )
    except accounts.AccountChanged as error:
        raise errors.SignInRequired from error
    logs.event("password-changed", account=account.account_id)


def end_other_sessions(session: Session, account: Account) -> None:
    """End every session of an account but the one that asks.

    Raises:
        SignInRequired: the account changed meanwhile.
    """
    try:
        account_changes.end_other_sessions(account, session.session_hash)
    except accounts.AccountChanged as error:
        raise errors.SignInRequired from error
    for session_hash in sessions.sessions_of(account.username_key):
        if session_hash != session.session_hash:
            sessions.end_session(session_hash)


# --- what an admin does -------------------------------------------------------


def find(username: str) -> Account:
    """Return an account by its name, in any case.

    Raises:
        NoSuchAccount: nobody has it.
    """
    key = credentials.username_key(username)
    account = accounts.read_account(key) if key else None
    if account is None:
        raise errors.NoSuchAccount
    return account


def disable(username: str, *, now: datetime) -> Account:
    """Shut an account: no session on any way, open ones end at once; the guardian is told."""
    return _set_state(username, lambda _: accounts.DISABLED, now=now)


def enable(username: str, *, now: datetime) -> Account:
    """Open a disabled account again; one whose password is over waits for a new one."""

    def opened(account: Account) -> str | None:
        if account.state != accounts.DISABLED:
            return None
        return accounts.RESET_REQUIRED if account.must_reset else accounts.ACTIVE

    return _set_state(username, opened, now=now)


def require_reset(username: str, *, now: datetime) -> Account:
    """End an account's sessions and its password: only a mailed link makes a new one.

    A disabled account stays disabled: what shut it is for an admin to take back.
    """

    def shut(account: Account) -> str:
        is_disabled = account.state == accounts.DISABLED
        return accounts.DISABLED if is_disabled else accounts.RESET_REQUIRED

    return _set_state(username, shut, must_reset=True, now=now)


def _set_state(
    username: str,
    state_of: Callable[[Account], str | None],
    *,
    must_reset: bool = False,
    now: datetime,
) -> Account:
    """Change an account to the state that follows from its present one; None leaves it as it is."""
    for _ in range(_ROUNDS):
        account = find(username)
        state = state_of(account)
        if state is None:
            return account
        try:
            accounts.set_state(account, state, must_reset=must_reset)
        except accounts.AccountChanged:
            continue
        mail.queue_notice("account-state-changed", account, proof={}, now=now, state=state)
        if state == accounts.RESET_REQUIRED:
            recovery.queue_reset_link(account.username_key)
        return find(username)
    raise errors.Unavailable


def delete(username: str) -> Account:
    """Remove an account; its guardian can make another with a new key, old keys stay dead."""
    account = find(username)
    accounts.delete_account(account)
    for session_hash in sessions.sessions_of(account.username_key):
        sessions.end_session(session_hash)
    return account


def end_sessions(username: str) -> int:
    """End every session of an account at once and return how many there were."""
    account = find(username)
    accounts.end_account_sessions(account)
    found = sessions.sessions_of(account.username_key)
    for session_hash in found:
        sessions.end_session(session_hash)
    return len(found)


def end_everybodys_sessions(*, now: datetime) -> int:
    """End every session of the portal at once and return how many there were."""
    return sessions.end_all_sessions(now=now)


def instant(seconds: int) -> datetime:
    """Return a stored time as an instant (UTC)."""
    return datetime.fromtimestamp(seconds, UTC)
