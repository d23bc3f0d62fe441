"""The roster as applied, in one SQLite file: rows of every file, links, and the items' hashes.

A new state is made beside the one before (`base`): the set's rows are spooled, merged with what was
applied, counted. Nothing here writes to a table of the portal. The digits of an SSN never get in: a
student's row holds their keyed hashes.
"""

import json
import sqlite3
from collections.abc import Container, Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

from chalicelib import crypto
from chalicelib.domain import last_four
from chalicelib.domain.oneroster import Row
from chalicelib.domain.school_years import SchoolYear

_SPOOL_ROWS = 5_000
# Made once: `json.dumps` makes an encoder a call, and there are millions.
_encoded = json.JSONEncoder(ensure_ascii=False, separators=(",", ":")).encode

# What is kept of each file's row; everything else is forgotten on reading.
KEPT: Mapping[str, tuple[str, ...]] = {
    "orgs.csv": ("name", "type"),
    "academicSessions.csv": (
        "title",
        "type",
        "startDate",
        "endDate",
        "schoolYear",
        "parentSourcedId",
    ),
    "courses.csv": ("title",),
    "users.csv": (
        "enabledUser",
        "orgSourcedIds",
        "primaryOrgSourcedId",
        "role",
        "givenName",
        "familyName",
        "identifier",
        "email",
        "sms",
        "phone",
        "agentSourcedIds",
        "grades",
        "metadata.gtid",
        "metadata.householdId",
        "metadata.address1",
        "metadata.address2",
        "metadata.city",
        "metadata.state",
        "metadata.postCode",
        "metadata.language",
        "metadata.portalAccess",
        "metadata.relationship",
    ),
    "roles.csv": ("userSourcedId", "roleType", "role", "beginDate", "endDate", "orgSourcedId"),
    "classes.csv": (
        "title",
        "courseSourcedId",
        "location",
        "schoolSourcedId",
        "termSourcedIds",
        "periods",
        "metadata.meetingDays",
        "metadata.startTime",
        "metadata.endTime",
    ),
    "enrollments.csv": (
        "classSourcedId",
        "userSourcedId",
        "role",
        "primary",
        "beginDate",
        "endDate",
    ),
    "demographics.csv": ("birthDate",),
    "relationships.csv": (
        "studentSourcedId",
        "guardianSourcedId",
        "relationship",
        "guardian",
        "portalAccess",
        "livesWith",
        "primaryContact",
        "emergencyContact",
        "contactOrder",
    ),
    "categories.csv": ("title", "weight"),
    "lineItems.csv": (
        "title",
        "assignDate",
        "dueDate",
        "classSourcedId",
        "categorySourcedId",
        "gradingPeriodSourcedId",
        "academicSessionSourcedId",
        "resultValueMax",
        "metadata.gradeType",
    ),
    "results.csv": (
        "lineItemSourcedId",
        "studentSourcedId",
        "scoreStatus",
        "score",
        "scoreDate",
        "comment",
        "textScore",
        "metadata.letterGrade",
        "inProgress",
        "incomplete",
        "late",
        "missing",
    ),
    "attendance.csv": (
        "studentSourcedId",
        "classSourcedId",
        "date",
        "type",
        "period",
        "attendanceStatus",
        "excuse",
        "reason",
        "code",
        "minutes",
    ),
}
# The column by which a file's rows belong together.
_KEYS: Mapping[str, str] = {
    "roles.csv": "userSourcedId",
    "enrollments.csv": "userSourcedId",
    "relationships.csv": "studentSourcedId",
    "lineItems.csv": "classSourcedId",
    "results.csv": "studentSourcedId",
    "attendance.csv": "studentSourcedId",
}
FILES = tuple(KEPT)
# Where these name a class, they replace only what it had in the current school year.
_GRADEBOOK = ("lineItems.csv", "results.csv")
PRESENT = "present"


@dataclass(frozen=True)
class Counts:
    """What a set did to the rows of one file."""

    added: int = 0
    changed: int = 0
    removed: int = 0
    unchanged: int = 0


def table(file: str) -> str:
    """Return the name of a file's table, quoted."""
    assert file in KEPT
    return f'"{file.removesuffix(".csv")}"'


def open_state(path: Path, *, base: Path, spool: Path) -> sqlite3.Connection:
    """Make a state beside the one before.

    Attached are `base`, the applied state, empty where there is none, and `spool`, where the set's
    rows and the changes lie for the while.

    The file is a scratch copy that is uploaded when whole: no journal, no waiting for the disk.
    """
    state = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
    for pragma in ("journal_mode=OFF", "synchronous=OFF", "cache_size=-262144", "temp_store=FILE"):
        state.execute(f"PRAGMA {pragma}")
    _make_tables(state, "main")
    for name, file in (("base", base), ("spool", spool)):
        state.execute(f"ATTACH DATABASE ? AS {name}", (str(file),))
        state.execute(f"PRAGMA {name}.journal_mode=OFF")
        state.execute(f"PRAGMA {name}.synchronous=OFF")
    _make_tables(state, "base")
    return state


