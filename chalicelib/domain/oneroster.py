"""OneRoster 1.1 and 1.2 CSV sets: opened, judged and read row by row; touches no AWS.

`open_set` judges the zip, the manifest and every header; `read_rows` then reads the files, in the
order of what refers to what, and yields the good rows. Memory holds ids, never rows.
"""

import zipfile
from collections.abc import Callable, Container, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import BinaryIO

from chalicelib.domain import zip_guard
from chalicelib.domain.oneroster_cells import GUID, CellReader, Odd, canonical_time, reader_for
from chalicelib.domain.oneroster_faults import BadRow, Fault, Folder, SetRejected, fault
from chalicelib.domain.oneroster_headers import Layout, read_header
from chalicelib.domain.oneroster_lines import Lines, names_ssn, stop_at_full_ssn
from chalicelib.domain.oneroster_manifest import (
    FILE_NAME,
    judge_manifest,
    read_manifest,
    wrong_case,
)
from chalicelib.domain.oneroster_people import Hashes, People, made_id
from chalicelib.domain.oneroster_tables import (
    ATTENDANCE,
    CATEGORIES,
    CLASSES,
    COURSES,
    DELETED,
    LINE_ITEMS,
    MANIFEST,
    ORDER,
    ORGS,
    RELATIONSHIPS,
    RESULTS,
    SESSIONS,
    TABLES,
    USERS,
    Column,
    Mode,
    Version,
)

__all__ = ["Fault", "RosterSet", "Row", "SetRejected", "Tally", "open_set", "read_rows"]

# Files whose records others refer to; the ids of their good rows are kept while reading.
_REFERRED = frozenset((ORGS, SESSIONS, COURSES, USERS, CLASSES, CATEGORIES, LINE_ITEMS))
# Files that refer to themselves need their ids before the first row is judged.
_REFER_TO_THEMSELVES = frozenset((ORGS, SESSIONS, USERS))
_LISTS = ("list", "refs", "days")


@dataclass
class Tally:
    """What was read of one file so far: data rows, and how many of them were refused."""

    rows: int = 0
    bad: int = 0


@dataclass(frozen=True)
class RosterSet:
    """An opened set whose manifest and headers are in order.

    Attributes:
        version: of OneRoster.
        mode: `bulk` where the rostering files are the whole truth, else `delta`.
        files: the files that are read, in the order of reading, each with its own mode.
        warnings: what was found while opening; `read_rows` reports them first.
        tallies: per file, filled by `read_rows`.
    """

    version: Version
    mode: Mode
    files: Mapping[str, Mode]
    warnings: tuple[Fault, ...]
    tallies: dict[str, Tally] = field(default_factory=dict)
    layouts: Mapping[str, Layout] = field(default_factory=dict, repr=False)
    opened: zipfile.ZipFile | None = field(default=None, repr=False)
    unread: tuple[zip_guard.Entry, ...] = field(default=(), repr=False)


@dataclass(frozen=True, slots=True)
class Row:
    """One good row.

    `values` has every column that the portal reads of this file under its canonical name, blank or
    absent ones as None or, for lists, []; numbers as float or int, true and false as bool, dates as
    YYYY-MM-DD. A row with `active` False may have nothing but its id. `modified` is UTC with
    milliseconds, so that two compare as texts.
    """

    file: str
    sourced_id: str
    line: int
    active: bool
    modified: str | None
    values: dict[str, object]


# --- opening ------------------------------------------------------------------------


def open_set(source: BinaryIO) -> RosterSet:
    """Judge a zip, its manifest and the headers of all its files.

    Takes a seekable file, which must stay open while rows are read.

    Raises:
        SetRejected: the zip is refused; `faults` says why, with warnings found on the way.
    """
    try:
        opened, entries = zip_guard.judge(source)
    except zip_guard.ZipRefused as refused:
        raise SetRejected(fault("error", refused.code)) from refused
    by_name = {entry.name: entry for entry in entries}
    if MANIFEST not in by_name:
        raise SetRejected(fault("error", "manifest.missing"), *wrong_case(by_name, (MANIFEST,)))
    found: list[Fault] = []
    manifest = read_manifest(opened, by_name[MANIFEST].path, found)
    files, mode = judge_manifest(manifest, by_name, found)
    layouts = {}
    for name in files:
        layout = read_header(opened, by_name[name].path, TABLES[manifest.version][name],
                              files[name], found)  # fmt: skip
        if layout is not None:
            layouts[name] = layout
    if any(each.severity == "error" for each in found):
        raise SetRejected(*found)
    unread = tuple(e for e in entries if e.name not in files and e.name != MANIFEST)
    return RosterSet(
        manifest.version, mode, files, tuple(found), {name: Tally() for name in files},
        layouts, opened, unread,
    )  # fmt: skip


