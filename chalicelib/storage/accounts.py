"""Accounts: made with an activation key, read, shut, locked and removed.

What the guardian changes of one is in `account_changes`. Every race is closed by the condition of a
write; each says which one.
"""

import contextlib
from collections.abc import Iterator
from datetime import datetime

from pynamodb.expressions.update import Action
from pynamodb.transactions import TransactWrite

from chalicelib import errors
from chalicelib.storage import counters, locks, tables
from chalicelib.storage.account_items import (
    AccessItem,
    AccountItem,
    KeyItem,
    access,
    account_from_item,
    subject_item,
)
from chalicelib.storage.activation_keys import ISSUED, USED
from chalicelib.storage.values import Account, ActivationKey, NewAccount

ACTIVE, DISABLED, RESET_REQUIRED = "active", "disabled", "reset-required"
FROM_ROSTER, FROM_GUARDIAN = "roster", "guardian"


class AccountChanged(Exception):
    """The account isn't any more what the password was checked against; judge it anew."""


# --- made, read, removed ------------------------------------------------------


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
            KeyItem(key.key_hash),
            actions=[
                KeyItem.state.set(USED),
                KeyItem.used_at.set(at),
                KeyItem.used_for.set(new.username_key),
            ],
            condition=(KeyItem.state == ISSUED) & (KeyItem.expires_at > at),
        )
        # A guardian's first key is issued before any `access` item: absent counts as generation 0.
        same_generation = AccessItem.key_generation == key.key_generation
        if key.key_generation == 0:
            same_generation |= AccessItem.key_generation.does_not_exist()
        transaction.update(
            access(key.guardian_id),
            actions=[AccessItem.account.set(new.username_key), AccessItem.key_generation.add(1)],
            condition=same_generation & AccessItem.account.does_not_exist(),
        )
        transaction.save(
            AccountItem(
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
            condition=AccountItem.username_key.does_not_exist(),
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
        return account_from_item(AccountItem.get(username_key, consistent_read=True))
    except AccountItem.DoesNotExist:
        return None


def accounts_at(address_hashes: list[str]) -> list[str]:
    """Return the folded usernames of an address, found under every live secret."""
    return [
        found.username_key
        for address_hash in address_hashes
        for found in AccountItem.by_address.query(address_hash)
    ]


def delete_account(account: Account) -> None:
    """Remove an account and its guardian's link to it, and end the guardian's keys: one transaction.

    The link of single sign-on goes with it.

    Raises:
        NoSuchAccount: the account is gone.
    """

    def write(transaction: TransactWrite) -> None:
        transaction.delete(
            AccountItem(account.username_key),
            condition=AccountItem.account_id == account.account_id,
        )
        if account.sso_link is not None:
            transaction.delete(subject_item(account.sso_link))
        transaction.update(
            access(account.guardian_id),
            actions=[AccessItem.account.remove(), AccessItem.key_generation.add(1)],
        )

    try:
        tables.transact(write)
    except tables.ConditionFailed as error:
        raise errors.NoSuchAccount from error


# --- changed by the portal and its admins -------------------------------------


def count_failure(username_key: str) -> None:
    """Add one to the failures since the last sign-in; for a name that nobody has the same call."""
    tables.update_if(
        AccountItem(username_key),
        actions=[AccountItem.failures.add(1)],
        condition=AccountItem.username_key.exists(),
    )


def set_state(account: Account, state: str, *, must_reset: bool = False) -> None:
    """Change an account's state; leaving `active` ends every session by its generation.

    With `must_reset`, and in the state of that name, a new password is asked for from then on, also
    when a disabled account is opened again. Closes the races with another change of the state and
    with deleting and making the name anew: the account is what was read, and none opens whose
    password is over.

    Raises:
        AccountChanged: it isn't, or it is gone.
    """
    actions: list[Action] = [AccountItem.state.set(state), AccountItem.link_generation.add(1)]
    condition = (AccountItem.account_id == account.account_id) & (
        AccountItem.state == account.state
    )
    if state == ACTIVE:
        condition &= AccountItem.must_reset.does_not_exist()
    else:
        actions.append(AccountItem.session_generation.add(1))
    if must_reset or state == RESET_REQUIRED:
        # Whoever knew the password may have linked a sign-on of their own.
        actions += [AccountItem.must_reset.set(True), AccountItem.sso_link.remove()]
    if not tables.update_if(
        AccountItem(account.username_key), actions=actions, condition=condition
    ):
        raise AccountChanged


def set_mail_state(account: Account, state: str | None) -> None:
    """Note on an account what became of mails to its address; None forgets it."""
    change = AccountItem.mail_state.remove() if state is None else AccountItem.mail_state.set(state)
    with contextlib.suppress(errors.NoSuchAccount):
        _update_account(account, [change])


def end_account_sessions(account: Account) -> None:
    """End every session of an account at once, whether or not an index finds them."""
    _update_account(account, [AccountItem.session_generation.add(1)])


def _update_account(account: Account, actions: list[Action]) -> None:
    if not tables.update_if(
        AccountItem(account.username_key),
        actions=actions,
        condition=AccountItem.account_id == account.account_id,
    ):
        raise errors.NoSuchAccount


# --- the copy of a lockout ----------------------------------------------------


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
            AccountItem(username_key),
            actions=[
                AccountItem.locked_until.set(ends),
                AccountItem.lock_bucket.set(locks.bucket(ends, username_key)),
            ],
            condition=AccountItem.username_key.exists(),
        )

    with contextlib.suppress(tables.ConditionFailed):
        tables.transact(write)


def clear_lockout(account: Account) -> None:
    """Take the copy of a lockout off an account."""
    _update_account(account, [AccountItem.locked_until.remove(), AccountItem.lock_bucket.remove()])


def unlock_due(bucket: str, *, now: datetime) -> Iterator[str]:
    """Unlock the accounts of a bucket whose time has come, yielding each as it is done."""
    for found in AccountItem.by_lock.query(bucket, page_size=locks.PAGE):
        if tables.update_if(
            AccountItem(found.username_key),
            actions=[AccountItem.locked_until.remove(), AccountItem.lock_bucket.remove()],
            condition=AccountItem.locked_until <= int(now.timestamp()),
        ):
            yield found.username_key


# --- for reads of several tables in one call (signed_in.py) ---------------------


def account_table() -> str:
    """Return the name of the table of accounts."""
    return str(AccountItem.Meta.table_name)


def account_key(username_key: str) -> dict[str, dict[str, str]]:
    """Return an account's key as the low-level API takes it."""
    return {"username_key": {"S": username_key}}


def account_from(raw: dict[str, dict[str, object]]) -> Account:
    """Return an account from an item as the low-level API gives it."""
    return account_from_item(AccountItem.from_raw_data(raw))
