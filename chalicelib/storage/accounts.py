"""The tables `activation-keys`, `accounts` and `sessions`, which change together.

With them the guardian's `access` item of the table `roster`, which carries `key_generation` (a key of
an older generation is dead) and the guardian's account. Every race is closed by the condition of a
write; each says which one.
"""

import contextlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime

from pynamodb.attributes import NumberAttribute, UnicodeAttribute
from pynamodb.exceptions import DeleteError, UpdateError
from pynamodb.expressions.condition import Condition
from pynamodb.expressions.update import Action
from pynamodb.indexes import GlobalSecondaryIndex, KeysOnlyProjection
from pynamodb.models import Model
from pynamodb.transactions import TransactWrite

from chalicelib import errors, settings
from chalicelib.storage import counters, links, locks, tables

ISSUED, USED, REVOKED = "issued", "used", "revoked"
# Never stored: an issued key is expired by its time alone.
EXPIRED = "expired"
ACTIVE, DISABLED, RESET_REQUIRED = "active", "disabled", "reset-required"
FROM_ROSTER, FROM_GUARDIAN = "roster", "guardian"

# TTL only tidies, some time after the item stopped to matter.
_KEEP_SECONDS = 2 * 86400
# The item of the table `sessions` that ends every session made before it.
_ALL = "all"


class _Meta:
    connect_timeout_seconds = tables.CONNECT_SECONDS
    read_timeout_seconds = tables.READ_SECONDS
    max_retry_attempts = tables.RETRIES


# --- models -------------------------------------------------------------------


class _KeysByGuardian(GlobalSecondaryIndex["_ActivationKey"]):  # type: ignore[no-untyped-call]
    class Meta:
        index_name = "by-guardian"
        projection = KeysOnlyProjection()

    guardian_id = UnicodeAttribute(hash_key=True)
    issued_at = NumberAttribute(range_key=True)


class _ActivationKey(Model):
    class Meta(_Meta):
        table_name = settings.name("activation-keys")

    key_hash = UnicodeAttribute(hash_key=True)
    guardian_id = UnicodeAttribute()
    key_generation = NumberAttribute()
    state = UnicodeAttribute()
    issued_at = NumberAttribute()
    expires_at = NumberAttribute()
    used_at = NumberAttribute(null=True)
    used_for = UnicodeAttribute(null=True)
    purge_at = NumberAttribute()
    by_guardian = _KeysByGuardian()


class _AccountsByAddress(GlobalSecondaryIndex["_Account"]):  # type: ignore[no-untyped-call]
    class Meta:
        index_name = "by-address"
        projection = KeysOnlyProjection()

    address_hash = UnicodeAttribute(hash_key=True)


class _AccountsByLock(GlobalSecondaryIndex["_Account"]):  # type: ignore[no-untyped-call]
    """Only locked accounts, by the hour their lockout ends."""

    class Meta:
        index_name = "by-lock"
        projection = KeysOnlyProjection()

    lock_bucket = UnicodeAttribute(hash_key=True)


class _Account(Model):
    class Meta(_Meta):
        table_name = settings.name("accounts")

    username_key = UnicodeAttribute(hash_key=True)
    username = UnicodeAttribute()
    account_id = UnicodeAttribute()
    guardian_id = UnicodeAttribute()
    email = UnicodeAttribute(null=True)
    email_source = UnicodeAttribute()
    address_hash = UnicodeAttribute(null=True)
    state = UnicodeAttribute()
    password_hash = UnicodeAttribute()
    session_generation = NumberAttribute()
    locked_until = NumberAttribute(null=True)
    created_at = NumberAttribute()
    last_sign_in = NumberAttribute(null=True)
    failures = NumberAttribute(default=0)
    # Moved on by whatever ends open links: a use, a new password, another address or state.
    link_generation = NumberAttribute(default=0)
    # Moved on by a new password; known devices are bound to it.
    password_generation = NumberAttribute(default=0)
    # The one link that may confirm an address: the newest.
    pending_link = UnicodeAttribute(null=True)
    # "This wasn't me" links made up to then are over.
    not_me_after = NumberAttribute(null=True)
    # What became of mails to the address, where the guardian sees it.
    mail_state = UnicodeAttribute(null=True)
    lock_bucket = UnicodeAttribute(null=True)
    by_address = _AccountsByAddress()
    by_lock = _AccountsByLock()


