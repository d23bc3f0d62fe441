"""What guardians chose on `/preferences`, kept on their accounts, and who wants a digest.

On the account, not the roster's profile: an import replaces that one.
"""

from collections.abc import Iterator
from typing import TYPE_CHECKING

from pynamodb.attributes import UnicodeAttribute
from pynamodb.expressions.update import Action

from chalicelib.storage import tables
from chalicelib.storage.account_items import AccountItem
from chalicelib.storage.accounts import AccountChanged
from chalicelib.storage.values import Account, Choices

if TYPE_CHECKING:
    from pynamodb.expressions.condition import Condition


def save(account: Account, choices: Choices, *, digest_hour: int | None) -> None:
    """Write a guardian's choices, and the hour of their digest, which is how it is found.

    Closes the race of two that each change one choice, and with deleting the account: account and
    choices must still be those that were read.

    Raises:
        AccountChanged: they aren't.
    """
    wanted, read = _attributes(choices), _attributes(account.choices)
    hour = None if digest_hour is None else f"{digest_hour:02d}"
    unchanged: Condition = AccountItem.account_id == account.account_id
    for attribute, value in read:
        unchanged &= attribute.does_not_exist() if value is None else attribute == value
    if not tables.update_if(
        AccountItem(account.username_key),
        actions=[_to(*one) for one in (*wanted, (AccountItem.digest_hour, hour))],
        condition=unchanged,
    ):
        raise AccountChanged


def _attributes(choices: Choices) -> list[tuple[UnicodeAttribute, str | None]]:
    return [
        (AccountItem.language, choices.language),
        (AccountItem.quiet_from, choices.quiet_from),
        (AccountItem.quiet_to, choices.quiet_to),
        (AccountItem.notifications, ",".join(sorted(choices.on)) or None),
    ]


def _to(attribute: UnicodeAttribute, value: str | None) -> Action:
    return attribute.remove() if value is None else attribute.set(value)


def wanting_digest(hour: int, *, after: str | None, page: int) -> Iterator[str]:
    """Yield the folded usernames whose digest is due at an hour, in order, past `after`.

    The index is sparse: an account that wants no digest isn't in it. It is read late, so what it
    names is judged again when the digest is made.
    """
    beyond = AccountItem.username_key > after if after else None
    for found in AccountItem.by_digest.query(f"{hour:02d}", beyond, page_size=page):
        yield found.username_key
