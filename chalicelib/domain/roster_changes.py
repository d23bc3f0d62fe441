"""In which order an import's changes reach the table, cut into chunks that can be written again.

Families use the portal while an import runs. Access is taken before anything is given: links that
go (and the names of students that go with them), then guardians whose keys or address end, then
other deletions, then contents, links last, and after them the names they open.
"""

import gzip
import itertools
import json
import sqlite3
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

_encoded = json.JSONEncoder(ensure_ascii=False).encode
ITEMS_A_CHUNK = 5_000
# Each is a transaction of its own.
GUARDIANS_A_CHUNK = 500
# The phases whose lines wait in the spool; contents go to their chunks at once.
TAKES, GIVES, NAMES, PROFILES = "takes", "gives", "names", "profiles"
# A guardian's links, and the names of those they lead to.
_LINK_IN_GUARDIAN = (
    "pk >= 'guardian#' AND pk < 'guardian$' AND "
    "(sk = 'students' OR (sk >= 'student#' AND sk < 'student$'))"
)


@dataclass(frozen=True)
class ItemChange:
    """An item to put, or to delete where `attributes` is None."""

    pk: str
    sk: str
    attributes: dict[str, str] | None


@dataclass(frozen=True)
class GuardianChange:
    """A guardian whose unused keys end, and maybe whose address on record follows the roster.

    Attributes:
        guardian_id: whose partition it is.
        profile: the new profile's attributes; None deletes it, `keep` leaves it as it is.
        keep: only the keys end, since the last student with access is gone.
        old_email: the roster's address before, to which the change is told.
        email: the roster's address now.
        address_hash: the keyed hash of it.
    """

    guardian_id: str
    profile: dict[str, str] | None
    keep: bool
    old_email: str | None
    email: str | None
    address_hash: str | None


Change = ItemChange | GuardianChange


class Chunks:
    """Writes lines as gzipped chunks of one size into a folder, one after the other."""

    def __init__(self, folder: Path, most: int = ITEMS_A_CHUNK) -> None:
        self._folder = folder
        self._most = most
        self._waiting: list[str] = []
        self.paths: list[Path] = []

    def add(self, line: str) -> None:
        """Take one line."""
        self._waiting.append(line)
        if len(self._waiting) >= self._most:
            self._write()

    def close(self) -> list[Path]:
        """Write what waits; return every chunk in order."""
        if self._waiting:
            self._write()
        return self.paths

    def _write(self) -> None:
        path = self._folder / f"{len(self.paths):05}.jsonl.gz"
        packed = gzip.compress("\n".join(self._waiting).encode(), compresslevel=1, mtime=0)
        path.write_bytes(packed)
        self.paths.append(path)
        self._waiting.clear()


def make_tables(state: sqlite3.Connection) -> None:
    """Make what the changes that must wait their turn are kept in."""
    state.execute(f"CREATE TABLE spool.{TAKES} (line TEXT)")
    state.execute(f"CREATE TABLE spool.{GIVES} (line TEXT)")
    state.execute(f"CREATE TABLE spool.{NAMES} (line TEXT)")
    state.execute(f"CREATE TABLE spool.{PROFILES} (id TEXT PRIMARY KEY, line TEXT)")


def line_of(pk: str, sk: str, attributes: Mapping[str, str] | None) -> str:
    """Return an item's change as a line of a chunk; without attributes it deletes."""
    return _encoded([pk, sk, attributes])


