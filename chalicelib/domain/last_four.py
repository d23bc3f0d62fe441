"""The last four digits of an SSN or an assigned number, as they are kept and compared: hashed only.

Ten thousand values have no secret in a plain or salted hash, so the number that they are asked with is
part of the text, and the key is the stage's (security row S11). The import and the lookup must say the
same text, or no key would ever be issued: so it stands here alone.
"""

from chalicelib.crypto import Keyring

_PURPOSE = "last4"


def hash_to_keep(keyring: Keyring, number: str, digits: str) -> str:
    """Return the hash of a student's digits, asked with this student number or GTID."""
    return keyring.hash(_PURPOSE, _text(number, digits))


def hashes_by_secret(keyring: Keyring, number: str, digits: str) -> dict[str, str]:
    """Return the hash under each live secret, by the secret's id."""
    hashes = keyring.hashes(_PURPOSE, _text(number, digits))
    return {version: hashed for (version, _), hashed in zip(keyring.versions, hashes, strict=True)}


def _text(number: str, digits: str) -> str:
    return f"{number}#{digits}"