# --- rows ---------------------------------------------------------------------------


def read_rows(
    roster: RosterSet, known: Mapping[str, Container[str]], report: Callable[[Fault], None]
) -> Iterator[Row]:
    """Read every file once and yield its good rows, files in the order of `roster.files`.

    Takes, for a delta, the ids of the applied state by file name (references to them are good; {}
    for a bulk set), and where faults go. Bad rows are reported and not yielded, of rows with one
    sourcedId none. `roster.tallies` counts. References are judged against good rows, but
    `agentSourcedIds` and `parentSourcedId` against all rows of their own file.

    Raises:
        SetRejected: a full SSN, bytes that aren't UTF-8, or a row without end, also in the middle;
            so nothing may be written before the last row was read.
    """
    reading = _SetReading(roster, known, report)
    for name in roster.files:
        roster.tallies[name] = Tally()
    for found in roster.warnings:
        report(found)
    reading.scan_unread()
    for name in roster.files:
        yield from reading.read_file(name)
    reading.finish()


def _swallowed(cells: Sequence[str] | None, width: int, more_lines: int) -> int:
    """Return how many further rows a bad row holds, that spans more lines than its first.

    A comment with a line break holds none; where a stray quotation mark opened a cell, whole rows
    stand inside it and another one closes it.
    """
    if not more_lines or cells is None or len(cells) != width:
        return more_lines
    inside = (piece for cell in cells if "\n" in cell for piece in cell.split("\n"))
    rows = sum(piece.count(",") >= width - 1 for piece in inside)
    return rows + 1 if rows else 0


@dataclass
class _Ids:
    """What is known of one file's ids while the set is read."""

    good: set[str] = field(default_factory=set)
    # All ids of a file that refers to itself, good or bad.
    listed: set[str] = field(default_factory=set)
    refused: set[str] = field(default_factory=set)
    deleted: set[str] = field(default_factory=set)


@dataclass(frozen=True)
class _Plan:
    """How the rows of one file are read: per column its place, its rule and its reader."""

    layout: Layout
    mode: Mode
    id_at: int | None
    status_at: int | None
    modified_at: int | None
    cells: tuple[tuple[int, Column, CellReader], ...]
    absent: Mapping[str, object]
    absent_lists: tuple[str, ...]
    duplicates: frozenset[int]


