"""From bytes to rows: strict UTF-8, one CSV row at a time, physical lines, full SSNs stopped.

Nothing longer than one row is ever held.
"""

import csv
import io
import re
import zipfile
from collections.abc import Iterator, Sequence

from chalicelib.domain.oneroster_faults import SetRejected, fault

MAX_ROW_BYTES = 64 * 1024
_BLOCK = 256 * 1024
_BOM = b"\xef\xbb\xbf"

# --- full Social Security numbers (contract section 3; docs/roster.md) -----------

# Cheap, on the raw line: without this no cell of the line can be ddd-dd-dddd in ASCII.
_MAYBE_SSN = re.compile(rb"-[0-9]{2}-[0-9]{4}")
_DASH = "[-\u00ad\u2010-\u2015\u2212\ufe58\ufe63\uff0d]"
_WHOLE_CELL = re.compile(rf"\s*\d{{3}}{_DASH}\d{{2}}{_DASH}\d{{4}}\s*")
_IN_RAW_LINE = re.compile(
    rf'(?:^|[,"])\s*\d{{3}}{_DASH}\d{{2}}{_DASH}\d{{4}}\s*(?:$|[,"])', re.MULTILINE
)
# `classNumber` and `addressNumber` hold the three letters by accident.
_NO_SSN_WORDS = re.compile("class|address|access|business|process|pass")
_SSN_DIGITS = 9


def names_ssn(header: str) -> bool:
    """Whether a column's name says that it holds Social Security numbers."""
    name = _NO_SSN_WORDS.sub("-", header.lower())
    return "ssn" in name or "social" in name


def is_full_ssn(cell: str) -> bool:
    """Whether a cell of any column is, as a whole, ddd-dd-dddd."""
    return _WHOLE_CELL.fullmatch(cell) is not None


def has_nine_digits(cell: str) -> bool:
    """Whether a cell of a column named for SSNs holds nine digits, whatever separates them."""
    return sum(map(str.isdecimal, cell)) == _SSN_DIGITS


# --- lines ------------------------------------------------------------------------


class Lines:
    """The decoded lines of one file of the zip, and what is known of the row that is being read.

    Attributes:
        line: the physical line read last, 1 = header.
        odd: the current row holds something that calls for a look at each of its cells.
        bom: the file began with a byte order mark.
    """

    def __init__(self, opened: zipfile.ZipFile, path: str, file: str) -> None:
        self.file = file
        self.line = 0
        self.odd = False
        self.bom = False
        self._ssn_in_raw = False
        self._row_bytes = 0
        self._ended = False
        self._opened = opened
        self._path = path

    def rows(self) -> Iterator[tuple[int, list[str] | None]]:
        """Yield the line on which each row begins and its cells, or None where they can't be split.

        Raises:
            SetRejected: not UTF-8, a row too long, a quotation mark never closed, a full SSN in a
                row that can't be split.
        """
        reader = csv.reader(self._decoded(), strict=True)
        while True:
            begins = self.line + 1
            self._row_bytes = 0
            self.odd = self._ssn_in_raw = False
            try:
                row: list[str] | None = next(reader)
            except StopIteration:
                return
            except csv.Error:
                if self._ssn_in_raw:
                    raise SetRejected(fault("error", "ssn.full", file=self.file)) from None
                if self._ended:  # inside quotation marks
                    raise self._rejected("row.unclosed-quote", begins) from None
                row = None
            yield begins, row

    def _decoded(self) -> Iterator[str]:
        maybe_ssn = _MAYBE_SSN.search
        with self._opened.open(self._path) as packed:
            readline = io.BufferedReader(packed, _BLOCK).readline  # type: ignore[type-var]
            while raw := readline(MAX_ROW_BYTES + 1):
                self.line += 1
                self._row_bytes += len(raw)
                if self._row_bytes > MAX_ROW_BYTES:
                    raise self._rejected("row.too-long", self.line)
                if self.line == 1 and raw.startswith(_BOM):
                    self.bom, raw = True, raw[len(_BOM) :]
                try:
                    text = raw.decode("utf-8")
                except UnicodeDecodeError:
                    raise self._rejected("encoding.not-utf-8", self.line) from None
                if maybe_ssn(raw) or not text.isascii() or not text.rstrip("\r\n").isprintable():
                    self.odd = True
                    self._ssn_in_raw = self._ssn_in_raw or bool(_IN_RAW_LINE.search(text))
                yield text
        self._ended = True

    def _rejected(self, code: str, line: int) -> SetRejected:
        return SetRejected(fault("error", code, file=self.file, line=line))


def stop_at_full_ssn(
    file: str, line: int, row: Sequence[str], *, ssn_columns: Sequence[int], odd: bool
) -> None:
    """Raise where a row holds a full SSN; the fault names file and line, and quotes nothing.

    Raises:
        SetRejected: code `ssn.full`.
    """
    if any(has_nine_digits(row[at]) for at in ssn_columns if at < len(row) and row[at]) or (
        odd and any(map(is_full_ssn, row))
    ):
        raise SetRejected(fault("error", "ssn.full", file=file, line=line))
