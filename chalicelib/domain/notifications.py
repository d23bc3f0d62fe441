"""A guardian's own preferences: language, quiet hours, and which notifications reach them how.

The portal itself mails attendance and grades (`digests.py`). Everything else, and all by text and
voice, is kept for the district's own sender. Security mails are no notification: no choice stops them.
"""

import re
from collections.abc import Mapping
from dataclasses import replace
from datetime import time

from chalicelib import errors, policy, texts
from chalicelib.errors import FieldError
from chalicelib.storage import accounts, notifications
from chalicelib.storage.values import Account, Choices

KINDS = ("attendance", "grades", "behavior", "messages", "emergency")
CHANNELS = ("mail", "text", "voice")
NAMES = tuple(f"{kind}.{channel}" for kind in KINDS for channel in CHANNELS)
KINDS_ALWAYS_ON = ("emergency",)
ALWAYS_ON = tuple(f"{kind}.{channel}" for kind in KINDS_ALWAYS_ON for channel in CHANNELS)
# What the portal mails by itself, once a day.
DIGESTED = {"attendance": "attendance.mail", "grades": "grades.mail"}

_TIME = re.compile(r"(?:[01][0-9]|2[0-3]):[0-5][0-9]")
_HOURS = 24
# Another of the guardian's devices may change something meanwhile; then it is judged anew.
_ROUNDS = 5


def is_on(choices: Choices, name: str) -> bool:
    """Whether a notification (`<kind>.<channel>`) is switched on; emergencies always are."""
    return name in ALWAYS_ON or name in choices.on


def save(account: Account, given: Mapping[str, object]) -> Account:
    """Change what is given of a guardian's choices and keep the rest; return the account as it is then.

    Raises:
        Invalid: names each field at fault; nothing is changed.
        SignInRequired: the account is gone.
        Unavailable: other changes kept coming in between.
    """
    for _ in range(_ROUNDS):
        wanted = changed(account.choices, given)
        try:
            notifications.save(account, wanted, digest_hour=digest_hour(wanted))
        except accounts.AccountChanged:
            found = accounts.read_account(account.username_key)
            if found is None or found.account_id != account.account_id:
                raise errors.SignInRequired from None
            account = found
        else:
            return replace(account, choices=wanted)
    raise errors.Unavailable


def changed(saved: Choices, given: Mapping[str, object]) -> Choices:
    """Return choices with what is given changed; null or an empty text takes a choice back.

    Raises:
        Invalid: codes `unknown` (a language), `format`, `required` (one quiet time without the
            other), `too-long` (no full hour of a day is left), `always-on`.
    """
    faults: list[FieldError] = []
    texts_now = _texts(saved, given, faults)
    choices = Choices(on=_switched(saved, given, faults), **texts_now)
    if not faults:
        faults += _quiet_faults(choices)
    if faults:
        raise errors.Invalid(errors=faults)
    return choices


def _texts(
    saved: Choices, given: Mapping[str, object], faults: list[FieldError]
) -> dict[str, str | None]:
    values: dict[str, str | None] = {}
    for name in ("language", "quiet_from", "quiet_to"):
        value = given.get(name, getattr(saved, name))
        # Not whatever is falsy: a client's `false` or `0` is a mistake, and takes nothing back.
        if value is None or value == "":
            values[name] = None
        elif _fits(name, value):
            values[name] = str(value)
        else:
            faults.append(FieldError(name, "unknown" if name == "language" else "format"))
            values[name] = None
    return values


def _switched(
    saved: Choices, given: Mapping[str, object], faults: list[FieldError]
) -> frozenset[str]:
    on = set(saved.on)
    for name in NAMES:
        flag = _flag(given[name]) if name in given else name in on or name in ALWAYS_ON
        if flag is None:
            faults.append(FieldError(name, "format"))
        elif not flag and name in ALWAYS_ON:
            faults.append(FieldError(name, "always-on"))
        elif flag:
            on.add(name)
        else:
            on.discard(name)
    return frozenset(on - set(ALWAYS_ON))


def _fits(name: str, value: object) -> bool:
    if not isinstance(value, str):
        return False
    return value in texts.LANGUAGES if name == "language" else bool(_TIME.fullmatch(value))


def _flag(value: object) -> bool | None:
    if isinstance(value, bool):
        return value
    return {"true": True, "false": False}.get(value) if isinstance(value, str) else None


# --- quiet hours ----------------------------------------------------------------


def _quiet_faults(choices: Choices) -> list[FieldError]:
    if (choices.quiet_from is None) != (choices.quiet_to is None):
        return [FieldError("quiet_to" if choices.quiet_from else "quiet_from", "required")]
    if _first_free_hour(choices) is None:
        return [FieldError("quiet_to", "too-long")]
    return []


def is_quiet(choices: Choices, at: time) -> bool:
    """Whether a time of day (the district's) lies in the quiet hours; their end is outside."""
    if choices.quiet_from is None or choices.quiet_to is None:
        return False
    begin, end = time.fromisoformat(choices.quiet_from), time.fromisoformat(choices.quiet_to)
    # Over midnight, or from a time to itself: the whole day.
    return begin <= at < end if begin < end else at >= begin or at < end


def digest_hour(choices: Choices) -> int | None:
    """Return the hour of day of a guardian's digest, None where they want none.

    17, or the first full hour after quiet hours that cover it (also past midnight).
    """
    wanted = any(name in choices.on for name in DIGESTED.values())
    return _first_free_hour(choices) if wanted else None


def _first_free_hour(choices: Choices) -> int | None:
    for ahead in range(_HOURS):
        hour = (policy.DIGEST_HOUR + ahead) % _HOURS
        if not is_quiet(choices, time(hour)):
            return hour
    return None