def in_order(state: sqlite3.Connection, contents: Chunks, folder: Path) -> list[Path]:
    """Return every chunk, in the order they must be applied.

    A chunk holds changes of one phase only, so its parts may be written side by side.

    Args:
        state: the new state with `base` and `spool` attached, items derived.
        contents: the chunks of contents so far; plain guardians' profiles are added.
        folder: where further folders of chunks are made.
    """
    _find_moving_guardians(state)
    for (line,) in state.execute(
        f"SELECT line FROM spool.{PROFILES} WHERE id NOT IN (SELECT id FROM spool.moving)"  # noqa: S608
    ):
        contents.add(line)
    taken = itertools.chain(_deleted(state, _LINK_IN_GUARDIAN), _lines(state, TAKES))
    others = f"NOT ({_LINK_IN_GUARDIAN}) AND NOT (sk = 'profile' AND {_MOVING})"
    return [
        *_chunks(taken, folder / "taken"),
        *_chunks(_guardians(state), folder / "guardians", GUARDIANS_A_CHUNK),
        *_chunks(_deleted(state, others), folder / "deleted"),
        *contents.close(),
        *_chunks(_lines(state, GIVES), folder / "given"),
        *_chunks(_lines(state, NAMES), folder / "named"),
    ]


_MOVING = "pk IN (SELECT 'guardian#' || id FROM spool.moving)"


def _chunks(lines: Iterable[str], folder: Path, most: int = ITEMS_A_CHUNK) -> list[Path]:
    folder.mkdir()
    chunks = Chunks(folder, most)
    for line in lines:
        chunks.add(line)
    return chunks.close()


def _lines(state: sqlite3.Connection, name: str) -> Iterator[str]:
    for (line,) in state.execute(f"SELECT line FROM spool.{name}"):  # noqa: S608
        yield line


def _deleted(state: sqlite3.Connection, where: str) -> Iterator[str]:
    """Yield the deletions of items that the new state doesn't have."""
    query = (
        f"SELECT pk, sk FROM base.items b WHERE {where} AND NOT EXISTS "  # noqa: S608
        "(SELECT 1 FROM main.items i WHERE i.pk = b.pk AND i.sk = b.sk)"
    )
    for pk, sk in state.execute(query):
        yield line_of(pk, sk, None)


def read_chunk(packed: bytes) -> list[Change]:
    """Return the changes of one chunk."""
    changes: list[Change] = []
    # Not `splitlines`: JSON escapes the line feed and leaves U+2028, which a comment may hold.
    for line in gzip.decompress(packed).decode().split("\n"):
        loaded = json.loads(line)
        if isinstance(loaded, dict):
            changes.append(GuardianChange(**loaded))
        else:
            changes.append(ItemChange(*loaded))
    return changes


def _find_moving_guardians(state: sqlite3.Connection) -> None:
    """Note the guardians that need a transaction.

    Those whose address changed, who left or came (an account may wait from before), and those who
    lose their last student. A first roster has nobody to take anything from.
    """
    state.execute("CREATE TABLE spool.moving (id TEXT PRIMARY KEY)")
    if state.execute("SELECT 1 FROM base.items LIMIT 1").fetchone() is None:
        return
    state.execute(
        "INSERT OR IGNORE INTO spool.moving "
        "SELECT b.id FROM base.guardians b LEFT JOIN main.guardians n USING (id) "
        "WHERE n.id IS NULL OR n.address <> b.address "
        "UNION SELECT id FROM main.guardians WHERE id NOT IN (SELECT id FROM base.guardians) "
        "UNION SELECT guardian FROM base.links WHERE access AND guardian NOT IN "
        "(SELECT guardian FROM main.links WHERE access)"
    )


def _guardians(state: sqlite3.Connection) -> Iterator[str]:
    for guardian_id, changed, stays, old_email, email in state.execute(
        "SELECT m.id, p.line, n.id, b.email, n.email FROM spool.moving m "
        "LEFT JOIN spool.profiles p ON p.id = m.id "
        "LEFT JOIN base.guardians b ON b.id = m.id LEFT JOIN main.guardians n ON n.id = m.id "
        "ORDER BY m.id"
    ):
        profile = json.loads(changed)[2] if changed else None
        line = {
            "guardian_id": guardian_id,
            "profile": profile,
            "keep": profile is None and stays is not None,
            "old_email": old_email,
            "email": email,
            "address_hash": profile.get("address_hash") if profile else None,
        }
        yield _encoded(line)