def _make_tables(state: sqlite3.Connection, schema: str) -> None:
    def make(name: str, columns: str) -> None:
        state.execute(f"CREATE TABLE IF NOT EXISTS {schema}.{name} ({columns}) WITHOUT ROWID")

    make("meta", "name TEXT PRIMARY KEY, value TEXT")
    for file in FILES:
        make(table(file), "id TEXT PRIMARY KEY, key TEXT, modified TEXT, data TEXT NOT NULL")
    # Classes that left the roster: last year's attendance and grades still name them.
    make("retired", "id TEXT PRIMARY KEY, data TEXT NOT NULL")
    make("items", "pk TEXT, sk TEXT, hash TEXT NOT NULL, PRIMARY KEY (pk, sk)")
    make("students", "id TEXT PRIMARY KEY")
    make("guardians", "id TEXT PRIMARY KEY, email TEXT, address TEXT NOT NULL")
    make("links", "guardian TEXT, student TEXT, access INTEGER, PRIMARY KEY (guardian, student)")


def get_meta(state: sqlite3.Connection, name: str, *, schema: str = "main") -> str | None:
    """Return a noted value of a state."""
    found = state.execute(f"SELECT value FROM {schema}.meta WHERE name = ?", (name,)).fetchone()  # noqa: S608
    return found[0] if found else None


def set_meta(state: sqlite3.Connection, name: str, value: str | None) -> None:
    """Note a value with the new state."""
    state.execute("INSERT OR REPLACE INTO meta VALUES (?, ?)", (name, value))


class Known(Container[str]):
    """The ids of a file in the applied state, to which a row of a delta may refer."""

    def __init__(self, state: sqlite3.Connection, file: str) -> None:
        self._state = state
        self._select = f"SELECT 1 FROM base.{table(file)} WHERE id = ?"  # noqa: S608

    def __contains__(self, sourced_id: object) -> bool:
        return self._state.execute(self._select, (sourced_id,)).fetchone() is not None


# --- spooling -------------------------------------------------------------------


def spool(state: sqlite3.Connection, rows: Iterator[Row], keyring: crypto.Keyring) -> str | None:
    """Write the set's valid rows aside, by file; return the newest `dateLastModified` among them.

    Whatever `rows` raises ends it; nothing but this scratch file was touched.
    """
    newest: str | None = None
    waiting: dict[str, list[tuple[str, str | None, str | None, int, str]]] = {}
    state.execute("BEGIN")
    for row in rows:
        if row.file not in KEPT:
            continue
        if row.modified and (newest is None or row.modified > newest):
            newest = row.modified
        batch = waiting.setdefault(row.file, [])
        batch.append(_spooled(row, keyring))
        if len(batch) >= _SPOOL_ROWS:
            _write_spool(state, row.file, batch)
            batch.clear()
    for file, batch in waiting.items():
        _write_spool(state, file, batch)
    state.execute("COMMIT")
    return newest


def _spooled(row: Row, keyring: crypto.Keyring) -> tuple[str, str | None, str | None, int, str]:
    values = row.values
    # Blank cells are left out; `== 0` keeps what is false or nought.
    kept: dict[str, object] = {
        column: value for column in KEPT[row.file] if (value := values.get(column)) or value == 0
    }
    if row.file == "users.csv":
        last4 = values.get("metadata.ssnLast4")
        if isinstance(last4, str) and last4:
            kept["last4"] = _hashed_last4(last4, kept, keyring)
    key = kept.get(_KEYS.get(row.file, ""))
    return (
        row.sourced_id,
        key if isinstance(key, str) else None,
        row.modified,
        int(row.active),
        _encoded(kept),
    )


def _hashed_last4(
    digits: str, user: Mapping[str, object], keyring: crypto.Keyring
) -> dict[str, str]:
    """Return what is kept of the last four: a hash with each number that may find the student."""
    hashes = {"secret": keyring.current}
    for name, column in (("number", "identifier"), ("gtid", "metadata.gtid")):
        if number := user.get(column):
            hashes[name] = last_four.hash_to_keep(keyring, str(number), digits)
    return hashes


def _spool_table(file: str) -> str:
    return f"spool.{table(file)}"


