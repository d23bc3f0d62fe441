"""What a family types of its address and numbers: read, compared with what the school has, checked.

Pure rules for the United States (a roster's `state` has two letters, its `postCode` 5 or 9 digits);
a phone of another country passes with its `+`.
"""

import re
from collections.abc import Callable, Mapping
from datetime import date, timedelta

from chalicelib.domain import addresses
from chalicelib.errors import FieldError

ADDRESS = ("address1", "address2", "city", "state", "post_code")
FIELDS = (*ADDRESS, "phone", "mobile", "email")
# Without these an address is none.
_NEEDED = ("address1", "city", "state", "post_code")
_LONGEST = 100
_LONGEST_COMMENT = 500
# A change that lies further ahead is better asked for later.
DAYS_AHEAD = 365

# USPS Publication 28, appendix B: states, the district, territories, military post.
_STATE_NAMES = """
AL alabama, AK alaska, AZ arizona, AR arkansas, CA california, CO colorado, CT connecticut,
DE delaware, DC district of columbia, FL florida, GA georgia, HI hawaii, ID idaho, IL illinois,
IN indiana, IA iowa, KS kansas, KY kentucky, LA louisiana, ME maine, MD maryland,
MA massachusetts, MI michigan, MN minnesota, MS mississippi, MO missouri, MT montana,
NE nebraska, NV nevada, NH new hampshire, NJ new jersey, NM new mexico, NY new york,
NC north carolina, ND north dakota, OH ohio, OK oklahoma, OR oregon, PA pennsylvania,
RI rhode island, SC south carolina, SD south dakota, TN tennessee, TX texas, UT utah, VT vermont,
VA virginia, WA washington, WV west virginia, WI wisconsin, WY wyoming, AS american samoa,
GU guam, MP northern mariana islands, PR puerto rico, VI virgin islands,
FM federated states of micronesia, MH marshall islands, PW palau, AA armed forces americas,
AE armed forces europe, AP armed forces pacific
"""
_STATES: Mapping[str, str] = {
    one.strip()[3:]: one.strip()[:2] for one in _STATE_NAMES.replace("\n", " ").split(",")
}
_CODES = frozenset(_STATES.values())
_ZIP = re.compile(r"([0-9]{5})(?:[- ]?([0-9]{4}))?\Z")
# North American Numbering Plan: neither area nor exchange begins with 0 or 1.
_US_PHONE = re.compile(r"1?([2-9][0-9]{2})([2-9][0-9]{2})([0-9]{4})\Z")
# E.164: a country and at most 15 digits in all.
_FOREIGN_PHONE = re.compile(r"\+[1-9][0-9]{6,14}\Z")
_BETWEEN_DIGITS = re.compile(r"[\s().\u2010-\u2015-]+")


class _Odd(Exception):
    """A value that its field can't have; holds the code that says why."""

    def __init__(self, code: str, **parameters: str | int) -> None:
        super().__init__(code)
        self.code = code
        self.parameters = tuple(parameters.items())


def changes(
    typed: Mapping[str, str], known: Mapping[str, str | None]
) -> tuple[dict[str, str | None], list[FieldError]]:
    """Return what is asked for, and what is wrong with it.

    Only what differs from what the school has is a change and judged: a prefilled form sends
    everything, and what the school has may be odd itself.

    Args:
        typed: the fields that were sent, as typed; blank takes a value away.
        known: what the school has, None where it has nothing.
    """
    wanted: dict[str, str | None] = {}
    faults = []
    for name in FIELDS:
        if name not in typed or typed[name].strip() == (known[name] or "").strip():
            continue
        try:
            value = _READ[name](typed[name].strip()) if typed[name].strip() else None
        except _Odd as odd:
            faults.append(FieldError(name, odd.code, odd.parameters))
            continue
        if _folded(name, value) != _folded(name, known[name]):
            wanted[name] = value
    if wanted.keys() & set(ADDRESS):
        blank = (n for n in _NEEDED if wanted.get(n, known[n]) is None)
        faulty = {fault.field for fault in faults}
        faults += [FieldError(name, "required") for name in blank if name not in faulty]
    return wanted, faults


def effective_date(typed: str, *, today: date) -> tuple[str, list[FieldError]]:
    """Return the day from which a change counts (ISO), and what is wrong with it."""
    text = typed.strip()
    if not text:
        return "", [FieldError("effective_date", "required")]
    try:
        day = date.fromisoformat(text) if len(text) == len("YYYY-MM-DD") else None
    except ValueError:
        day = None
    if day is None:
        return "", [FieldError("effective_date", "format")]
    first, last = bounds(today)
    if not first <= day <= last:
        said = f"{first.isoformat()}–{last.isoformat()}"
        return "", [FieldError("effective_date", "out-of-bounds", (("bounds", said),))]
    return day.isoformat(), []


def bounds(today: date) -> tuple[date, date]:
    """Return the first and the last day from which a change may count."""
    return today, today + timedelta(days=DAYS_AHEAD)


def reason(typed: str) -> tuple[str, list[FieldError]]:
    """Return the reason in its lines, and what is wrong with it."""
    text = "\n".join(line.rstrip() for line in typed.strip().splitlines())
    if not text:
        return "", [FieldError("comment", "required")]
    if len(text) > _LONGEST_COMMENT:
        return "", [FieldError("comment", "too-long", (("most", _LONGEST_COMMENT),))]
    if not all(line.isprintable() for line in text.split("\n")):
        return "", [FieldError("comment", "control-character")]
    return text, []


def address_key(known: Mapping[str, str | None]) -> str:
    """Return an address so that two ways of writing it are equal; empty where there is none."""
    parts = [_folded(name, known[name]) or "" for name in ADDRESS]
    return "|".join(parts) if any(parts) else ""


def _folded(name: str, value: str | None) -> str | None:
    """Return a value as it is compared: what only looks different is no change."""
    if not value:
        return None
    if name in ("phone", "mobile"):
        digits = _BETWEEN_DIGITS.sub("", value)
        found = _US_PHONE.match(digits.removeprefix("+"))
        return "".join(found.groups()) if found else digits
    if name == "email":
        return addresses.normalised(value) or value
    if name == "post_code":
        return value.replace("-", "").replace(" ", "")
    return " ".join(value.split()).casefold()


# --- one field ----------------------------------------------------------------


def _line(text: str) -> str:
    if len(text) > _LONGEST:
        raise _Odd("too-long", most=_LONGEST)
    if not text.isprintable():
        raise _Odd("control-character")
    return " ".join(text.split())


def _state(text: str) -> str:
    """Take the code, or the name that a browser fills in."""
    code = text.upper()
    found = code if code in _CODES else _STATES.get(" ".join(text.split()).lower())
    if found is None:
        raise _Odd("format")
    return found


def _post_code(text: str) -> str:
    found = _ZIP.match(text)
    if found is None:
        raise _Odd("format")
    return "-".join(part for part in found.groups() if part)


def _phone(text: str) -> str:
    digits = _BETWEEN_DIGITS.sub("", text)
    if found := _US_PHONE.match(digits.removeprefix("+") if digits.startswith("+1") else digits):
        return "-".join(found.groups())
    if not _FOREIGN_PHONE.match(digits) or digits.startswith("+1"):
        raise _Odd("format")
    return digits


def _email(text: str) -> str:
    if addresses.deliverable(text) is None:
        raise _Odd("format")
    return text


_READ: Mapping[str, Callable[[str], str]] = {
    "address1": _line,
    "address2": _line,
    "city": _line,
    "state": _state,
    "post_code": _post_code,
    "phone": _phone,
    "mobile": _phone,
    "email": _email,
}
