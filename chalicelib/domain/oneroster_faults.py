"""What can be wrong with a roster set: codes, their words for the district's data clerk, counting.

A fault holds code, file, line, column and `sourcedId`, never what stands in a cell: its report
leaves our hands (contract section 3, security row S74).
"""

import re
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Literal

Severity = Literal["error", "warning"]

# One cause can touch every row of a file: of the same warning, or of rows that miss the same
# record, so many are named and the rest counted.
NAMED_EACH = 20
# So many causes are told apart; a set with more of them is past folding.
_CAUSES_MOST = 20_000
_GUID = re.compile(r"[0-9A-Za-z._/-]{1,255}", re.ASCII)


@dataclass(frozen=True)
class Fault:
    """One fault. `line` is the file's physical line (1 = header) on which the row begins.

    `count` is the number of rows it stands for: 1, or many in the one that ends a folded series.
    `sourced_id` is left out where it isn't well formed or looks like an e-mail address.
    """

    severity: Severity
    code: str
    file: str = ""
    line: int | None = None
    column: str = ""
    sourced_id: str = ""
    message: str = ""
    count: int = 1


class SetRejected(Exception):
    """The whole zip is refused; nothing of it may be written.

    Attributes:
        faults: why, at least one of severity `error`.
    """

    def __init__(self, *faults: Fault) -> None:
        super().__init__(", ".join(sorted({f.code for f in faults if f.severity == "error"})))
        self.faults = faults


class BadRow(Exception):
    """The row is refused: `code` and `column` say why, `cause` tells apart what is folded."""

    def __init__(self, code: str, column: str = "", cause: str | None = None) -> None:
        super().__init__(code)
        self.code = code
        self.column = column
        self.cause = cause


def fault(
    severity: Severity,
    code: str,
    *,
    file: str = "",
    line: int | None = None,
    column: str = "",
    sourced_id: str = "",
    hint: str = "",
) -> Fault:
    """Return a fault with the code's words; `hint` is a sentence more, made of our own words."""
    shown = sourced_id if _GUID.fullmatch(sourced_id) else ""
    message = f"{FAULTS[code]} {hint}".strip()
    return Fault(severity, code, file, line, column, shown, message)


class Folder:
    """Hands faults on, and folds long series of one cause into one fault with a count."""

    def __init__(self, report: Callable[[Fault], None]) -> None:
        self._report = report
        self._seen: Counter[tuple[str, ...]] = Counter()
        self._last: dict[tuple[str, ...], Fault] = {}

    def error(self, found: Fault) -> None:
        """Hand on an error; each row at fault is named."""
        self._report(found)

    def fold(self, found: Fault, cause: str = "") -> None:
        """Hand on a fault, or count it where the same cause was named often enough."""
        key = (found.severity, found.code, found.column, cause)
        if key not in self._seen and len(self._seen) >= _CAUSES_MOST:
            self._report(found)
            return
        self._seen[key] += 1
        if self._seen[key] <= NAMED_EACH:
            self._report(found)
        else:
            self._last[key] = found

    def close_file(self) -> None:
        """Hand on what was counted; called at the end of each file."""
        for key, last in self._last.items():
            more = self._seen[key] - NAMED_EACH
            words = f"{more} more rows of this file have the same fault, from the same cause."
            self._report(
                Fault(
                    last.severity, last.code, last.file, None, last.column,
                    message=f"{last.message} {words}", count=more,
                )
            )  # fmt: skip
        self._seen.clear()
        self._last.clear()


