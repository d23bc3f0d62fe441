"""The items of the tables `activation-keys`, `accounts` and `sessions`, as PynamoDB has them.

With them the guardian's `access` item of the table `roster`, which carries `key_generation` (a key of
an older generation is dead) and the guardian's account. What is done to them is in `activation_keys`,
`accounts`, `account_changes`, `notifications`, `sessions` and `sso`; nothing else imports this file.
"""

from collections.abc import Iterable

from pynamodb.attributes import BooleanAttribute, NumberAttribute, UnicodeAttribute
from pynamodb.indexes import GlobalSecondaryIndex, KeysOnlyProjection
from pynamodb.models import Model

from chalicelib import settings
from chalicelib.storage import tables
from chalicelib.storage.values import Account, ActivationKey, Choices, Session


class _KeysByGuardian(GlobalSecondaryIndex["KeyItem"]):  # type: ignore[no-untyped-call]
    class Meta:
        index_name = "by-guardian"
        projection = KeysOnlyProjection()

    guardian_id = UnicodeAttribute(hash_key=True)
    issued_at = NumberAttribute(range_key=True)


class KeyItem(Model):
    """An activation key, under its keyed hash."""

    class Meta(tables.Meta):
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


class _AccountsByAddress(GlobalSecondaryIndex["AccountItem"]):  # type: ignore[no-untyped-call]
    class Meta:
        index_name = "by-address"
        projection = KeysOnlyProjection()

    address_hash = UnicodeAttribute(hash_key=True)


class _AccountsByLock(GlobalSecondaryIndex["AccountItem"]):  # type: ignore[no-untyped-call]
    """Only locked accounts, by the hour their lockout ends."""

    class Meta:
        index_name = "by-lock"
        projection = KeysOnlyProjection()

    lock_bucket = UnicodeAttribute(hash_key=True)


class _AccountsByDigest(GlobalSecondaryIndex["AccountItem"]):  # type: ignore[no-untyped-call]
    """Only accounts that want a digest, by the hour of theirs."""

    class Meta:
        index_name = "by-digest"
        projection = KeysOnlyProjection()

    digest_hour = UnicodeAttribute(hash_key=True)
    username_key = UnicodeAttribute(range_key=True)


class AccountItem(Model):
    """An account, under its folded username."""

    class Meta(tables.Meta):
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
    # A new password is asked for, also while the account is disabled.
    must_reset = BooleanAttribute(null=True)
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
    # When each "this wasn't me" link that was used was made and used: `100-200 150-300`.
    not_me_used = UnicodeAttribute(null=True)
    # What became of mails to the address, where the guardian sees it.
    mail_state = UnicodeAttribute(null=True)
    lock_bucket = UnicodeAttribute(null=True)
    # What the guardian chose on `/preferences`; `notifications` are those switched on, by commas.
    language = UnicodeAttribute(null=True)
    quiet_from = UnicodeAttribute(null=True)
    quiet_to = UnicodeAttribute(null=True)
    notifications = UnicodeAttribute(null=True)
    # The hour of the guardian's digest (`17`); stands only where they want one.
    digest_hour = UnicodeAttribute(null=True)
    # The hash under which the subject of single sign-on is linked, and how often that changed.
    sso_link = UnicodeAttribute(null=True)
    sso_generation = NumberAttribute(default=0)
    by_address = _AccountsByAddress()
    by_lock = _AccountsByLock()
    by_digest = _AccountsByDigest()


class SubjectItem(Model):
    """Which account a subject of single sign-on is linked to, under its keyed hash.

    No username begins like this key. The account names it back: only both together count.
    """

    class Meta(tables.Meta):
        table_name = settings.name("accounts")

    PREFIX = "sso#"

    username_key = UnicodeAttribute(hash_key=True)
    linked_to = UnicodeAttribute()
    account_id = UnicodeAttribute()


def subject_item(subject_hash: str) -> SubjectItem:
    """Return a subject's item, unread."""
    return SubjectItem(SubjectItem.PREFIX + subject_hash)


class _SessionsByAccount(GlobalSecondaryIndex["SessionItem"]):  # type: ignore[no-untyped-call]
    class Meta:
        index_name = "by-account"
        projection = KeysOnlyProjection()

    username_key = UnicodeAttribute(hash_key=True)
    created_at = NumberAttribute(range_key=True)


class SessionItem(Model):
    """A session, under its keyed hash; one item of this table has only `created_at` (`sessions.py`)."""

    class Meta(tables.Meta):
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


class AccessItem(Model):
    """The guardian's item of the table `roster` that isn't the roster's."""

    class Meta(tables.Meta):
        table_name = settings.name("roster")

    pk = UnicodeAttribute(hash_key=True)
    sk = UnicodeAttribute(range_key=True)
    key_generation = NumberAttribute(default=0)
    account = UnicodeAttribute(null=True)


def access(guardian_id: str) -> AccessItem:
    """Return a guardian's `access` item, unread."""
    return AccessItem(f"guardian#{guardian_id}", "access")


# --- from items to values -----------------------------------------------------


def key_from(item: KeyItem) -> ActivationKey:
    """Return the key that an item holds."""
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


def account_from_item(item: AccountItem) -> Account:
    """Return the account that an item holds."""
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
        must_reset=bool(item.must_reset),
        locked_until=_integer(item.locked_until),
        created_at=int(item.created_at),
        last_sign_in=_integer(item.last_sign_in),
        failures=int(item.failures),
        link_generation=int(item.link_generation),
        password_generation=int(item.password_generation),
        pending_link=item.pending_link,
        not_me_used=_spans(item.not_me_used),
        mail_state=item.mail_state,
        choices=Choices(
            language=item.language,
            quiet_from=item.quiet_from,
            quiet_to=item.quiet_to,
            on=frozenset((item.notifications or "").split(",")) - {""},
        ),
        sso_link=item.sso_link,
        sso_generation=int(item.sso_generation),
    )


def session_from(item: SessionItem) -> Session:
    """Return the session that an item holds."""
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


def spans_text(spans: Iterable[tuple[int, int]]) -> str:
    """Return spans of time (epoch seconds) as an account's item holds them."""
    return " ".join(f"{begins}-{ends}" for begins, ends in spans)


def _spans(text: str | None) -> tuple[tuple[int, int], ...]:
    spans = (span.partition("-") for span in (text or "").split())
    return tuple((int(begins), int(ends)) for begins, _, ends in spans)


def _integer(number: float | None) -> int | None:
    return None if number is None else int(number)
