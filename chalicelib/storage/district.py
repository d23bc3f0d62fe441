"""The tables `preferences` (read with a short cache) and `audit` (only ever added to)."""

import json
import time
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from pynamodb.attributes import Attribute, BooleanAttribute, NumberAttribute, UnicodeAttribute
from pynamodb.constants import STRING
from pynamodb.exceptions import PynamoDBException
from pynamodb.models import Model
from pynamodb.transactions import TransactWrite

from chalicelib import crypto, errors, logs, policy, settings
from chalicelib.storage import tables

# A change of a preference works within a minute (contract section 6).
CACHE_SECONDS = 20


# --- preferences --------------------------------------------------------------


class _AnyValue(Attribute[object]):
    """A value as an admin typed it in the console: text, number, flag, or whatever else."""

    attr_type = STRING

    def get_value(self, value: dict[str, Any]) -> Any:
        return value

    def deserialize(self, value: dict[str, Any]) -> object:
        ((kind, plain),) = value.items()
        if kind == "N":
            return float(plain) if "." in plain or "e" in plain.lower() else int(plain)
        return plain if kind in ("S", "BOOL") else None


class _Meta(tables.Meta):
    table_name = settings.name("preferences")


class _Preference(Model):
    class Meta(_Meta):
        pass

    name = UnicodeAttribute(hash_key=True)
    value = _AnyValue(null=True)


class _TextPreference(Model):
    class Meta(_Meta):
        pass

    name = UnicodeAttribute(hash_key=True)
    value = UnicodeAttribute()


class _NumberPreference(Model):
    class Meta(_Meta):
        pass

    name = UnicodeAttribute(hash_key=True)
    value = NumberAttribute()


class _FlagPreference(Model):
    class Meta(_Meta):
        pass

    name = UnicodeAttribute(hash_key=True)
    value = BooleanAttribute()


class _Kept:
    """The preferences this container read last, and when."""

    preferences: policy.Preferences | None = None
    read_at = 0.0


def preferences() -> policy.Preferences:
    """Return the preferences in force, at most `CACHE_SECONDS` old.

    A row that is unknown, of the wrong type or out of bounds counts as the default, with a log line
    that raises an alarm (contract section 6).

    Raises:
        Unavailable: the table can't be read and no recent reading is kept.
    """
    kept = _Kept.preferences
    if kept is not None and time.monotonic() - _Kept.read_at <= CACHE_SECONDS:
        return kept
    try:
        rows = {row.name: row.value for row in _Preference.scan(consistent_read=True)}
    except PynamoDBException as error:
        raise errors.Unavailable from error
    _Kept.preferences, _Kept.read_at = _in_bounds(rows), time.monotonic()
    return _Kept.preferences


def _in_bounds(rows: Mapping[str, object]) -> policy.Preferences:
    good: dict[str, Any] = {}
    for name, value in rows.items():
        try:
            good[name] = policy.read_preference(name, value, local=settings.is_local())
        except (ValueError, OverflowError):
            # A name typed by hand may be anything: only one that we know is logged.
            known = name if name in policy.DEFAULTS else "unknown"
            logs.event("preference-invalid", level="error", preference=known)
    return policy.Preferences(**good)


def save_preferences(values: Mapping[str, object]) -> None:
    """Write preferences that were read by `policy.read_preference`; None goes back to the default."""
    for name, value in values.items():
        if value is None:
            _Preference(name).delete()
        elif isinstance(value, bool):
            _FlagPreference(name, value=value).save()
        elif isinstance(value, int):
            _NumberPreference(name, value=value).save()
        else:
            _TextPreference(name, value=str(value)).save()
    forget_preferences()


def forget_preferences() -> None:
    """Read the table anew at the next question."""
    _Kept.preferences = None


# --- audit --------------------------------------------------------------------


class _AuditEntry(Model):
    class Meta(tables.Meta):
        table_name = settings.name("audit")

    subject = UnicodeAttribute(hash_key=True)
    at_id = UnicodeAttribute(range_key=True)
    at = NumberAttribute()
    action = UnicodeAttribute()
    outcome = UnicodeAttribute()
    operator = UnicodeAttribute(null=True)
    request_id = UnicodeAttribute()
    details = UnicodeAttribute(null=True)


def audit(
    subject: str,
    action: str,
    outcome: str,
    *,
    operator: str | None,
    request_id: str,
    details: Mapping[str, object],
    now: datetime,
    transaction: TransactWrite | None = None,
) -> None:
    """Add one entry, in a transaction where one is given; none is ever changed (security row S83).

    Raises:
        PynamoDBException: the entry wasn't written, so nothing may be changed in its name.
    """
    entry = _AuditEntry(
        subject,
        f"{now.isoformat(timespec='milliseconds')}#{crypto.new_id()}",
        at=int(now.timestamp()),
        action=action,
        outcome=outcome,
        operator=operator,
        request_id=request_id,
        details=json.dumps(details, sort_keys=True),
    )
    new = _AuditEntry.subject.does_not_exist()
    if transaction is None:
        entry.save(condition=new)
    else:
        transaction.save(entry, condition=new)