# Code → what is wrong and what to do, in words for the person who makes the export. docs/roster.md
# lists every one of them; a test compares.
FAULTS: Mapping[str, str] = {
    "zip.not-a-zip": "The upload is not a zip file. Upload the .zip that your system exported.",
    "zip.malformed": "The zip is damaged, or its parts contradict each other. Make it anew.",
    "zip.encrypted": "The zip is encrypted. Make it without a password.",
    "zip.too-many-entries": "The zip holds more than 40 files.",
    "zip.too-large": "The zip is larger than 2 GiB, or 8 GiB when unpacked.",
    "zip.ratio": "A file in the zip unpacks to more than 100 times its packed size.",
    "zip.size": "A file's true size or checksum is not what the zip says. Make it anew.",
    "zip.duplicate": "The zip holds two files of one name.",
    "zip.path": (
        "Files belong at the root of the zip or together in one folder, under plain names."
    ),
    "zip.symlink": "The zip holds a link or a device, not only files.",
    "zip.nested": "The zip holds another archive. Upload the inner one.",
    "zip.method": "A file is packed by a method other than deflate. Make the zip anew.",
    "manifest.missing": (
        "There is no manifest.csv in the zip. Export as OneRoster 1.1 or 1.2; version 1.0 and "
        "other formats have none."
    ),
    "manifest.malformed": "manifest.csv needs the header propertyName,value and two cells a line.",
    "manifest.version": "oneroster.version in manifest.csv must be 1.1 or 1.2.",
    "manifest.manifest-version": "manifest.version should be 1.0; the set was read all the same.",
    "manifest.mode": "A file's value in manifest.csv must be absent, bulk or delta.",
    "manifest.duplicate": "manifest.csv names one property twice.",
    "manifest.row-missing": "manifest.csv has no line for this file.",
    "manifest.contradiction": "manifest.csv says the file is absent, but it is in the zip.",
    "file.missing": "This file is not in the zip. A bulk set needs it, or the manifest names it.",
    "file.case": "The file's name differs only by upper and lower case; names must be exact.",
    "file.unknown": "The portal doesn't know this file; nothing was read from it.",
    "file.ignored": "The portal has no use for this file; nothing was read from it.",
    "file.empty": "The file has a header and no rows. Leave it out and say absent.",
    "encoding.not-utf-8": "The file is not UTF-8 from this line on. Export as UTF-8.",
    "encoding.bom": "The file begins with a byte order mark, which was skipped.",
    "header.missing": "The file has no header, or this required column is missing from it.",
    "header.order": "The columns are not in the standard's order; this one stands too late.",
    "header.extension-order": "Columns named metadata.… belong to the right of all others.",
    "header.duplicate": "Two columns have this name.",
    "header.blank": "A column has no name; nothing was read from it.",
    "header.unknown": "The portal doesn't know this column; nothing was read from it.",
    "header.optional-missing": "This optional column is missing and counts as blank.",
    "ssn.full": (
        "A cell holds a full Social Security number. Nothing was imported and the upload is "
        "deleted. Export only the last four digits."
    ),
    "row.too-long": "A row is longer than 64 KiB. Often a quotation mark is never closed.",
    "row.unclosed-quote": (
        "A quotation mark opened here is never closed; the rest of the file can't be told apart."
    ),
    "row.malformed": "The row can't be read as CSV. Look for a stray quotation mark.",
    "row.width": "The row has more or fewer cells than the header.",
    "row.blank": "The row is blank and was skipped.",
    "row.duplicate": "Another row has this sourcedId; neither was taken.",
    "cell.required": "A required cell is blank.",
    "cell.line-break": "A cell holds a line break. Remove it at the source.",
    "cell.control-character": "A cell holds a control character. Remove it at the source.",
    "cell.damaged": "A cell holds the sign for text that was damaged before it came here.",
    "cell.blanks": "A cell had blanks at its ends, which were removed.",
    "cell.too-long": "A text was cut to the length that is kept.",
    "cell.guid": "A sourcedId is 1 to 255 of the characters 0-9 A-Z a-z . - _ / @.",
    "cell.enum": "The value is not one that this column allows.",
    "cell.boolean": "The value must be true or false.",
    "cell.boolean-case": "The value was read, but must be true or false in lower case.",
    "cell.access": "The value must be true or false; until it is corrected it counts as false.",
    "cell.date": "A date must be written YYYY-MM-DD, exist, and be no earlier than 1900.",
    "cell.datetime": "A time must be written YYYY-MM-DDTHH:MM:SS.sssZ.",
    "cell.year": "A school year is the four digits of the year that it ends in.",
    "cell.number": "The value must be a plain number such as 74 or 74.5.",
    "cell.time": "A time must be written HH:MM; it was left out.",
    "cell.days": "Meeting days are of M, T, W, R, F, S, U, joined by commas; others were left out.",
    "status.blank": "In a delta file status and dateLastModified must be filled.",
    "status.value": "status must be active or tobedeleted.",
    "status.in-bulk": "In a bulk file status and dateLastModified should be blank.",
    "status.deleted-in-bulk": "A bulk file marks this row tobedeleted; it was taken as removed.",
    "ref.dangling": "The record that this points to is not in the set.",
    "ref.refused": "The row that this points to was itself refused; correct that one first.",
    "session.dates": "The session ends before it begins.",
    "user.identifier.missing": "A student without a student number can't be looked up by it.",
    "user.identifier.format": "A student number is 1 to 20 digits.",
    "user.identifier.duplicate": "Two students have this student number; neither was taken.",
    "user.gtid.format": "A GTID is ten digits. Keep leading digits: Excel may have cut them.",
    "user.gtid.pattern": "No GTID is given out with this pattern; look for a typing error.",
    "user.gtid.duplicate": "Two students have this GTID; neither was taken.",
    "user.ssnLast4.format": "The last four must be exactly four digits, or blank.",
    "user.ssnLast4.zeros": "The last four are 0000, which no number ends in.",
    "user.email.format": "The e-mail address can't be read and counts as blank.",
    "user.email.shared": "Another guardian has the same e-mail address.",
    "user.no-contact": "A guardian has neither e-mail nor phone.",
    "user.state.format": "A state is two letters; the cell counts as blank.",
    "user.postCode.format": "A post code is five or nine digits; the cell counts as blank.",
    "user.number-shared": (
        "Another student of the roster has this student number or GTID; it finds neither of them."
    ),
    "user.too-large": (
        "More hangs on this person (classes, grades, students) than the portal can keep; is it a "
        "test record?"
    ),
    "link.no-guardian": "No relationship names a guardian of this student.",
    "link.one-sided": "agentSourcedIds link from one side only; they were taken all the same.",
    "relationship.student": "studentSourcedId points to somebody who is not a student.",
    "relationship.self": "Student and guardian are the same record.",
    "attendance.no-class": "A section event names neither class nor period.",
    "result.score.bounds": "The score is above resultValueMax or below resultValueMin.",
}
