"""E-mail addresses: one way to normalise them, for counters, lookups and lockouts alike.

Outer space, ASCII case and the domain's IDN form don't matter; everything else does, so that two
mailboxes never become one (CVE-2019-19844; security row S41).
"""

import re
import unicodedata

from chalicelib.storage import aws

_MOST = 254
# A local part and a domain with a dot; no space, no control character, no second @.
_ADDRESS = re.compile(
    r"[^@\s\x00-\x1f\x7f,;<>()\[\]\\\"]{1,64}@[^@\s\x00-\x1f\x7f,;<>()\[\]\\\"]+\Z"
)
_UPPER = str.maketrans("ABCDEFGHIJKLMNOPQRSTUVWXYZ", "abcdefghijklmnopqrstuvwxyz")


def normalised(typed: str) -> str | None:
    """Return an address as it is compared, or None where it can't be one.

    Only ASCII letters change case: `str.lower` makes the Kelvin sign a `k` and two mailboxes one.
    """
    text = typed.strip(" \t\r\n")
    if len(text) > _MOST or not _ADDRESS.match(text) or not text.isprintable():
        return None
    local, _, domain = text.rpartition("@")
    labels = domain.split(".")
    if len(labels) == 1 or not all(labels):
        return None
    return f"{local.translate(_UPPER)}@{'.'.join(map(_domain_label, labels))}"


def _domain_label(label: str) -> str:
    """Return a label of a domain as DNS has it.

    Python's own `idna` codec makes one domain of two (`straße` and `strasse`), so a label that
    isn't ASCII is lowered, composed and written as punycode; one that lowering would turn into
    ASCII (with a Kelvin sign) stays as it is.
    """
    if label.isascii():
        return label.translate(_UPPER)
    lowered = unicodedata.normalize("NFC", label.lower())
    return "xn--" + (label if lowered.isascii() else lowered).encode("punycode").decode("ascii")


def deliverable(address: str) -> str | None:
    """Return an address as SES takes it, None where it takes none of that kind.

    SES has no SMTPUTF8: a domain that isn't ASCII goes as punycode, and a local part that isn't has no
    other spelling (SES API reference, `Destination`). All else stays as it is stored.
    """
    local, at, domain = address.rpartition("@")
    if normalised(address) is None or not at or not local.isascii():
        return None
    labels = (label if label.isascii() else _domain_label(label) for label in domain.split("."))
    return f"{local}@{'.'.join(labels)}"


def hashed(address: str | None) -> str | None:
    """Return the keyed hash under which an address is found, None for none."""
    plain = normalised(address) if address else None
    return None if plain is None else aws.keyring().hash("address", plain)


def hashes(address: str) -> list[str]:
    """Return the keyed hashes of an address under every live secret, for looking it up."""
    plain = normalised(address)
    return [] if plain is None else aws.keyring().hashes("address", plain)