def _write_spool(state: sqlite3.Connection, file: str, batch: list[Any]) -> None:
    # Without a key: millions of rows are only appended here, and sorted once when they are taken.
    state.execute(
        f"CREATE TABLE IF NOT EXISTS {_spool_table(file)} "
        "(id TEXT, key TEXT, modified TEXT, active INTEGER, data TEXT)"
    )
    state.executemany(f"INSERT INTO {_spool_table(file)} VALUES (?, ?, ?, ?, ?)", batch)  # noqa: S608


def make_spool_tables(state: sqlite3.Connection, files: Iterable[str]) -> None:
    """Make the spool of each file that the set carries, also where it has no good row."""
    for file in files:
        _write_spool(state, file, [])


# --- merging --------------------------------------------------------------------


def merge(state: sqlite3.Connection, modes: Mapping[str, str], *, today: date) -> dict[str, Counts]:
    """Make the new state's rows of the applied ones and the spooled ones; return counts by file.

    Args:
        state: a new state with its base attached and the set spooled.
        modes: `bulk` or `delta` for each file that the set carries; the others stay as applied.
        today: the district's day, which decides the current school year.
    """
    counts = {}
    state.execute("BEGIN")
    for file in FILES:
        if file not in modes:
            _copy_base(state, file)
            continue
        # A file of attendance covers only what it names: it never removes what it leaves out.
        whole = modes[file] == "bulk" and file != "attendance.csv"
        counts[file] = _replace(state, file, today) if whole else _upsert(state, file)
    _retire_classes(state)
    _remember_years(state)
    state.execute("CREATE INDEX main.roles_by_user ON roles (key)")
    state.execute("COMMIT")
    return counts


def _copy_base(state: sqlite3.Connection, file: str) -> None:
    state.execute(f"INSERT OR IGNORE INTO main.{table(file)} SELECT * FROM base.{table(file)}")  # noqa: S608


def _count(state: sqlite3.Connection, query: str) -> int:
    return int(state.execute(query).fetchone()[0])


def _replace(state: sqlite3.Connection, file: str, today: date) -> Counts:
    """Take the spooled rows as the whole truth of a file."""
    into, spooled = table(file), _spool_table(file)
    # The reader lets no sourcedId through twice; ids it made of a pair may meet: the last one wins.
    state.execute(
        f"INSERT OR REPLACE INTO main.{into} SELECT id, key, modified, data "  # noqa: S608
        f"FROM {spooled} WHERE active ORDER BY id"
    )
    if file in _GRADEBOOK:
        _keep_other_years(state, file, today)
    both, same = state.execute(
        "SELECT COUNT(*), COALESCE(SUM(n.data = b.data), 0) "  # noqa: S608
        f"FROM main.{into} n JOIN base.{into} b USING (id)"
    ).fetchone()
    after = _count(state, f"SELECT COUNT(*) FROM main.{into}")  # noqa: S608
    before = _count(state, f"SELECT COUNT(*) FROM base.{into}")  # noqa: S608
    return Counts(added=after - both, changed=both - same, removed=before - both, unchanged=same)


def _keep_other_years(state: sqlite3.Connection, file: str, today: date) -> None:
    """Keep what a bulk gradebook says nothing of: other classes, other school years.

    It replaces only the current school year of the classes it names (roster-format section 6).
    """
    into = table(file)
    current = _classes_of_year(state, today)
    if file == "lineItems.csv":
        named = {key for (key,) in state.execute(f"SELECT DISTINCT key FROM main.{into}")}  # noqa: S608
        kept = f"SELECT * FROM base.{into} b WHERE b.key NOT IN (SELECT id FROM temp.replaced)"  # noqa: S608
    else:
        named = {
            key
            for (key,) in state.execute(
                "SELECT DISTINCT l.key FROM main.results r JOIN main.lineItems l "
                "ON l.id = json_extract(r.data, '$.lineItemSourcedId')"
            )
        }
        kept = (
            "SELECT b.* FROM base.results b LEFT JOIN base.lineItems l "
            "ON l.id = json_extract(b.data, '$.lineItemSourcedId') "
            "WHERE l.key IS NULL OR l.key NOT IN (SELECT id FROM temp.replaced)"
        )
    state.execute("CREATE TEMP TABLE IF NOT EXISTS replaced (id TEXT PRIMARY KEY)")
    state.execute("DELETE FROM temp.replaced")
    replaced = named if current is None else named & current
    state.executemany("INSERT INTO temp.replaced VALUES (?)", ((one,) for one in replaced if one))
    state.execute(f"INSERT OR IGNORE INTO main.{into} {kept}")


