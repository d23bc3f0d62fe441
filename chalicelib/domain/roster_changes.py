"""In which order an import's changes reach the table, cut into chunks that can be written again.

Families use the portal while an import runs. Access is taken before anything is given: links that
go, then guardians whose keys or address end, then other deletions, then contents, links last.
"""

import gzip
import json
import sqlite3
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ITEMS_A_CHUNK = 5_000
# Each is a transaction of its own.
GUARDIANS_A_CHUNK = 500
_LINK_IN_GUARDIAN = (
    "pk >= 'guardian#' AND pk < 'guardian$' AND sk >= 'student#' AND sk < 'student$'"
)
_LINK_IN_STUDENT = "pk >= 'student#' AND pk < 'student$' AND sk >= 'guardian#' AND sk < 'guardian$'"
_ADMITS = """instr(body, '\\"portal_access\\":true') > 0"""
_MOVING = (
    "substr(pk, 1, 9) = 'guardian#' AND sk = 'profile' "
    "AND substr(pk, 10) IN (SELECT id FROM work.moving)"
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


def write_chunks(state: sqlite3.Connection, folder: Path) -> list[Path]:
    """Write the changes as gzipped JSON lines, in the order they must be applied.

    A chunk holds changes of one phase only, so its parts may be written side by side.

    Args:
        state: the new state with `base` and `work` attached, items derived.
        folder: an empty folder.
    """
    _find_moving_guardians(state)
    chunks: list[Path] = []
    for lines, most in _phases(state):
        batch: list[str] = []
        for line in lines:
            batch.append(line)
            if len(batch) == most:
                chunks.append(_write(folder, len(chunks), batch))
                batch = []
        if batch:
            chunks.append(_write(folder, len(chunks), batch))
    return chunks


def read_chunk(packed: bytes) -> list[Change]:
    """Return the changes of one chunk."""
    changes: list[Change] = []
    for line in gzip.decompress(packed).decode().splitlines():
        loaded = json.loads(line)
        if isinstance(loaded, dict):
            changes.append(GuardianChange(**loaded))
        else:
            changes.append(ItemChange(*loaded))
    return changes


def _write(folder: Path, number: int, lines: list[str]) -> Path:
    path = folder / f"changes-{number:04}.jsonl.gz"
    path.write_bytes(gzip.compress("\n".join(lines).encode(), compresslevel=1, mtime=0))
    return path


def _find_moving_guardians(state: sqlite3.Connection) -> None:
    """Note the guardians that need a transaction.

    Those whose address changed, who left or came (an account may wait from before), and those who
    lose their last student. A first roster has nobody to take anything from.
    """
    state.execute("CREATE TABLE work.moving (id TEXT PRIMARY KEY)")
    if state.execute("SELECT 1 FROM base.items LIMIT 1").fetchone() is None:
        return
    state.execute(
        "INSERT OR IGNORE INTO work.moving "
        "SELECT b.id FROM base.guardians b LEFT JOIN main.guardians n USING (id) "
        "WHERE n.id IS NULL OR n.address <> b.address "
        "UNION SELECT id FROM main.guardians WHERE id NOT IN (SELECT id FROM base.guardians) "
        "UNION SELECT guardian FROM base.links WHERE access AND guardian NOT IN "
        "(SELECT guardian FROM main.links WHERE access)"
    )


def _phases(state: sqlite3.Connection) -> Iterator[tuple[Iterator[str], int]]:
    """Yield each phase's lines and how many of them make a chunk."""
    gone, put = "body IS NULL", "body IS NOT NULL"
    takes = f"({put} AND {_LINK_IN_STUDENT} AND NOT {_ADMITS})"
    gives = f"({put} AND (({_LINK_IN_STUDENT} AND {_ADMITS}) OR {_LINK_IN_GUARDIAN}))"
    taken = f"(({gone} AND {_LINK_IN_GUARDIAN}) OR {takes})"
    yield _items(state, taken), ITEMS_A_CHUNK
    yield _guardians(state), GUARDIANS_A_CHUNK
    yield _items(state, f"{gone} AND NOT ({_LINK_IN_GUARDIAN}) AND NOT ({_MOVING})"), ITEMS_A_CHUNK
    contents = f"{put} AND NOT {takes} AND NOT {gives} AND NOT ({_MOVING})"
    yield _items(state, contents), ITEMS_A_CHUNK
    yield _items(state, gives), ITEMS_A_CHUNK


def _items(state: sqlite3.Connection, where: str) -> Iterator[str]:
    query = f"SELECT pk, sk, body FROM work.changes WHERE {where} ORDER BY pk, sk"  # noqa: S608
    for pk, sk, body in state.execute(query):
        attributes = json.loads(body) if body is not None else None
        yield json.dumps([pk, sk, attributes], ensure_ascii=False)


def _guardians(state: sqlite3.Connection) -> Iterator[str]:
    for guardian_id, body, changed, old_email, email in state.execute(
        "SELECT m.id, c.body, c.pk, b.email, n.email FROM work.moving m "
        "LEFT JOIN work.changes c ON c.pk = 'guardian#' || m.id AND c.sk = 'profile' "
        "LEFT JOIN base.guardians b ON b.id = m.id LEFT JOIN main.guardians n ON n.id = m.id "
        "ORDER BY m.id"
    ):
        profile = json.loads(body) if body else None
        line = {
            "guardian_id": guardian_id,
            "profile": profile,
            "keep": changed is None,
            "old_email": old_email,
            "email": email,
            "address_hash": profile.get("address_hash") if profile else None,
        }
        yield json.dumps(line, ensure_ascii=False)
