"""Signing in and out, sessions, and what an admin does to an account."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from chalicelib import crypto, errors, logs, policy
from chalicelib.domain import credentials, limits
from chalicelib.storage import accounts, aws, district
from chalicelib.storage.accounts import Account, Session

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


@dataclass(frozen=True)
class SessionTimes:
    """When a session ends: unused, and in any case (UTC)."""

    idle_until: datetime
    ends_at: datetime


# --- signing in ---------------------------------------------------------------


def sign_in(
    username: str, password: str, *, ip: str, device: str, carried: str | None, now: datetime
) -> SignedIn:
    """Check a password and begin a session.

    A name that nobody has costs the same calls and the same hash as a wrong password. Tries count
    before the hash, so that many at once can't outrun the limit, and are given back where the password
    was right. A session that the request carried ends.

    Raises:
        TooManyTries: the limits of the IP, the name, or the name from this IP.
        SignInFailed: no such name, or a wrong password.
        AccountDisabled, PasswordResetRequired, LockedOut: only after the right password.
    """
    name = credentials.username_key(username) or "-" + crypto.digest(username)
    from_ip = limits.from_ip("sign-in-failures-per-ip", ip, now=now)
    of_name = limits.of_name(name, ip, now=now)
    account = _checked(name, password)
    if account is None:
        accounts.count_failure(name)
        logs.event("sign-in-failed")
        raise errors.SignInFailed
    try:
        signed_in = _begin(account, password, device=device, now=now)
    finally:
        # Right, whatever follows: a disabled account's owner isn't guessing.
        limits.give_back(of_name)
        limits.give_back(from_ip)
    if carried:
        sign_out(carried)
    _end_oldest_sessions(name)
    return signed_in


def _end_oldest_sessions(username_key: str) -> None:
    """Keep an account's sessions bounded; the index is read late, so one more may live for a while."""
    for session_hash in accounts.sessions_of(username_key)[: -policy.SESSIONS_PER_ACCOUNT]:
        accounts.end_session(session_hash)


def _checked(name: str, password: str) -> Account | None:
    account = accounts.read_account(name)
    fits = crypto.password_matches(account.password_hash if account else None, password)
    return account if fits else None


def _begin(account: Account | None, password: str, *, device: str, now: datetime) -> SignedIn:
    for _ in range(_ROUNDS):
        if account is None:
            break
        _refuse_closed(account, now)
        token = crypto.new_token()
        preferences = district.preferences()
        lasts = timedelta(hours=preferences.session_hours)
        stale = crypto.needs_rehash(account.password_hash)
        try:
            accounts.begin_session(
                aws.keyring().hash("session", token),
                account,
                device=device,
                rehashed=crypto.hash_password(password) if stale else None,
                purge_at=int((now + lasts).timestamp()),
                now=now,
            )
        except accounts.AccountChanged:
            account = _checked(account.username_key, password)
            continue
        logs.event("sign-in-succeeded", account=account.account_id)
        return SignedIn(
            token=token,
            username=account.username,
            last_sign_in=_instant(account.last_sign_in),
            failed_since=account.failures,
            lasts_seconds=int(lasts.total_seconds()),
        )
    raise errors.SignInFailed


def _refuse_closed(account: Account, now: datetime) -> None:
    if account.state == accounts.DISABLED:
        logs.event("sign-in-refused", account=account.account_id, reason="account-disabled")
        raise errors.AccountDisabled
    if account.state == accounts.RESET_REQUIRED:
        logs.event("sign-in-refused", account=account.account_id, reason="password-reset-required")
        raise errors.PasswordResetRequired
    until = _instant(account.locked_until)
    if until is not None and until > now:
        logs.event("sign-in-refused", account=account.account_id, reason="locked-out")
        raise errors.LockedOut(locked_until=until)


def sign_out(token: str) -> None:
    """End a session in the table; a token that is none costs the same."""
    for session_hash in aws.keyring().hashes("session", token):
        accounts.end_session(session_hash)


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
            session = accounts.use_session(
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
        session = accounts.read_session(session_hash)
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
        session, accounts.read_account(session.username_key), accounts.all_ended_at()
    )


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


def disable(username: str) -> Account:
    """Shut an account: no session on any way, open ones end at once."""
    accounts.set_state(find(username), accounts.DISABLED)
    return find(username)


def enable(username: str) -> Account:
    """Open a disabled account again; one that waits for a new password goes on waiting."""
    account = find(username)
    if account.state == accounts.DISABLED:
        accounts.set_state(account, accounts.ACTIVE)
    return find(username)


def delete(username: str) -> Account:
    """Remove an account; its guardian can make another with a new key, old keys stay dead."""
    account = find(username)
    accounts.delete_account(account)
    for session_hash in accounts.sessions_of(account.username_key):
        accounts.end_session(session_hash)
    return account


def end_sessions(username: str) -> int:
    """End every session of an account at once and return how many there were."""
    account = find(username)
    accounts.end_account_sessions(account)
    found = accounts.sessions_of(account.username_key)
    for session_hash in found:
        accounts.end_session(session_hash)
    return len(found)


def end_everybodys_sessions(*, now: datetime) -> int:
    """End every session of the portal at once and return how many there were."""
    return accounts.end_all_sessions(now=now)


def _instant(seconds: int | None) -> datetime | None:
    return None if seconds is None else datetime.fromtimestamp(seconds, UTC)
