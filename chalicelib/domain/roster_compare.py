"""Reads a set whole and compares it with what is applied, in scratch files; writes to no table.

What comes out is all an import needs: the report's counts and faults, reasons to hold, the changes
in chunks, and the new state.
"""

import gzip
import shutil
import sqlite3
from contextlib import closing
from dataclasses import dataclass
from datetime import date
from pathlib import Path

from chalicelib import crypto
from chalicelib.domain import (
    oneroster,
    roster_changes,
    roster_holds,
    roster_items,
    roster_links,
    roster_state,
)
from chalicelib.domain.oneroster_faults import fault
from chalicelib.domain.roster_holds import Hold, Looked
from chalicelib.domain.roster_report import Faults, Found
from chalicelib.domain.roster_state import Known

# One of these as bulk can take people away, whatever mode the other files of a set have.
_WHO_IS_WHO = ("users.csv", "roles.csv", "relationships.csv")


@dataclass(frozen=True)
class Comparison:
    """What a set would do to the roster."""

    found: Found
    holds: list[Hold]
    chunks: list[Path]
    state: Path


@dataclass(frozen=True)
class Source:
    """Where a set's links come from.

    Attributes:
        links: `relationships` or `agents`.
        frozen: the set may not change links.
        missing: they came from relationships.csv so far, and this bulk set has none.
    """

    links: str
    frozen: bool = False
    missing: bool = False


def compare(
    upload: Path,
    base: Path | None,
    folder: Path,
    faults: Faults,
    *,
    keyring: crypto.Keyring,
    today: date,
) -> Comparison:
    """Read a set and compare it with the applied state.

    Args:
        upload: the zip.
        base: the applied state, gzipped, None before the first.
        folder: an empty folder for scratch files.
        faults: takes what is wrong with the set.
        keyring: the keyed hashes' secret.
        today: the district's day.

    Raises:
        SetRejected: the whole zip is refused.
    """
    base_file = folder / "base.sqlite"
    if base is not None:
        unpack(base, base_file)
    with upload.open("rb") as source:
        roster = oneroster.open_set(source)
        opened = roster_state.open_state(
            folder / "new.sqlite", base=base_file, spool=folder / "spool.sqlite"
        )
        with closing(opened) as state:
            known = {
                f: Known(state, f) for f in roster_state.FILES if roster.files.get(f) != "bulk"
            }
            rows = oneroster.read_rows(roster, known, faults.add)
            newest = roster_state.spool(state, rows, keyring)
            return _compare_spooled(
                state, roster, newest, folder, faults, keyring=keyring, today=today
            )


def _compare_spooled(
    state: sqlite3.Connection,
    roster: oneroster.RosterSet,
    newest: str | None,
    folder: Path,
    faults: Faults,
    *,
    keyring: crypto.Keyring,
    today: date,
) -> Comparison:
    source = _source(state, roster)
    roster_state.make_spool_tables(state, roster.files)
    if "relationships.csv" in roster.files:
        if _first_relationships(state) and roster.files["relationships.csv"] == "delta":
            roster_links.begin_relationships(state, today)
        roster_links.end_made_pairs(state)
        if roster.files["relationships.csv"] == "delta":
            roster_links.end_pairs(state)
    counts = roster_state.merge(state, roster.files, today=today)
    _drop_what_does_not_count(state, roster, source)
    contents = folder / "contents"
    contents.mkdir()
    chunks = roster_changes.Chunks(contents)
    for sourced_id in _derive(state, source, chunks, keyring, today):
        faults.add(fault("warning", "user.number-shared", file="users.csv", sourced_id=sourced_id))
    ordered = roster_changes.in_order(state, chunks, folder)
    applied_newest = roster_state.get_meta(state, "newest", schema="base")
    roster_state.set_meta(state, "newest", newest or applied_newest)
    roster_state.set_meta(state, "links_source", source.links)
    bad = {file: (tally.rows, tally.bad) for file, tally in roster.tallies.items()}
    bulk = any(roster.files.get(file) == "bulk" for file in _WHO_IS_WHO)
    looked = Looked(bulk, source.missing, bad, (newest, applied_newest))
    return Comparison(
        found=Found(roster.version, roster.mode, counts, bad),
        holds=roster_holds.holds(state, looked),
        chunks=ordered,
        state=_pack(folder),
    )


def _first_relationships(state: sqlite3.Connection) -> bool:
    return roster_state.get_meta(state, "links_source", schema="base") == roster_links.AGENTS


def _source(state: sqlite3.Connection, roster: oneroster.RosterSet) -> Source:
    """Say where the links come from (contract section 3).

    Once they came from relationships.csv, a delta without it changes no link, and a bulk set
    without it is held: a night without the file must not let a barred parent in.
    """
    if "relationships.csv" in roster.files:
        return Source(roster_links.RELATIONSHIPS)
    if roster_state.get_meta(state, "links_source", schema="base") != roster_links.RELATIONSHIPS:
        return Source(roster_links.AGENTS)
    if roster.mode == "bulk":
        return Source(roster_links.AGENTS, missing=True)
    return Source(roster_links.RELATIONSHIPS, frozen=True)


def _drop_what_does_not_count(
    state: sqlite3.Connection, roster: oneroster.RosterSet, source: Source
) -> None:
    """Forget rows that a file left out keeps alive, though the set speaks otherwise."""
    if source.links == roster_links.AGENTS:
        state.execute("DELETE FROM main.relationships")
    if roster.version == "1.1" and roster.files.get("users.csv") == "bulk":
        # In 1.1 the role stands with the user.
        state.execute("DELETE FROM main.roles")


def _derive(
    state: sqlite3.Connection,
    source: Source,
    contents: roster_changes.Chunks,
    keyring: crypto.Keyring,
    today: date,
) -> list[str]:
    people = roster_links.read_people(state, today)
    links = roster_links.links(state, people, source=source.links, frozen=source.frozen)
    homes = roster_links.households(people, links)
    family = roster_items.Family(people, links, homes)
    return roster_items.derive(state, family, contents, keyring=keyring, today=today)


def unpack(packed: Path, into: Path) -> None:
    """Write a gzipped state to a file."""
    with gzip.open(packed, "rb") as source, into.open("wb") as out:
        shutil.copyfileobj(source, out, 1 << 20)


def _pack(folder: Path) -> Path:
    """Return the new state's file, gzipped; everything in it is committed."""
    packed = folder / "state.sqlite.gz"
    with (
        (folder / "new.sqlite").open("rb") as source,
        gzip.open(packed, "wb", compresslevel=1) as out,
    ):
        shutil.copyfileobj(source, out, 1 << 20)
    return packed