class _SessionsByAccount(GlobalSecondaryIndex["_Session"]):  # type: ignore[no-untyped-call]
    class Meta:
        index_name = "by-account"
        projection = KeysOnlyProjection()

    username_key = UnicodeAttribute(hash_key=True)
    created_at = NumberAttribute(range_key=True)


class _Session(Model):
    class Meta(_Meta):
        table_name = settings.name("sessions")

    session_hash = UnicodeAttribute(hash_key=True)
    username_key = UnicodeAttribute(null=True)
    account_id = UnicodeAttribute(null=True)
    guardian_id = UnicodeAttribute(null=True)
    session_generation = NumberAttribute(null=True)
    created_at = NumberAttribute()
    last_seen = NumberAttribute(null=True)
    device = UnicodeAttribute(null=True)
    purge_at = NumberAttribute(null=True)
    by_account = _SessionsByAccount()


class _Access(Model):
    """The guardian's item of the table `roster` that isn't the roster's."""

    class Meta(_Meta):
        table_name = settings.name("roster")

    pk = UnicodeAttribute(hash_key=True)
    sk = UnicodeAttribute(range_key=True)
    key_generation = NumberAttribute(default=0)
    account = UnicodeAttribute(null=True)


def _access(guardian_id: str) -> _Access:
    return _Access(f"guardian#{guardian_id}", "access")


# --- values -------------------------------------------------------------------


@dataclass(frozen=True)
class ActivationKey:
    """An activation key as stored; times in epoch seconds."""

    key_hash: str
    guardian_id: str
    key_generation: int
    state: str
    issued_at: int
    expires_at: int
    used_at: int | None
    used_for: str | None


@dataclass(frozen=True)
class Account:
    """An account as stored; times in epoch seconds."""

    username_key: str
    username: str
    account_id: str
    guardian_id: str
    email: str | None
    email_source: str
    address_hash: str | None
    state: str
    password_hash: str
    session_generation: int
    locked_until: int | None
    created_at: int
    last_sign_in: int | None
    failures: int
    link_generation: int
    password_generation: int
    pending_link: str | None
    not_me_after: int | None
    mail_state: str | None


@dataclass(frozen=True)
class Session:
    """A session as stored; times in epoch seconds."""

    session_hash: str
    username_key: str
    account_id: str
    guardian_id: str
    session_generation: int
    created_at: int
    last_seen: int
    device: str


@dataclass(frozen=True)
class NewAccount:
    """What an account begins with."""

    username: str
    username_key: str
    account_id: str
    guardian_id: str
    password_hash: str
    email: str | None
    address_hash: str | None


# --- activation keys ----------------------------------------------------------


def issue_key(
    key_hash: str, *, guardian_id: str, key_generation: int, expires_at: int, now: datetime
) -> None:
    """Store a fresh key of a guardian, bound to the generation that was read before."""
    _ActivationKey(
        key_hash,
        guardian_id=guardian_id,
        key_generation=key_generation,
        state=ISSUED,
        issued_at=int(now.timestamp()),
        expires_at=expires_at,
        purge_at=expires_at + _KEEP_SECONDS,
    ).save(condition=_ActivationKey.key_hash.does_not_exist())


def read_key(key_hashes: list[str]) -> ActivationKey | None:
    """Return the key stored under one of the hashes (one for each live secret), read consistently."""
    for item in _ActivationKey.batch_get(key_hashes, consistent_read=True):
        return _key(item)
    return None


def newest_key(guardian_id: str) -> ActivationKey | None:
    """Return the key issued last to a guardian; the index is read late, so only for showing."""
    newest = _ActivationKey.by_guardian.query(guardian_id, scan_index_forward=False, limit=1)
    for found in newest:
        return read_key([found.key_hash])
    return None


