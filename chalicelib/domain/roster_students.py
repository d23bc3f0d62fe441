"""Every student of the roster as applied, read from the import's own state in the bucket.

The table `roster` lists no students: it is made for one family at a time, and reading it whole costs a
thousand times more than the one file that the last import left.
"""

import json
import sqlite3
import tempfile
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from chalicelib import crypto
from chalicelib.domain import roster_compare, roster_items
from chalicelib.storage import imports, roster_bucket

_ATTEMPTS = 3


@dataclass(frozen=True)
class School:
    """A school of the roster: our id, the roster's, and its name."""

    school_id: str
    sourced_id: str
    name: str


@dataclass(frozen=True)
class Student:
    """A student as lists show them; `school` is None where the roster names none."""

    student_id: str
    sourced_id: str
    student_number: str | None
    given_name: str
    family_name: str
    grade: str | None
    school: School | None


def read() -> Iterator[Student]:
    """Yield every student of the last set that was applied, in the order of their sourcedIds.

    Raises:
        roster_bucket.ObjectGone: sets were applied one after the other while this was read.
    """
    with tempfile.TemporaryDirectory() as scratch:
        path = _newest(Path(scratch))
        if path is None:
            return
        with closing(sqlite3.connect(path, isolation_level=None)) as state:
            yield from _students(state)


def _newest(folder: Path) -> Path | None:
    """Fetch the applied state; None before the first. One that was just replaced is gone: again."""
    packed = folder / "state.sqlite.gz"
    for attempt in range(_ATTEMPTS):
        applied = imports.applied()
        if applied is None:
            return None
        try:
            roster_bucket.download(roster_bucket.state_key(applied.import_id), packed)
            break
        except roster_bucket.ObjectGone:
            if attempt == _ATTEMPTS - 1:
                raise
    path = folder / "state.sqlite"
    roster_compare.unpack(packed, path)
    packed.unlink()
    return path


def _students(state: sqlite3.Connection) -> Iterator[Student]:
    orgs = {
        sourced_id: json.loads(data)
        for sourced_id, data in state.execute("SELECT id, data FROM main.orgs")
    }
    schools = {
        sourced_id: School(crypto.opaque_id("school", sourced_id), sourced_id, org.get("name", ""))
        for sourced_id, org in orgs.items()
    }
    students = {student_id for (student_id,) in state.execute("SELECT id FROM main.students")}
    for sourced_id, data in state.execute("SELECT id, data FROM main.users ORDER BY id"):
        student_id = crypto.opaque_id("student", sourced_id)
        if student_id not in students:
            continue
        user = json.loads(data)
        school = roster_items.school_of(state, orgs, sourced_id, user)
        yield Student(
            student_id=student_id,
            sourced_id=sourced_id,
            student_number=user.get("identifier"),
            given_name=user.get("givenName", ""),
            family_name=user.get("familyName", ""),
            grade=roster_items.grade_of(user),
            school=schools[school] if school else None,
        )
