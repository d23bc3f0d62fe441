"""How an admin finds a guardian: by address, student number, username or family name."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

from chalicelib.domain import addresses, credentials, names
from chalicelib.storage import accounts, activation_keys, roster
from chalicelib.storage.values import Account, ActivationKey, GuardianRecord, StudentProfile

# A common family name must not make an answer that no screen shows.
MOST_FOUND = 50


@dataclass(frozen=True)
class FoundGuardian:
    """A guardian with all that an office needs to help: students, account, key, mail."""

    guardian: GuardianRecord
    students: tuple[StudentProfile, ...]
    account: Account | None
    key: ActivationKey | None
    key_state: str | None


def by_email(email: str, *, now: datetime) -> list[FoundGuardian]:
    """Find guardians by an address: the roster's, or the one on record with their account."""
    hashes = addresses.hashes(email)
    on_record = (accounts.read_account(key) for key in accounts.accounts_at(hashes))
    found = [account.guardian_id for account in on_record if account is not None]
    return _found([*roster.guardian_ids_by_address(hashes), *found], now)


def by_student_number(number: str, *, now: datetime) -> list[FoundGuardian]:
    """Find a student's guardians, also those without portal access, by student number or GTID."""
    links = (
        link for one in roster.find_student(number) for link in roster.guardians_of(one.student_id)
    )
    return _found((link.guardian_id for link in links), now)


def by_username(username: str, *, now: datetime) -> list[FoundGuardian]:
    """Find the guardian of an account."""
    key = credentials.username_key(username)
    account = accounts.read_account(key) if key else None
    return _found([account.guardian_id] if account else [], now)


def by_name(name: str, *, now: datetime) -> list[FoundGuardian]:
    """Find guardians by family name, or by given and family name; case and accents don't matter."""
    words = name.split()
    wanted = names.name_key(name)
    families = {names.name_key(" ".join(words[i:])) for i in range(len(words))} - {""}
    ids = (found for family in sorted(families) for found in roster.guardian_ids_by_name(family))
    return [one for one in _found(ids, now) if wanted in _names_of(one.guardian)]


def _names_of(guardian: GuardianRecord) -> tuple[str, str]:
    family = names.name_key(guardian.family_name)
    return family, names.name_key(guardian.given_name) + family


def _found(guardian_ids: Iterable[str], now: datetime) -> list[FoundGuardian]:
    ids = list(dict.fromkeys(guardian_ids))[:MOST_FOUND]
    guardians = (roster.guardian_partition(one) for one in ids)
    return [_one(guardian, now) for guardian in guardians if guardian is not None]


def _one(guardian: GuardianRecord, now: datetime) -> FoundGuardian:
    key = activation_keys.newest_key(guardian.guardian_id)
    students = (roster.student_profile(link.student_id) for link in guardian.students)
    return FoundGuardian(
        guardian=guardian,
        students=tuple(student for student in students if student is not None),
        account=accounts.read_account(guardian.account) if guardian.account else None,
        key=key,
        key_state=None if key is None else _state(key, guardian, now),
    )


def _state(key: ActivationKey, guardian: GuardianRecord, now: datetime) -> str:
    """Return what a key is worth now, also where nobody marked it: its end needs no write."""
    if key.state != activation_keys.ISSUED:
        return key.state
    if key.key_generation != guardian.key_generation:
        return activation_keys.REVOKED
    return activation_keys.EXPIRED if key.expires_at <= now.timestamp() else activation_keys.ISSUED