def end_unused_keys(guardian_id: str) -> None:
    """Kill every unused key of a guardian at once, whether or not an index knows them.

    The generation on the guardian's item moves on, and no key of an older one opens anything.
    """
    _access(guardian_id).update(actions=[_Access.key_generation.add(1)])


def revoke_keys(guardian_id: str) -> int:
    """End every unused key of a guardian and mark those that the index finds; return how many."""
    end_unused_keys(guardian_id)
    marked = 0
    for found in _ActivationKey.by_guardian.query(guardian_id):
        try:
            _ActivationKey(found.key_hash).update(
                actions=[_ActivationKey.state.set(REVOKED)],
                condition=_ActivationKey.state == ISSUED,
            )
        except UpdateError as error:
            if not tables.condition_failed(error):
                raise
        else:
            marked += 1
    return marked


def key_generation(guardian_id: str) -> tuple[int, str | None]:
    """Return a guardian's key generation and account (folded username), read consistently."""
    item = _access(guardian_id)
    try:
        item.refresh(consistent_read=True)
    except _Access.DoesNotExist:
        return 0, None
    return int(item.key_generation), item.account


# --- accounts -----------------------------------------------------------------


def create_account(new: NewAccount, key: ActivationKey, *, now: datetime) -> None:
    """Make an account with an activation key: one transaction, or nothing.

    Closes the races of one key used at once, of one username claimed at once, of two keys of one
    guardian, and of an import or an admin that ends the guardian's keys meanwhile.

    Raises:
        ActivationKeyInvalid: the key isn't issued any more, is expired or of an older generation, or
            the guardian has an account.
        UsernameTaken: somebody has the username, in whatever case.
    """
    at = int(now.timestamp())

    def write(transaction: TransactWrite) -> None:
        transaction.update(
            _ActivationKey(key.key_hash),
            actions=[
                _ActivationKey.state.set(USED),
                _ActivationKey.used_at.set(at),
                _ActivationKey.used_for.set(new.username_key),
            ],
            condition=(_ActivationKey.state == ISSUED) & (_ActivationKey.expires_at > at),
        )
        # A guardian's first key is issued before any `access` item: absent counts as generation 0.
        same_generation = _Access.key_generation == key.key_generation
        if key.key_generation == 0:
            same_generation |= _Access.key_generation.does_not_exist()
        transaction.update(
            _access(key.guardian_id),
            actions=[_Access.account.set(new.username_key), _Access.key_generation.add(1)],
            condition=same_generation & _Access.account.does_not_exist(),
        )
        transaction.save(
            _Account(
                new.username_key,
                username=new.username,
                account_id=new.account_id,
                guardian_id=new.guardian_id,
                email=new.email,
                email_source=FROM_ROSTER,
                address_hash=new.address_hash,
                state=ACTIVE,
                password_hash=new.password_hash,
                session_generation=0,
                created_at=at,
            ),
            condition=_Account.username_key.does_not_exist(),
        )

    try:
        tables.transact(write)
    except tables.ConditionFailed as error:
        # The put of the account comes first, then the updates of key and guardian. The key is judged
        # before the username (security row S6).
        if error.failed & {1, 2}:
            raise errors.ActivationKeyInvalid from error
        raise errors.UsernameTaken from error


def read_account(username_key: str) -> Account | None:
    """Return an account by its folded username, read consistently."""
    try:
        return _account(_Account.get(username_key, consistent_read=True))
    except _Account.DoesNotExist:
        return None


def accounts_at(address_hashes: list[str]) -> list[str]:
    """Return the folded usernames of an address, found under every live secret."""
    return [
        found.username_key
        for address_hash in address_hashes
        for found in _Account.by_address.query(address_hash)
    ]


def count_failure(username_key: str) -> None:
    """Add one to the failures since the last sign-in; for a name that nobody has the same call."""
    try:
        _Account(username_key).update(
            actions=[_Account.failures.add(1)], condition=_Account.username_key.exists()
        )
    except UpdateError as error:
        if not tables.condition_failed(error):
            raise


