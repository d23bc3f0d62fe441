"""What guardians change of their accounts: passwords, addresses, and which sessions go on.

By somebody who is signed in, or by a mailed link, which is used up. Each is one transaction that holds
only while the account is the one that was read.
"""

from collections.abc import Callable, Iterable
from datetime import datetime

from pynamodb.expressions.condition import Condition
from pynamodb.expressions.update import Action
from pynamodb.transactions import TransactWrite

from chalicelib.storage import links, tables
from chalicelib.storage.account_items import (
    AccountItem,
    SessionItem,
    spans_text,
    subject_item,
)
from chalicelib.storage.accounts import ACTIVE, FROM_GUARDIAN, RESET_REQUIRED, AccountChanged
from chalicelib.storage.values import Account

# --- passwords ----------------------------------------------------------------


def change_password(account: Account, password_hash: str, *, keep_session: str) -> None:
    """Set a new password; every session but `keep_session` ends, and so does every open link.

    Closes the race with another change meanwhile: the old password must still be the one checked.

    Raises:
        AccountChanged: it isn't.
    """

    def write(transaction: TransactWrite) -> None:
        _keep(transaction, account, keep_session)
        transaction.update(
            AccountItem(account.username_key),
            actions=_new_password(password_hash),
            condition=_unchanged(account) & (AccountItem.password_hash == account.password_hash),
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
            AccountItem(account.username_key),
            actions=[*_new_password(password_hash), AccountItem.state.set(ACTIVE)],
            condition=_unchanged(account)
            & (AccountItem.link_generation == link.link_generation)
            & AccountItem.state.is_in(ACTIVE, RESET_REQUIRED),
        )

    _transact_or_changed(write)


def _new_password(password_hash: str) -> list[Action]:
    return [
        AccountItem.password_hash.set(password_hash),
        AccountItem.session_generation.add(1),
        AccountItem.link_generation.add(1),
        AccountItem.password_generation.add(1),
        AccountItem.pending_link.remove(),
        AccountItem.must_reset.remove(),
    ]


# --- addresses ----------------------------------------------------------------


def expect_link(account: Account, link_hash: str) -> bool:
    """Make a link the only one that may confirm an address; False where others were ended since."""
    return tables.update_if(
        AccountItem(account.username_key),
        actions=[AccountItem.pending_link.set(link_hash)],
        condition=_unchanged(account) & (AccountItem.link_generation == account.link_generation),
    )


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
            AccountItem(account.username_key),
            actions=[
                AccountItem.email.set(email),
                AccountItem.email_source.set(FROM_GUARDIAN),
                AccountItem.address_hash.set(address_hash),
                AccountItem.link_generation.add(1),
                AccountItem.pending_link.remove(),
                AccountItem.mail_state.remove(),
            ],
            condition=_unchanged(account)
            & (AccountItem.link_generation == link.link_generation)
            & (AccountItem.pending_link == link.link_hash),
        )

    _transact_or_changed(write)


def take_back(
    account: Account,
    link: links.Link,
    *,
    restored_hash: str | None,
    not_me_used: Iterable[tuple[int, int]],
    now: datetime,
) -> None:
    """Do what a "this wasn't me" link can, in one transaction.

    Sessions and links end (single sign-on's too), a new password is asked for, and the address that
    the mail told of is back. `not_me_used` are the spans that from now on count, this use included.

    Raises:
        AccountChanged: the link is used, or the account changed meanwhile.
    """
    actions: list[Action] = [
        AccountItem.session_generation.add(1),
        AccountItem.link_generation.add(1),
        AccountItem.password_generation.add(1),
        AccountItem.pending_link.remove(),
        AccountItem.not_me_used.set(spans_text(not_me_used)),
        AccountItem.sso_link.remove(),
        # A disabled account stays so, and asks for it once it is opened.
        AccountItem.must_reset.set(True),
    ]
    if account.state == ACTIVE:
        actions.append(AccountItem.state.set(RESET_REQUIRED))
    if link.restore is not None and restored_hash is not None:
        actions += [
            AccountItem.email.set(link.restore),
            AccountItem.email_source.set(link.restore_source or FROM_GUARDIAN),
            AccountItem.address_hash.set(restored_hash),
            AccountItem.mail_state.remove(),
        ]

    def write(transaction: TransactWrite) -> None:
        links.use(transaction, link, now=now)
        if account.sso_link is not None:
            transaction.delete(subject_item(account.sso_link))
        transaction.update(
            AccountItem(account.username_key),
            actions=actions,
            condition=_unchanged(account)
            & (AccountItem.sso_generation == account.sso_generation)
            & (AccountItem.link_generation == account.link_generation)
            & (AccountItem.state == account.state),
        )

    _transact_or_changed(write)


# --- sessions -----------------------------------------------------------------


def end_other_sessions(account: Account, keep_session: str) -> None:
    """End every session of an account but one, at once.

    Raises:
        AccountChanged: the account or the session changed meanwhile.
    """

    def write(transaction: TransactWrite) -> None:
        _keep(transaction, account, keep_session)
        transaction.update(
            AccountItem(account.username_key),
            actions=[AccountItem.session_generation.add(1)],
            condition=_unchanged(account),
        )

    _transact_or_changed(write)


def _keep(transaction: TransactWrite, account: Account, session_hash: str) -> None:
    """Take one session along into the generation that ends all others."""
    transaction.update(
        SessionItem(session_hash),
        actions=[SessionItem.session_generation.set(account.session_generation + 1)],
        condition=SessionItem.session_hash.exists(),
    )


# --- conditions ---------------------------------------------------------------


def _unchanged(account: Account) -> Condition:
    unchanged: Condition = (AccountItem.account_id == account.account_id) & (
        AccountItem.session_generation == account.session_generation
    )
    return unchanged


def _transact_or_changed(write: Callable[[TransactWrite], None]) -> None:
    try:
        tables.transact(write)
    except tables.ConditionFailed as error:
        raise AccountChanged from error
