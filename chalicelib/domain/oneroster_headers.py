"""The judgement of one file's header: what stands where, what is missing, what is unknown."""

import difflib
import re
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass

from chalicelib.domain.oneroster_faults import Fault, Severity, fault
from chalicelib.domain.oneroster_lines import Lines, names_ssn, stop_at_full_ssn
from chalicelib.domain.oneroster_tables import OLD_HEADERS, Column, Mode, Table

# What stands between columns where an export, or a spreadsheet in another language, has no commas.
_SEPARATORS = {";": "semicolons", "\t": "tabs", "|": "vertical bars"}
_HEADER_NAME = re.compile(r"[A-Za-z][A-Za-z0-9._-]{0,63}", re.ASCII)


@dataclass(frozen=True)
class Layout:
    """One file's header, understood: which column stands where."""

    table: Table
    path: str
    width: int
    columns: tuple[tuple[int, Column], ...]
    ssn_columns: tuple[int, ...]

    def index(self, name: str) -> int | None:
        """Return the place of a column, or None where the file hasn't got it."""
        return next((at for at, column in self.columns if column.name == name), None)


def read_header(
    opened: zipfile.ZipFile, path: str, table: Table, mode: Mode, found: list[Fault]
) -> Layout | None:
    """Read and judge the header of one file; errors and warnings go to `found`."""
    lines = Lines(opened, path, table.file)
    _, cells = next(lines.rows(), (1, None))
    if lines.bom:
        found.append(fault("warning", "encoding.bom", file=table.file, line=1))
    header = [cell.strip() for cell in cells or ()]
    stop_at_full_ssn(table.file, 1, header, ssn_columns=(), odd=lines.odd)
    if not any(header):
        found.append(fault("error", "header.missing", file=table.file, line=1))
        return None
    return _HeaderReading(table, mode, header, found).layout(path)


class _HeaderReading:
    """The judgement of one header; what was found goes to `found`.

    A file without a header begins with a person's row: so a name is repeated in a fault only where
    it is one of ours, or where all required columns are there.
    """

    def __init__(self, table: Table, mode: Mode, header: Sequence[str], found: list[Fault]) -> None:
        self._table = table
        self._mode = mode
        self._header = header
        self._found = found
        self._columns = table.columns()
        self._aliases = table.aliases or {}
        self._places = self._place()

    def layout(self, path: str) -> Layout:
        """Judge the header and return what stands where."""
        self._judge_missing()
        self._judge_order()
        self._judge_unknown()
        return Layout(
            self._table,
            path,
            len(self._header),
            tuple((at, self._columns[name]) for name, at in self._places.items()),
            tuple(at for at, name in enumerate(self._header) if names_ssn(name)),
        )

    def _place(self) -> dict[str, int]:
        """Return the columns that are read and where they stand; an alias gives way to its name."""
        places: dict[str, int] = {}
        for at, name in enumerate(self._header):
            if name in self._columns:
                if name in places:
                    self._say("error", "header.duplicate", name)
                places.setdefault(name, at)
        for at, name in enumerate(self._header):
            canonical = self._aliases.get(name)
            if canonical is not None and canonical not in places:
                places[canonical] = at
        return places

    def _judge_missing(self) -> None:
        for column in self._table.standard:
            if column.name in self._places or column.dropped:
                continue
            if self._needed(column):
                self._say("error", "header.missing", column.name, self._hint_for(column.name))
            elif not self._table.side and column.name not in ("status", "dateLastModified"):
                self._say(
                    "warning", "header.optional-missing", column.name, self._hint_for(column.name)
                )

    def _needed(self, column: Column) -> bool:
        if column.name in ("status", "dateLastModified"):
            return self._mode == "delta" and not self._table.side
        return column.required

    def _judge_order(self) -> None:
        if self._table.side:
            return
        order = {column.name: at for at, column in enumerate(self._table.standard)}
        furthest = -1
        for name in (name for name in self._header if name in order):
            if order[name] < furthest:
                self._say("error", "header.order", name)
                return
            furthest = order[name]
        last = max((at for at, name in enumerate(self._header) if name in order), default=0)
        if any(name.startswith("metadata.") for name in self._header[:last]):
            self._say("warning", "header.extension-order", "")

    def _judge_unknown(self) -> None:
        complete = all(c.name in self._places for c in self._table.standard if c.required)
        seen: set[str] = set()
        for at, name in enumerate(self._header):
            if at in self._places.values():
                continue
            if not name:
                self._say("warning", "header.blank", f"#{at + 1}")
            elif name not in self._columns:
                shown = name if complete and _HEADER_NAME.fullmatch(name) else f"#{at + 1}"
                code = "header.duplicate" if name in seen else "header.unknown"
                like = self._meant(name)
                # Read as blank, a column that bars people would let them in.
                barring = like and like not in self._places and self._columns[like].bars
                severity: Severity = "error" if barring else "warning"
                self._say(severity, code, shown, f"Did you mean {like}?" if like else "")
            seen.add(name)

    def _hint_for(self, missing: str) -> str:
        if len(self._header) == 1:
            for sign, words in _SEPARATORS.items():
                if sign in self._header[0]:
                    return f"Its columns are separated by {words}; export with commas."
        for at, name in enumerate(self._header):
            if name not in self._columns and self._meant(name) == missing:
                return f"Column {at + 1} looks like it: {name}."
        return ""

    def _meant(self, name: str) -> str:
        """Return the column of ours that a name we don't know seems to mean, or nothing."""
        if OLD_HEADERS.get(name) in self._columns:
            return OLD_HEADERS[name]
        by_folded = {column.casefold(): column for column in self._columns}
        for folded in (name.casefold(), f"metadata.{name.casefold()}"):
            if folded in by_folded:
                return by_folded[folded]
        close = difflib.get_close_matches(name[:64], self._columns, n=1, cutoff=0.85)
        return close[0] if close else ""

    def _say(self, severity: Severity, code: str, column: str, hint: str = "") -> None:
        self._found.append(
            fault(severity, code, file=self._table.file, line=1, column=column, hint=hint)
        )