def set_state(account: Account, state: str) -> None:
    """Change an account's state; leaving `active` ends every session by its generation.

    Closes the race with deleting and making the name anew: the account is the one that was read.

    Raises:
        NoSuchAccount: the account is gone.
    """
    actions: list[Action] = [_Account.state.set(state), _Account.link_generation.add(1)]
    if state != ACTIVE:
        actions.append(_Account.session_generation.add(1))
    _update_account(account, actions)


def set_mail_state(account: Account, state: str | None) -> None:
    """Note on an account what became of mails to its address; None forgets it."""
    change = _Account.mail_state.remove() if state is None else _Account.mail_state.set(state)
    with contextlib.suppress(errors.NoSuchAccount):
        _update_account(account, [change])


def end_account_sessions(account: Account) -> None:
    """End every session of an account at once, whether or not an index finds them."""
    _update_account(account, [_Account.session_generation.add(1)])


def _update_account(account: Account, actions: list[Action]) -> None:
    try:
        _Account(account.username_key).update(
            actions=actions, condition=_Account.account_id == account.account_id
        )
    except UpdateError as error:
        if not tables.condition_failed(error):
            raise
        raise errors.NoSuchAccount from error


def delete_account(account: Account) -> None:
    """Remove an account and its guardian's link to it, and end the guardian's keys: one transaction.

    Raises:
        NoSuchAccount: the account is gone.
    """

    def write(transaction: TransactWrite) -> None:
        transaction.delete(
            _Account(account.username_key), condition=_Account.account_id == account.account_id
        )
        transaction.update(
            _access(account.guardian_id),
            actions=[_Access.account.remove(), _Access.key_generation.add(1)],
        )

    try:
        tables.transact(write)
    except tables.ConditionFailed as error:
        raise errors.NoSuchAccount from error


# --- sessions -----------------------------------------------------------------


class AccountChanged(Exception):
    """The account isn't any more what the password was checked against; judge it anew."""


class AddressLocked(Exception):
    """The account's address is locked out of signing in."""


def begin_session(
    session_hash: str,
    account: Account,
    *,
    device: str,
    rehashed: str | None,
    address_hash: str | None,
    purge_at: int,
    unlocked: Sequence[tuple[str, str]],
    now: datetime,
) -> None:
    """Make a session and note the sign-in on the account: one transaction.

    Closes the race with a reset, a disabling or a deletion meanwhile: the account must still be active,
    with the password that was checked. None of the counters in `unlocked` (address hash and district
    day) may be locked: the counter decides, not its copy on the account.

    Raises:
        AddressLocked: one of them is.
        AccountChanged: the account isn't what it was.
    """
    at = int(now.timestamp())

    def write(transaction: TransactWrite) -> None:
        for locked_hash, day in unlocked:
            counters.require_unlocked(transaction, locked_hash, day=day, now=now)
        transaction.save(
            _Session(
                session_hash,
                username_key=account.username_key,
                account_id=account.account_id,
                guardian_id=account.guardian_id,
                session_generation=account.session_generation,
                created_at=at,
                last_seen=at,
                device=device,
                purge_at=purge_at + _KEEP_SECONDS,
            ),
            condition=_Session.session_hash.does_not_exist(),
        )
        actions: list[Action] = [_Account.last_sign_in.set(at), _Account.failures.set(0)]
        if rehashed is not None:
            actions.append(_Account.password_hash.set(rehashed))
        if address_hash is not None:
            actions.append(_Account.address_hash.set(address_hash))
        transaction.update(
            _Account(account.username_key),
            actions=actions,
            condition=(_Account.account_id == account.account_id)
            & (_Account.state == ACTIVE)
            & (_Account.password_hash == account.password_hash)
            & (_Account.session_generation == account.session_generation)
            # An address that changed meanwhile keeps its own hash.
            & (_Account.link_generation == account.link_generation),
        )

    try:
        tables.transact(write)
    except tables.ConditionFailed as error:
        if min(error.failed) < len(unlocked):
            raise AddressLocked from error
        raise AccountChanged from error