class _SetReading:
    """One pass over a set. Holds ids of files that others refer to, and nothing of rows."""

    def __init__(
        self,
        roster: RosterSet,
        known: Mapping[str, Container[str]],
        report: Callable[[Fault], None],
    ) -> None:
        assert roster.opened is not None
        self._roster = roster
        self._opened = roster.opened
        self._known = known
        self._folder = Folder(report)
        self._ids = {name: _Ids() for name in ORDER}
        self._people = People(roster.layouts, bulk=roster.mode == "bulk")
        self._bounds: dict[str, tuple[float | None, float | None]] = {}
        self._file = ""
        self._judges: Mapping[str, Callable[[int, str, dict[str, object]], None]] = {
            SESSIONS: self._judge_session,
            USERS: self._judge_user,
            RELATIONSHIPS: self._judge_relationship,
            LINE_ITEMS: self._remember_bounds,
            ATTENDANCE: self._judge_event,
            RESULTS: self._judge_score,
        }

    # -- files --

    def scan_unread(self) -> None:
        """Look for full SSNs in the files that nothing is read from.

        Raises:
            SetRejected: code `ssn.full`.
        """
        for entry in self._roster.unread:
            shown = entry.name if FILE_NAME.fullmatch(entry.name) else ""
            lines = Lines(self._opened, entry.path, shown)
            ssn_columns: list[int] = []
            try:
                for line, row in lines.rows():
                    if line == 1:
                        ssn_columns = [at for at, name in enumerate(row or ()) if names_ssn(name)]
                    stop_at_full_ssn(shown, line, row or (), ssn_columns=ssn_columns, odd=lines.odd)
            except SetRejected as rejected:
                # A file that nobody reads may be in any encoding and of any shape.
                if any(each.code == "ssn.full" for each in rejected.faults):
                    raise

    def read_file(self, name: str) -> Iterator[Row]:
        """Yield the good rows of one file."""
        self._file = name
        layout = self._roster.layouts[name]
        plan = self._plan(layout, self._roster.files[name], self._survey(layout))
        tally = self._roster.tallies[name]
        ids = self._ids[name]
        lines = Lines(self._opened, layout.path, name)
        rows = lines.rows()
        next(rows)
        for line, cells in rows:
            last = lines.line
            if cells is not None:
                stop_at_full_ssn(name, line, cells, ssn_columns=layout.ssn_columns, odd=lines.odd)
                if not any(cells):
                    if cells:
                        self._warn("row.blank", line)
                    continue
            tally.rows += 1
            try:
                row = self._row(plan, line, last, cells, odd=lines.odd)
            except BadRow as bad:
                # Rows that a stray quotation mark swallowed are counted, or they would be missed.
                lost = _swallowed(cells, layout.width, last - line)
                tally.rows += lost
                tally.bad += 1 + lost
                self._refuse(plan, line, cells, bad)
                continue
            if name in _REFERRED:
                (ids.good if row.active else ids.deleted).add(row.sourced_id)
            yield row
        if not tally.rows:
            self._warn("file.empty", 1)
        self._folder.close_file()

    def finish(self) -> None:
        """Report what only the whole set can tell."""
        for found in self._people.unlinked():
            self._folder.fold(found)
        self._folder.close_file()

    def _refuse(self, plan: _Plan, line: int, cells: list[str] | None, bad: BadRow) -> None:
        sourced_id = self._identity(plan.layout, cells or ()) if cells else ""
        if sourced_id and self._file in _REFERRED:
            self._ids[self._file].refused.add(sourced_id)
        # In a ragged row the cell in the id's place may be a piece of something else.
        shown = "" if bad.code == "row.width" else sourced_id
        found = fault(
            "error", bad.code, file=self._file, line=line, column=bad.column, sourced_id=shown
        )
        if bad.cause is None:
            self._folder.error(found)
        else:
            self._folder.fold(found, bad.cause)

    def _warn(self, code: str, line: int, column: str = "", sourced_id: str = "") -> None:
        self._folder.fold(
            fault("warning", code, file=self._file, line=line, column=column, sourced_id=sourced_id)
        )

    # -- before the rows of a file --

    def _survey(self, layout: Layout) -> frozenset[int]:
        """Read a file's ids once; return the hashes of those that stand twice.

        Eight bytes an id: a year's results of a large district are millions.
        """
        name = layout.table.file
        if name == USERS:
            self._people.survey_roles(self._opened)
        listed = self._ids[name].listed if name in _REFER_TO_THEMSELVES else None
        hashes = Hashes()
        rows = Lines(self._opened, layout.path, name).rows()
        next(rows)
        for _, cells in rows:
            if cells is None or len(cells) != layout.width:
                continue
            sourced_id = self._identity(layout, cells)
            if not sourced_id:
                continue
            hashes.add(hash(sourced_id))
            if listed is not None:
                listed.add(sourced_id)
            if name == USERS:
                self._people.survey_user(layout, sourced_id, cells)
        return hashes.twice()

    def _identity(self, layout: Layout, cells: Sequence[str]) -> str:
        """Return a row's id; side files without one have it made from what names the event or pair.

        Contract section 3 and Microsoft School Data Sync v2.1, whose lines have no sourcedId.
        """
        at = layout.index("sourcedId")
        given = cells[at].strip() if at is not None and at < len(cells) else ""
        if given or len(cells) != layout.width:
            return given
        if layout.table.file == RELATIONSHIPS:
            return made_id(layout, cells, "studentSourcedId", "guardianSourcedId")
        if layout.table.file == ATTENDANCE:
            return made_id(
                layout, cells, "studentSourcedId", "date", "type", "classSourcedId", "period"
            )
        return ""

    def _plan(self, layout: Layout, mode: Mode, duplicates: frozenset[int]) -> _Plan:
        first = ("sourcedId", "status", "dateLastModified")
        cells = []
        for at, column in layout.columns:
            if column.dropped or (column.name in first and column.kind != "ref"):
                continue
            extensible = self._roster.version != "1.1"
            ref = self._reference(column.target) if column.target else None
            cells.append((at, column, reader_for(column, extensible=extensible, ref=ref)))
        present = {column.name for _, column in layout.columns}
        missing = [
            column
            for column in layout.table.columns().values()
            if not column.dropped and column.name not in present and column.name not in first
        ]
        lists = tuple(c.name for c in missing if c.kind in _LISTS)
        absent = {c.name: None for c in missing if c.name not in lists}
        return _Plan(
            layout, mode, layout.index("sourcedId"), layout.index("status"),
            layout.index("dateLastModified"), tuple(cells), absent, lists, duplicates,
        )  # fmt: skip

    def _reference(self, target: str) -> CellReader:
        """Return the judge of references to one file."""
        ids = self._ids[target]
        good, deleted, refused = ids.good, ids.deleted, ids.refused
        itself = target == self._file
        listed = ids.listed
        known = self._known.get(target, ())

        def read(cell: str) -> object:
            if cell in good or (itself and cell in listed):
                return cell
            if cell in deleted:
                raise Odd("ref.dangling", missing=cell)
            if cell in known:
                return cell
            raise Odd("ref.refused" if cell in refused else "ref.dangling", missing=cell)

        return read

    # -- one row --

    def _row(self, plan: _Plan, line: int, last: int, cells: list[str] | None, *, odd: bool) -> Row:
        if cells is None:
            raise BadRow("row.malformed")
        layout = plan.layout
        if len(cells) != layout.width:
            raise BadRow("row.width")
        sourced_id = self._identity(layout, cells)
        if odd or last != line:
            self._judge_odd(plan, line, cells, sourced_id)
        if not sourced_id:
            raise BadRow("cell.required", "sourcedId")
        if not GUID.fullmatch(sourced_id):
            raise BadRow("cell.guid", "sourcedId")
        if plan.duplicates and hash(sourced_id) in plan.duplicates:
            raise BadRow("row.duplicate", "sourcedId")
        active, modified = self._state(plan, line, cells, sourced_id)
        values = self._values(plan, line, cells, sourced_id, active=active)
        if active:
            self._judge_values(line, sourced_id, values)
        return Row(layout.table.file, sourced_id, line, active, modified, values)

    def _judge_odd(self, plan: _Plan, line: int, cells: Sequence[str], sourced_id: str) -> None:
        """Look at each cell of a row that may hold a line break or a control character."""
        names = {at: column.name for at, column in plan.layout.columns}
        for at, cell in enumerate(cells):
            column = names.get(at, f"#{at + 1}")
            if "\n" in cell or "\r" in cell:
                raise BadRow("cell.line-break", column)
            if any(ord(c) < 32 or 127 <= ord(c) < 160 for c in cell.replace("\t", " ")):  # noqa: PLR2004
                raise BadRow("cell.control-character", column)
            if "\ufffd" in cell:
                self._warn("cell.damaged", line, column, sourced_id)

    def _state(
        self, plan: _Plan, line: int, cells: Sequence[str], sourced_id: str
    ) -> tuple[bool, str | None]:
        """Return whether the row is active and when it was changed.

        A bulk file's rows should have neither; many exports fill them. A row marked tobedeleted is
        gone in either mode: who took somebody out must not see them come back.
        """
        status = cells[plan.status_at].strip() if plan.status_at is not None else ""
        changed = cells[plan.modified_at].strip() if plan.modified_at is not None else ""
        side = plan.layout.table.side
        if plan.mode == "delta" and not side and not (status and changed):
            raise BadRow("status.blank", "status" if not status else "dateLastModified")
        if status and status != "active" and status not in DELETED:
            raise BadRow("status.value", "status")
        if plan.mode == "bulk" and not side:
            if status in DELETED:
                self._warn("status.deleted-in-bulk", line, "status", sourced_id)
            elif status or changed:
                column = "status" if status else "dateLastModified"
                self._warn("status.in-bulk", line, column, sourced_id)
        modified: str | None = None
        if changed:
            try:
                modified = canonical_time(changed)
            except Odd as odd:
                if plan.mode == "delta" and not odd.usable and not side:
                    raise BadRow(odd.code, "dateLastModified") from None
                self._warn(odd.code, line, "dateLastModified", sourced_id)
                modified = odd.value if isinstance(odd.value, str) else None
        return status not in DELETED, modified

    def _values(
        self, plan: _Plan, line: int, cells: Sequence[str], sourced_id: str, *, active: bool
    ) -> dict[str, object]:
        values: dict[str, object] = dict(plan.absent)
        for name in plan.absent_lists:
            values[name] = []
        for at, column, read in plan.cells:
            cell = cells[at]
            if cell:
                trimmed = cell.strip()
                if len(trimmed) != len(cell):
                    self._warn("cell.blanks", line, column.name, sourced_id)
                    cell = trimmed
            if cell:
                try:
                    values[column.name] = read(cell)
                except Odd as odd:
                    values[column.name] = self._odd_value(
                        odd, column, line, sourced_id, active=active
                    )
            elif column.required and active:
                raise BadRow("cell.required", column.name)
            else:
                values[column.name] = [] if column.kind in _LISTS else None
        return values

    def _odd_value(
        self, odd: Odd, column: Column, line: int, sourced_id: str, *, active: bool
    ) -> object:
        """Return what an odd cell counts as, with a warning, or refuse its row."""
        plain = odd.value if odd.usable else [] if column.kind in _LISTS else None
        if not active:
            # Of a record that goes away nothing but its id matters.
            return plain
        optional_ref = column.kind == "ref" and not column.required
        if odd.usable or optional_ref:
            self._warn(odd.code, line, column.name, sourced_id)
            return plain
        if column.cost == "cell":
            code = "cell.access" if column.bars else odd.code
            self._warn(code, line, column.name, sourced_id)
            return column.unreadable if column.unreadable is not None else plain
        if odd.code.startswith("ref."):
            # Where a whole file is missing that is one cause, else each missing record is.
            there = column.target in self._roster.files
            cause = odd.missing if there else column.target
            raise BadRow(odd.code, column.name, cause)
        raise BadRow(odd.code, column.name)

    def _judge_values(self, line: int, sourced_id: str, values: dict[str, object]) -> None:
        """Judge what more than one cell of a row tells."""
        judge = self._judges.get(self._file)
        if judge is not None:
            judge(line, sourced_id, values)

    def _judge_user(self, line: int, sourced_id: str, values: Mapping[str, object]) -> None:
        for code, column, refuses in self._people.judge_user(sourced_id, values):
            if refuses:
                raise BadRow(code, column)
            self._warn(code, line, column, sourced_id)
        self._people.add_user(line, sourced_id, values)

    def _judge_relationship(self, _: int, __: str, values: Mapping[str, object]) -> None:
        self._people.judge_relationship(values)

    def _judge_session(self, line: int, sourced_id: str, values: Mapping[str, object]) -> None:
        if str(values["endDate"]) < str(values["startDate"]):
            self._warn("session.dates", line, "endDate", sourced_id)

    def _judge_event(self, line: int, sourced_id: str, values: Mapping[str, object]) -> None:
        if values["type"] == "section" and not (values["classSourcedId"] or values["period"]):
            self._warn("attendance.no-class", line, "classSourcedId", sourced_id)

    def _remember_bounds(self, _: int, sourced_id: str, values: Mapping[str, object]) -> None:
        least, most = values["resultValueMin"], values["resultValueMax"]
        if isinstance(least, float) or isinstance(most, float):
            self._bounds[sourced_id] = (
                least if isinstance(least, float) else None,
                most if isinstance(most, float) else None,
            )

    def _judge_score(self, line: int, sourced_id: str, values: Mapping[str, object]) -> None:
        score = values["score"]
        least, most = self._bounds.get(str(values["lineItemSourcedId"]), (None, None))
        if isinstance(score, float) and (
            (most is not None and score > most) or (least is not None and score < least)
        ):
            # Extra credit is real: the score stays.
            self._warn("result.score.bounds", line, "score", sourced_id)
