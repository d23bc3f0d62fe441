"""What several actions need of a form or a signed-in page."""

import re
from dataclasses import replace
from datetime import UTC, datetime

from chalicelib import errors
from chalicelib.domain import accounts
from chalicelib.errors import FieldError
from chalicelib.storage import district
from chalicelib.storage.values import Session
from chalicelib.web.call import Call
from chalicelib.web.http import YEAR, Answer, iso, set_cookie

# The browser's own cookie: nothing longer than what we write is read.
_ARRIVAL = re.compile(r"([0-9]{1,6})\.([0-9]{1,11})\Z", re.ASCII)


def fields_page(page: str, *names: str) -> Answer:
    """Answer the GET of a form: a browser gets the page, a client the names of its fields."""
    return Answer({"fields": list(names)}, page=page)


def required(call: Call, *names: str) -> dict[str, str]:
    """Return fields as text; every one that is missing or no text is named at once.

    Raises:
        Invalid: codes `format` and `required`.
    """
    values = dict(zip(names, call.texts(*names), strict=True))
    faults = [FieldError(name, "required") for name, value in values.items() if not value.strip()]
    if faults:
        raise errors.Invalid(errors=faults)
    return values


def password_rules() -> dict[str, object]:
    """Return the rules for a new password, as pages list them."""
    preferences = district.preferences()
    return {
        "min_length": preferences.password_min_length,
        "strong": preferences.strong_password,
        "reject_common": preferences.reject_common_passwords,
    }


def session_times(current: Session) -> dict[str, object]:
    """Return when a session ends, as answers show it."""
    times = accounts.session_times(current)
    return {"idle_until": iso(times.idle_until), "ends_at": iso(times.ends_at)}


def session_shown(call: Call, current: Session) -> dict[str, object]:
    """Return what a page knows of its session.

    Our clock stands beside the times, since a phone's may be wrong; the username is whose page this
    is, who alone may go on with it once the session is over.
    """
    return {**session_times(current), "now": iso(call.now), "username": current.username_key}


def signed_in_body(signed_in: accounts.SignedIn) -> dict[str, object]:
    """Return what a client is told after signing in, on whichever way."""
    last = signed_in.last_sign_in
    return {
        "username": signed_in.username,
        "last_sign_in": None if last is None else iso(last),
        "failed_since": signed_in.failed_since,
    }


def arrival(signed_in: accounts.SignedIn) -> str:
    """Return the failures since the last sign-in and its time, as the cookie `arrived` has them."""
    last = signed_in.last_sign_in
    return f"{signed_in.failed_since}.{0 if last is None else int(last.timestamp())}"


def read_arrival(text: str) -> tuple[datetime | None, int] | None:
    """Return the last sign-in (UTC) and the failures since, None for what isn't from `arrival`."""
    found = _ARRIVAL.match(text)
    if found is None:
        return None
    seconds = int(found[2])
    return datetime.fromtimestamp(seconds, UTC) if seconds else None, int(found[1])


def arrived(signed_in: accounts.SignedIn, text: str) -> accounts.SignedIn:
    """Return a sign-in with what the first of its postings was told on arrival."""
    told = read_arrival(text)
    return replace(signed_in, last_sign_in=told[0], failed_since=told[1]) if told else signed_in


def arrival_cookies(signed_in: accounts.SignedIn) -> tuple[str, str]:
    """Return the cookies beside the session's: what home tells once, and the known device's."""
    name, value = signed_in.device_cookie
    return (
        set_cookie("arrived", arrival(signed_in), seconds=60),
        set_cookie(name, value, seconds=YEAR),
    )