def use_session(
    session_hash: str, *, seen_after: int, made_after: int, now: datetime
) -> Session | None:
    """Move a session's last-seen time and return it, in one write; None where it is over.

    Idle and absolute end are judged here, from the stored times, whatever TTL does.
    """
    item = _Session(session_hash)
    try:
        item.update(
            actions=[_Session.last_seen.set(int(now.timestamp()))],
            condition=(_Session.last_seen > seen_after) & (_Session.created_at > made_after),
        )
    except UpdateError as error:
        if not tables.condition_failed(error):
            raise
        return None
    return _session(item)


def read_session(session_hash: str) -> Session | None:
    """Return a session without moving its last-seen time, read consistently."""
    try:
        item = _Session.get(session_hash, consistent_read=True)
    except _Session.DoesNotExist:
        return None
    return _session(item) if item.username_key else None


def end_session(session_hash: str) -> None:
    """Remove a session; one that isn't there costs the same call."""
    try:
        _Session(session_hash).delete()
    except DeleteError as error:
        if not tables.condition_failed(error):
            raise


def end_all_sessions(*, now: datetime) -> int:
    """End every session made up to now, and return how many there were (a scan: an admin's act)."""
    at = int(now.timestamp())
    _Session(_ALL, created_at=at).save()
    made_before = _Session.username_key.exists() & (_Session.created_at <= at)
    return sum(
        1 for _ in _Session.scan(made_before, attributes_to_get=["session_hash", "created_at"])
    )


def sessions_of(username_key: str) -> list[str]:
    """Return the hashes of an account's sessions, oldest first; the index is read late."""
    return [found.session_hash for found in _Session.by_account.query(username_key)]


def all_ended_at() -> int:
    """Return the time up to which every session is ended, 0 where that never happened."""
    try:
        return int(_Session.get(_ALL, consistent_read=True).created_at)
    except _Session.DoesNotExist:
        return 0


# --- new passwords, addresses, and links that make them ----------------------------


def change_password(account: Account, password_hash: str, *, keep_session: str) -> None:
    """Set a new password; every session but `keep_session` ends, and so does every open link.

    Closes the race with another change meanwhile: the old password must still be the one checked.

    Raises:
        AccountChanged: it isn't.
    """

    def write(transaction: TransactWrite) -> None:
        _keep(transaction, account, keep_session)
        transaction.update(
            _Account(account.username_key),
            actions=_new_password(password_hash),
            condition=_unchanged(account) & (_Account.password_hash == account.password_hash),
        )

    _transact_or_changed(write)


def reset_password(
    account: Account, password_hash: str, link: links.Link, *, now: datetime
) -> None:
    """Set a new password by a mailed link, which is used up: one transaction.

    Closes the race of one link used at once with different passwords, and of two links: the first use
    moves `link_generation` on, which ends every other.

    Raises:
        AccountChanged: the link is used, or was ended by another use or a change.
    """

    def write(transaction: TransactWrite) -> None:
        links.use(transaction, link, now=now)
        transaction.update(
            _Account(account.username_key),
            actions=[*_new_password(password_hash), _Account.state.set(ACTIVE)],
            condition=_unchanged(account)
            & (_Account.link_generation == link.link_generation)
            & _Account.state.is_in(ACTIVE, RESET_REQUIRED),
        )

    _transact_or_changed(write)


def _new_password(password_hash: str) -> list[Action]:
    return [
        _Account.password_hash.set(password_hash),
        _Account.session_generation.add(1),
        _Account.link_generation.add(1),
        _Account.password_generation.add(1),
        _Account.pending_link.remove(),
    ]


def expect_link(account: Account, link_hash: str) -> bool:
    """Make a link the only one that may confirm an address; False where others were ended since."""
    try:
        _Account(account.username_key).update(
            actions=[_Account.pending_link.set(link_hash)],
            condition=_unchanged(account) & (_Account.link_generation == account.link_generation),
        )
    except UpdateError as error:
        if not tables.condition_failed(error):
            raise
        return False
    return True


