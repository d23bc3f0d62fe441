"""What the data clerk gets to read of an import: a JSON summary and a CSV of faults.

Never a cell and never a person: codes, files, lines, columns, sourcedIds (security row S74).
"""

import csv
import io
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from datetime import datetime

from chalicelib.domain.oneroster import Fault
from chalicelib.domain.roster_state import Counts

MOST_LINES = 10_000
APPLIED, HELD, REJECTED = "applied", "held", "rejected"
_COLUMNS = ("severity", "code", "file", "line", "column", "sourcedId", "message")
# A spreadsheet runs what begins like this (OWASP, CSV Injection).
_FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n", "\0")


@dataclass
class Faults:
    """Gathers faults: every one counted, the first 10,000 kept.

    In the CSV comes first what decided the set's fate, however late it was found, then errors, then
    warnings.
    """

    counts: Counter[str] = field(default_factory=Counter)
    decisive: list[Fault] = field(default_factory=list)
    errors: list[Fault] = field(default_factory=list)
    warnings: list[Fault] = field(default_factory=list)

    def add(self, fault: Fault) -> None:
        """Take one fault; the reader calls this while it reads."""
        self.counts[fault.code] += fault.count
        kept = self.errors if fault.severity == "error" else self.warnings
        if len(kept) < MOST_LINES:
            kept.append(fault)

    def decide(self, faults: Iterable[Fault]) -> None:
        """Take what the set is held or rejected for, with warnings found on the way to it."""
        for fault in faults:
            if fault.severity == "error":
                self.counts[fault.code] += fault.count
                self.decisive.append(fault)
            else:
                self.add(fault)

    def csv(self) -> str:
        """Return the faults as CSV that no spreadsheet runs."""
        out = io.StringIO()
        writer = csv.writer(out)
        writer.writerow(_COLUMNS)
        for fault in (self.decisive + self.errors + self.warnings)[:MOST_LINES]:
            line = "" if fault.line is None else str(fault.line)
            cells = (fault.severity, fault.code, fault.file, line)
            writer.writerow(
                safe_cell(cell) for cell in (*cells, fault.column, fault.sourced_id, fault.message)
            )
        return out.getvalue()


def safe_cell(cell: str) -> str:
    """Return a CSV's cell so that no spreadsheet runs it."""
    return f"'{cell}" if cell.startswith(_FORMULA) else cell


@dataclass(frozen=True)
class Upload:
    """Which upload a report is about."""

    name: str
    version_id: str
    received_at: datetime


@dataclass(frozen=True)
class Found:
    """What was found of the set before anything is written; None and empty where it wasn't read."""

    version: str | None = None
    mode: str | None = None
    counts: Mapping[str, Counts] = field(default_factory=dict)
    bad: Mapping[str, tuple[int, int]] = field(default_factory=dict)


def report(  # the shape of contract section 2, "a report"
    upload: Upload,
    status: str,
    faults: Counter[str],
    *,
    reason: str | None = None,
    found: Found | None = None,
    now: datetime,
) -> dict[str, object]:
    """Return a report.

    Args:
        upload: what was imported.
        status: `applied`, `held` or `rejected`.
        faults: how many faults of each code there were, not only those in the CSV.
        reason: the code that says why it is held or rejected.
        found: counts of rows, where the set was read.
        now: when it was finished.
    """
    found = found or Found()
    files = {}
    for file in sorted({*found.counts, *found.bad}):
        rows = asdict(found.counts.get(file, Counts()))
        files[file] = rows | {"bad": found.bad.get(file, (0, 0))[1]}
    return {
        "status": status,
        "name": upload.name,
        "version_id": upload.version_id,
        "received_at": _time(upload.received_at),
        "finished_at": _time(now),
        "reason": reason,
        "oneroster": found.version,
        "mode": found.mode,
        "files": files,
        "errors": dict(sorted(faults.items())),
    }


def _time(at: datetime) -> str:
    return at.isoformat(timespec="seconds").replace("+00:00", "Z")
