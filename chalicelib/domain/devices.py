"""Devices that signed in to an account before, known by a signed cookie.

It lifts the limit on failures of a name, and nothing else, so that strangers' failures never stop the
parent's own phone. It is bound to name, account and password (security row S26).
"""

from chalicelib import crypto
from chalicelib.storage import aws
from chalicelib.storage.values import Account


def cookie_name(username_key: str) -> str:
    """Return the name of an account's cookie: two parents may share a computer."""
    return f"device-{crypto.digest(username_key)[:10]}"


def cookie(account: Account) -> str:
    """Return what makes a device known to an account, until its password changes."""
    return f"{_bound_to(account)}.{aws.keyring().hash('device', _text(account))}"


def is_known(account: Account, value: str | None) -> bool:
    """Whether a cookie says that the device signed in to this account before, by its password."""
    return is_signed(account.username_key, value) and is_current(account, value)


def is_signed(username_key: str, value: str | None) -> bool:
    """Whether we signed the cookie for this name; judged before the account is read."""
    bound, _, signed = (value or "").rpartition(".")
    text = f"{username_key}#{bound}"
    return any(crypto.equal(one, signed) for one in aws.keyring().hashes("device", text))


def is_current(account: Account | None, value: str | None) -> bool:
    """Whether a signed cookie is this account's, of its password."""
    bound, _, _ = (value or "").rpartition(".")
    return account is not None and bound == _bound_to(account)


def _bound_to(account: Account) -> str:
    return f"{account.account_id}.{account.password_generation}"


def _text(account: Account) -> str:
    return f"{account.username_key}#{_bound_to(account)}"