def confirm_address(
    account: Account, email: str, address_hash: str, link: links.Link, *, now: datetime
) -> None:
    """Make a confirmed address the one on record, from now on the guardian's own: one transaction.

    Raises:
        AccountChanged: the link is used, replaced by a newer one, or ended by a change.
    """

    def write(transaction: TransactWrite) -> None:
        links.use(transaction, link, now=now)
        transaction.update(
            _Account(account.username_key),
            actions=[
                _Account.email.set(email),
                _Account.email_source.set(FROM_GUARDIAN),
                _Account.address_hash.set(address_hash),
                _Account.link_generation.add(1),
                _Account.pending_link.remove(),
                _Account.mail_state.remove(),
            ],
            condition=_unchanged(account)
            & (_Account.link_generation == link.link_generation)
            & (_Account.pending_link == link.link_hash),
        )

    _transact_or_changed(write)


def take_back(
    account: Account, link: links.Link, *, restored_hash: str | None, now: datetime
) -> None:
    """Do what a "this wasn't me" link can, in one transaction.

    Sessions and links end, a new password is asked for, and the address that the mail told of is back.

    Raises:
        AccountChanged: the link is used, or the account changed meanwhile.
    """
    actions: list[Action] = [
        _Account.session_generation.add(1),
        _Account.link_generation.add(1),
        _Account.password_generation.add(1),
        _Account.pending_link.remove(),
        _Account.not_me_after.set(int(now.timestamp())),
    ]
    if account.state == ACTIVE:
        actions.append(_Account.state.set(RESET_REQUIRED))
    if link.restore is not None and restored_hash is not None:
        actions += [
            _Account.email.set(link.restore),
            _Account.email_source.set(link.restore_source or FROM_GUARDIAN),
            _Account.address_hash.set(restored_hash),
            _Account.mail_state.remove(),
        ]

    def write(transaction: TransactWrite) -> None:
        links.use(transaction, link, now=now)
        transaction.update(
            _Account(account.username_key),
            actions=actions,
            condition=_unchanged(account)
            & (_Account.link_generation == account.link_generation)
            & (_Account.state == account.state),
        )

    _transact_or_changed(write)


def end_other_sessions(account: Account, keep_session: str) -> None:
    """End every session of an account but one, at once.

    Raises:
        AccountChanged: the account or the session changed meanwhile.
    """

    def write(transaction: TransactWrite) -> None:
        _keep(transaction, account, keep_session)
        transaction.update(
            _Account(account.username_key),
            actions=[_Account.session_generation.add(1)],
            condition=_unchanged(account),
        )

    _transact_or_changed(write)


def _keep(transaction: TransactWrite, account: Account, session_hash: str) -> None:
    """Take one session along into the generation that ends all others."""
    transaction.update(
        _Session(session_hash),
        actions=[_Session.session_generation.set(account.session_generation + 1)],
        condition=_Session.session_hash.exists(),
    )


def _unchanged(account: Account) -> Condition:
    unchanged: Condition = (_Account.account_id == account.account_id) & (
        _Account.session_generation == account.session_generation
    )
    return unchanged


def _transact_or_changed(write: Callable[[TransactWrite], None]) -> None:
    try:
        tables.transact(write)
    except tables.ConditionFailed as error:
        raise AccountChanged from error


def open_sessions(account: Account) -> list[Session]:
    """Return an account's sessions that its generation doesn't end, oldest first."""
    found = _Session.batch_get(sessions_of(account.username_key), consistent_read=True)
    sessions = [_session(item) for item in found if item.account_id == account.account_id]
    current = [s for s in sessions if s.session_generation == account.session_generation]
    return sorted(current, key=lambda one: (one.created_at, one.session_hash))


# --- the copy of a lockout ----------------------------------------------------------


