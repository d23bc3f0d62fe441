"""Mail addresses and family names as the portal compares them, the same everywhere.

Two spellings of one mailbox become one; two mailboxes never do (security row S41, CVE-2019-19844).
"""

import unicodedata

from chalicelib import crypto

# The purpose under which an address is hashed, in the roster, for accounts and for counters.
ADDRESS_PURPOSE = "address"

_LOWER = str.maketrans("ABCDEFGHIJKLMNOPQRSTUVWXYZ", "abcdefghijklmnopqrstuvwxyz")


def normalised(address: str) -> str:
    """Return an address for comparing and hashing: no outer space, ASCII case, domain as IDN.

    The local part loses ASCII case only, since anything more (dots, plus tags, look-alikes, a dotless
    i) could be somebody else's mailbox. What is mailed to is the address as stored, never this.
    """
    local, at, domain = address.strip().rpartition("@")
    if not at:
        return domain.translate(_LOWER)
    labels = (_domain_label(label) for label in domain.split("."))
    return f"{local.translate(_LOWER)}@{'.'.join(labels)}"


def address_hash(address: str, keyring: crypto.Keyring) -> str:
    """Return the keyed hash under which an address is stored (current version of the secret)."""
    return keyring.hash(ADDRESS_PURPOSE, normalised(address))


def address_hashes(address: str, keyring: crypto.Keyring) -> list[str]:
    """Return the keyed hashes under which an address is looked up, one for each live secret."""
    return keyring.hashes(ADDRESS_PURPOSE, normalised(address))


def name_key(family_name: str) -> str:
    """Return a family name for finding it: without case, accents, punctuation and outer space."""
    decomposed = unicodedata.normalize("NFKD", family_name.casefold())
    return "".join(c for c in decomposed if c.isalnum())


def _domain_label(label: str) -> str:
    """Return a label of a domain as DNS has it.

    Python's own `idna` codec makes one domain of two (`straße` and `strasse`), so a label that isn't
    ASCII is lowered, composed and written as punycode, and one that lowering would turn into ASCII (a
    Kelvin sign) stays as it is.
    """
    if label.isascii():
        return label.translate(_LOWER)
    lowered = unicodedata.normalize("NFC", label.lower())
    if lowered.isascii():
        lowered = label
    return "xn--" + lowered.encode("punycode").decode("ascii")