def _classes_of_year(state: sqlite3.Connection, today: date) -> set[str] | None:
    """Return the classes held in the current school year; None where sessions don't tell."""
    year = school_year(state, today)
    if year is None:
        return None
    sessions = {
        sourced_id: str(json.loads(data).get("schoolYear"))
        for sourced_id, data in state.execute('SELECT id, data FROM main."academicSessions"')
    }
    current = set()
    for sourced_id, data in state.execute("SELECT id, data FROM main.classes"):
        years = {sessions.get(term) for term in json.loads(data).get("termSourcedIds", [])}
        # A class whose terms aren't known any more counts as this year's.
        if year.name in years or years <= {None}:
            current.add(sourced_id)
    return current


def _upsert(state: sqlite3.Connection, file: str) -> Counts:
    """Take the spooled rows one by one; what is older than what is stored is skipped."""
    into, spooled = table(file), _spool_table(file)
    _copy_base(state, file)
    added = changed = removed = unchanged = 0
    pairs = state.execute(
        "SELECT n.id, n.key, n.modified, n.active, n.data, b.modified, b.data "  # noqa: S608
        f"FROM {spooled} n LEFT JOIN base.{into} b ON b.id = n.id"
    )
    for sourced_id, key, modified, active, data, stored_modified, stored in pairs.fetchall():
        if stored is not None and modified and stored_modified and modified < stored_modified:
            unchanged += 1
        elif not active:
            state.execute(f"DELETE FROM main.{into} WHERE id = ?", (sourced_id,))  # noqa: S608
            removed, unchanged = removed + (stored is not None), unchanged + (stored is None)
        elif file == "attendance.csv" and _is_present(data):
            # Present is counted, not stored; it takes back an absence of the same id.
            state.execute(f"DELETE FROM main.{into} WHERE id = ?", (sourced_id,))  # noqa: S608
            changed, unchanged = changed + (stored is not None), unchanged + (stored is None)
        else:
            state.execute(
                f"INSERT OR REPLACE INTO main.{into} VALUES (?, ?, ?, ?)",  # noqa: S608
                (sourced_id, key, modified, data),
            )
            added += stored is None
            unchanged += stored == data
            changed += stored is not None and stored != data
    return Counts(added, changed, removed, unchanged)


def _is_present(data: str) -> bool:
    return bool(json.loads(data).get("attendanceStatus") == PRESENT)


# --- marks and sessions -----------------------------------------------------------


def _retire_classes(state: sqlite3.Connection) -> None:
    """Remember the classes that left, and forget those that came back."""
    state.execute("INSERT OR IGNORE INTO main.retired SELECT * FROM base.retired")
    state.execute(
        "INSERT OR REPLACE INTO main.retired SELECT id, data FROM base.classes "
        "WHERE id NOT IN (SELECT id FROM main.classes)"
    )
    state.execute("DELETE FROM main.retired WHERE id IN (SELECT id FROM main.classes)")


def _remember_years(state: sqlite3.Connection) -> None:
    """Note the years that sessions tell of beside those of earlier sets; the newest word counts."""
    told = {year.name: [year.start, year.end] for year in _told_years(state)}
    before = json.loads(get_meta(state, "school_years", schema="base") or "{}")
    set_meta(state, "school_years", _encoded({**before, **told}))


def known_years(state: sqlite3.Connection) -> list[SchoolYear]:
    """Return every school year that a set of the roster ever told of, the oldest first."""
    noted = json.loads(get_meta(state, "school_years") or "{}")
    years = (SchoolYear(name, start, end) for name, (start, end) in noted.items())
    return sorted(years, key=lambda year: (year.start, year.name))


def school_year(state: sqlite3.Connection, today: date) -> SchoolYear | None:
    """Return the school year of a day: the one that holds it, else the last begun, else the first.

    A year's days are those of its sessions of type `schoolYear`, or of all its sessions.
    """
    years = _told_years(state)
    if not years:
        return None
    day = today.isoformat()
    begun = [year for year in years if year.start <= day]
    holding = [year for year in begun if day < year.end]
    return (holding or begun or years[:1])[-1]


def _told_years(state: sqlite3.Connection) -> list[SchoolYear]:
    """Return the school years that the roster's sessions tell of now, the oldest first."""
    spans: dict[str, list[tuple[bool, str, str]]] = {}
    for (data,) in state.execute('SELECT data FROM main."academicSessions"'):
        session = json.loads(data)
        whole = session.get("type") == "schoolYear"
        span = (whole, session.get("startDate", ""), session.get("endDate", ""))
        spans.setdefault(str(session.get("schoolYear")), []).append(span)
    years = (_year(name, sessions) for name, sessions in spans.items())
    return sorted(years, key=lambda year: year.start)


def _year(name: str, sessions: list[tuple[bool, str, str]]) -> SchoolYear:
    counted = [s for s in sessions if s[0]] or sessions
    return SchoolYear(name, min(s[1] for s in counted), max(s[2] for s in counted))