def copy_lockout(
    username_key: str, *, address_hash: str, day: str, until: datetime, now: datetime
) -> None:
    """Write a lockout onto an account, where admins look, while its counter is locked.

    Closes the race with `unlock_account`: a late worker locks nothing that was unlocked.
    """
    ends = int(until.timestamp())

    def write(transaction: TransactWrite) -> None:
        counters.require_locked(transaction, address_hash, day=day, now=now)
        transaction.update(
            _Account(username_key),
            actions=[
                _Account.locked_until.set(ends),
                _Account.lock_bucket.set(locks.bucket(ends, username_key)),
            ],
            condition=_Account.username_key.exists(),
        )

    with contextlib.suppress(tables.ConditionFailed):
        tables.transact(write)


def clear_lockout(account: Account) -> None:
    """Take the copy of a lockout off an account."""
    _update_account(account, [_Account.locked_until.remove(), _Account.lock_bucket.remove()])


def unlock_due(bucket: str, *, now: datetime) -> Iterator[str]:
    """Unlock the accounts of a bucket whose time has come, yielding each as it is done."""
    for found in _Account.by_lock.query(bucket, page_size=locks.PAGE):
        try:
            _Account(found.username_key).update(
                actions=[_Account.locked_until.remove(), _Account.lock_bucket.remove()],
                condition=_Account.locked_until <= int(now.timestamp()),
            )
        except UpdateError as error:
            if not tables.condition_failed(error):
                raise
        else:
            yield found.username_key


# --- for reads of several tables in one call (signed_in.py) ---------------------


def account_table() -> str:
    """Return the name of the table of accounts."""
    return str(_Account.Meta.table_name)


def account_key(username_key: str) -> dict[str, dict[str, str]]:
    """Return an account's key as the low-level API takes it."""
    return {"username_key": {"S": username_key}}


def account_from(raw: dict[str, dict[str, object]]) -> Account:
    """Return an account from an item as the low-level API gives it."""
    return _account(_Account.from_raw_data(raw))


def session_table() -> str:
    """Return the name of the table of sessions."""
    return str(_Session.Meta.table_name)


def all_sessions_key() -> dict[str, dict[str, str]]:
    """Return the key of the item that ends every session made before it."""
    return {"session_hash": {"S": _ALL}}


def ended_at_from(raw: dict[str, dict[str, object]]) -> int:
    """Return the time of that item as the low-level API gives it."""
    return int(_Session.from_raw_data(raw).created_at)


# --- from items to values -----------------------------------------------------


def _key(item: _ActivationKey) -> ActivationKey:
    return ActivationKey(
        key_hash=item.key_hash,
        guardian_id=item.guardian_id,
        key_generation=int(item.key_generation),
        state=item.state,
        issued_at=int(item.issued_at),
        expires_at=int(item.expires_at),
        used_at=_integer(item.used_at),
        used_for=item.used_for,
    )


def _account(item: _Account) -> Account:
    return Account(
        username_key=item.username_key,
        username=item.username,
        account_id=item.account_id,
        guardian_id=item.guardian_id,
        email=item.email,
        email_source=item.email_source,
        address_hash=item.address_hash,
        state=item.state,
        password_hash=item.password_hash,
        session_generation=int(item.session_generation),
        locked_until=_integer(item.locked_until),
        created_at=int(item.created_at),
        last_sign_in=_integer(item.last_sign_in),
        failures=int(item.failures),
        link_generation=int(item.link_generation),
        password_generation=int(item.password_generation),
        pending_link=item.pending_link,
        not_me_after=_integer(item.not_me_after),
        mail_state=item.mail_state,
    )


def _session(item: _Session) -> Session:
    return Session(
        session_hash=item.session_hash,
        username_key=item.username_key,
        account_id=item.account_id,
        guardian_id=item.guardian_id,
        session_generation=int(item.session_generation or 0),
        created_at=int(item.created_at),
        last_seen=int(item.last_seen or item.created_at),
        device=item.device or "",
    )


def _integer(number: float | None) -> int | None:
    return None if number is None else int(number)
