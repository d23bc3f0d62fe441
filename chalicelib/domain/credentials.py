"""What a username and a password may be (guide, "Creating your user name and password").

Where the guide asks for less than NIST SP 800-63B-4, docs/security.md says so and what limits the harm.
"""

import functools
import re
import unicodedata

from chalicelib import errors, policy
from chalicelib.errors import FieldError

USERNAME_LEAST, USERNAME_MOST = 3, 30
_STRONG_KINDS = 3
PASSWORD_MOST = 128

# ASCII only: no second account by a look-alike letter (security row S14). \Z, since $ takes a newline.
_USERNAME = re.compile(
    rf"(?=.*[0-9])(?=.*[A-Za-z])[0-9A-Za-z]{{{USERNAME_LEAST},{USERNAME_MOST}}}\Z"
)
# Words of the product, which a guesser tries first (ASVS 6.1.2).
_PRODUCT_WORDS = ("parentportal", "parent portal", "parentportal1", "campusportal1", "portal123")


def username_key(username: str) -> str | None:
    """Return the username as it is compared, without regard to case; None where it can't be one."""
    return username.lower() if _USERNAME.match(username) else None


def username_faults(username: str) -> list[FieldError]:
    """Return what is wrong with a username that somebody wants: code `format`, or nothing."""
    if username_key(username) is None:
        return [FieldError("username", "format")]
    return []


def password_faults(
    password: str, verify_password: str, *, username: str, preferences: policy.Preferences
) -> list[FieldError]:
    """Return what is wrong with a new password, the same on every route that takes one.

    Length counts code points; nothing is cut, trimmed or normalised before.
    """
    faults = [
        FieldError("password", code, parameters)
        for code, parameters, wrong in (
            (
                "too-short",
                (("least", preferences.password_min_length),),
                len(password) < preferences.password_min_length,
            ),
            ("too-long", (("most", PASSWORD_MOST),), len(password) > PASSWORD_MOST),
            ("control-character", (), _has_control_character(password)),
            ("not-alphanumeric", (), not _has_letter_and_digit(password)),
            ("not-strong", (), preferences.strong_password and _kinds(password) < _STRONG_KINDS),
            (
                "contains-username",
                (),
                preferences.reject_common_passwords and _contains(password, username),
            ),
            ("too-common", (), _is_common(password, preferences)),
        )
        if wrong
    ]
    if password != verify_password:
        faults.append(FieldError("verify_password", "mismatch"))
    return faults


def require_password(
    password: str, verify_password: str, *, username: str, preferences: policy.Preferences
) -> None:
    """Judge the new password of an account that there is.

    Raises:
        Invalid: what it lacks, see `password_faults`.
    """
    faults = password_faults(password, verify_password, username=username, preferences=preferences)
    if faults:
        raise errors.Invalid(errors=faults)


def _has_control_character(password: str) -> bool:
    return any(unicodedata.category(character) == "Cc" for character in password)


def _has_letter_and_digit(password: str) -> bool:
    return any(c.isalpha() for c in password) and any(c.isdigit() for c in password)


def _kinds(password: str) -> int:
    """Count the kinds among lower case, upper case, number and symbol (guide, Strong Password)."""
    return sum(
        (
            any(c.islower() for c in password),
            any(c.isupper() for c in password),
            any(c.isdigit() for c in password),
            any(not c.isalnum() for c in password),
        )
    )


def _contains(password: str, username: str) -> bool:
    return len(username) >= USERNAME_LEAST and username.lower() in password.lower()


def _is_common(password: str, preferences: policy.Preferences) -> bool:
    if not preferences.reject_common_passwords:
        return False
    folded = password.casefold()
    district = preferences.district_name.casefold()
    own = (*_PRODUCT_WORDS, district, district.replace(" ", ""))
    return folded in own or folded in _common_passwords()


@functools.cache
def _common_passwords() -> frozenset[str]:
    # Read at the first new password of a container: the list costs every cold start otherwise.
    from zxcvbn.frequency_lists import FREQUENCY_LISTS  # noqa: PLC0415

    return frozenset(FREQUENCY_LISTS["passwords"])
