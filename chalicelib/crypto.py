"""Secrets: passwords by Argon2id, everything else by keyed hash; tokens and activation keys.

The only module that imports `secrets`, `hmac`, `hashlib` or `argon2` (security row S86).
"""

import base64
import functools
import hashlib
import hmac
import secrets
import string
import unicodedata
from dataclasses import dataclass
from pathlib import Path

from argon2 import PasswordHasher, Type
from argon2.exceptions import InvalidHashError, VerificationError

# OWASP Password Storage Cheat Sheet's minimum for Argon2id: 19 MiB, 2 passes, 1 lane.
ARGON2_MEMORY_KIB, ARGON2_PASSES, ARGON2_LANES = 19 * 1024, 2, 1

# Contract section 2: no 0, 1, I, L, O, U, which people misread or misspell.
KEY_ALPHABET = "23456789ABCDEFGHJKMNPQRSTVWXYZ"
KEY_RANDOM_SYMBOLS = 15
_KEY_GROUP = 4
# ASCII only: `str.upper` makes two letters of one that the alphabet doesn't have.
_UPPER = str.maketrans(string.ascii_lowercase, string.ascii_uppercase)


# --- passwords ----------------------------------------------------------------


def _hasher() -> PasswordHasher:
    return PasswordHasher(
        time_cost=ARGON2_PASSES,
        memory_cost=ARGON2_MEMORY_KIB,
        parallelism=ARGON2_LANES,
        type=Type.ID,
    )


def hash_password(password: str) -> str:
    """Return the Argon2id string of a password exactly as received: not cut, trimmed or folded."""
    return _hasher().hash(password.encode("utf-8"))


def password_matches(stored: str | None, password: str) -> bool:
    """Whether the password fits; with nothing stored it costs the same and never fits.

    A name that nobody has is verified against a stand-in of today's parameters, so that the time of an
    answer doesn't tell whether the name exists (ASVS 6.3.8).
    """
    try:
        _hasher().verify(stored or _stand_in(), password.encode("utf-8"))
    except (VerificationError, InvalidHashError):
        return False
    return stored is not None


def needs_rehash(stored: str) -> bool:
    """Whether the string was made with other parameters than today's."""
    return _hasher().check_needs_rehash(stored)


def _stand_in() -> str:
    """Return an Argon2id string of today's parameters that no password fits (all-zero hash)."""
    nothing = base64.b64encode(bytes(16)).decode().rstrip("=")
    zeros = base64.b64encode(bytes(32)).decode().rstrip("=")
    return (
        f"$argon2id$v=19$m={ARGON2_MEMORY_KIB},t={ARGON2_PASSES},p={ARGON2_LANES}${nothing}${zeros}"
    )


# --- keyed hashes -------------------------------------------------------------


@dataclass(frozen=True)
class Keyring:
    """The live versions of the stage's hashing secret, the current one first.

    What is stored is hashed with the current one and looked up under all: rotation is a loop.
    """

    versions: tuple[tuple[str, bytes], ...]

    @property
    def current(self) -> str:
        """Return the id of the version that new hashes are made with."""
        return self.versions[0][0]

    def hash(self, purpose: str, text: str) -> str:
        """Return the keyed hash under the current version, URL-safe, 43 characters."""
        return _keyed_hash(self.versions[0][1], purpose, text)

    def hashes(self, purpose: str, text: str) -> list[str]:
        """Return the keyed hash under every live version, the current one first."""
        return [_keyed_hash(secret, purpose, text) for _, secret in self.versions]


def _keyed_hash(secret: bytes, purpose: str, text: str) -> str:
    """HMAC-SHA-256 with a label for each purpose: one text hashed for two purposes is two values."""
    digest = hmac.new(secret, f"{purpose}\0{text}".encode(), hashlib.sha256).digest()
    return _base64url(digest)


def equal(one: str, other: str) -> bool:
    """Compare two hashes in constant time."""
    return hmac.compare_digest(one.encode(), other.encode())


def digest(text: str | bytes) -> str:
    """Return an unkeyed SHA-256, URL-safe; for what is no secret: file names, contents, row ids."""
    raw = text.encode() if isinstance(text, str) else text
    return _base64url(hashlib.sha256(raw).digest())


def digest_of(path: Path) -> str:
    """Return the same SHA-256 of a whole file, read piece by piece."""
    with path.open("rb") as source:
        return _base64url(hashlib.file_digest(source, "sha256").digest())


@functools.lru_cache(maxsize=4096)
def opaque_id(kind: str, sourced_id: str) -> str:
    """Return the URL-safe id (20 characters) under which the portal knows a record of the roster.

    A OneRoster sourcedId may hold `/` and `@`, which have no place in a path. The id is no secret and
    opens nothing: each request checks the guardian's own links.
    """
    return digest(f"{kind}\0{sourced_id}")[:20]


def style_hash(css: str) -> str:
    """Return the CSP source expression of an inline style sheet (CSP3, `'sha256-…'`)."""
    return "'sha256-" + base64.b64encode(hashlib.sha256(css.encode()).digest()).decode() + "'"


# --- random -------------------------------------------------------------------


def new_token() -> str:
    """Return 256 random bits, URL-safe (sessions and mailed links)."""
    return secrets.token_urlsafe(32)


def new_id() -> str:
    """Return 128 random bits, URL-safe, for things that need a name nobody else uses."""
    return secrets.token_urlsafe(16)


def jitter() -> float:
    """Return a random number from 0 to 1, to spread retries."""
    return secrets.randbelow(1000) / 1000


# --- activation keys ----------------------------------------------------------


def new_activation_key() -> str:
    """Return a fresh key as shown: 15 random symbols and a check symbol in four groups of four."""
    body = "".join(secrets.choice(KEY_ALPHABET) for _ in range(KEY_RANDOM_SYMBOLS))
    return show_activation_key(body + _check_symbol(body))


def show_activation_key(symbols: str) -> str:
    """Return the 16 symbols in four groups joined by dashes."""
    return "-".join(symbols[i : i + _KEY_GROUP] for i in range(0, len(symbols), _KEY_GROUP))


def read_activation_key(typed: str) -> str | None:
    """Return the 16 symbols of a typed or pasted key, or None where it can't be one.

    Case, spaces and dashes don't matter, nor do their typographic kin and the marks that show nothing:
    mail programs and word processors put them in, and whoever pastes a key doesn't see them. The check
    symbol catches every single wrong symbol and most swaps of neighbours.
    """
    symbols = "".join(c for c in typed if not _stands_between(c)).translate(_UPPER)
    if len(symbols) != KEY_RANDOM_SYMBOLS + 1 or any(c not in KEY_ALPHABET for c in symbols):
        return None
    if _check_symbol(symbols[:-1]) != symbols[-1]:
        return None
    return symbols


def _stands_between(character: str) -> bool:
    """Whether a character is a space, a dash (a minus sign too) or invisible."""
    kind = unicodedata.category(character)
    return character.isspace() or character == "\u2212" or kind in ("Pd", "Cf")


def _check_symbol(body: str) -> str:
    """Return the check symbol of 15 symbols: a weighted sum modulo the alphabet's 30.

    Every weight is a unit modulo 30, so one wrong symbol always changes the sum; neighbours' weights
    differ, so most swaps do too.
    """
    weights = (1, 7, 11, 13, 17, 19, 23, 29)
    total = sum(
        weights[i % len(weights)] * KEY_ALPHABET.index(symbol) for i, symbol in enumerate(body)
    )
    return KEY_ALPHABET[total % len(KEY_ALPHABET)]


def _base64url(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).decode().rstrip("=")
