"""The report of an import: nothing in it runs in a spreadsheet, and its totals are exact."""

import csv
import io

import pytest

from chalicelib.domain.oneroster_faults import Fault
from chalicelib.domain.roster_report import MOST_LINES, Faults


@pytest.mark.parametrize("first", ["=", "+", "-", "@", "\t", "\r", "\0"])
def test_a_cell_that_a_spreadsheet_would_run_comes_out_behind_a_quote(first: str) -> None:
    faults = Faults()
    faults.add(Fault("error", "row.width", file="users.csv", line=2, sourced_id=f"{first}cmd"))
    (row,) = csv.DictReader(io.StringIO(faults.csv(), newline=""))
    assert row["sourcedId"] == f"'{first}cmd"
    assert (row["severity"], row["code"], row["line"]) == ("error", "row.width", "2")


def test_ten_thousand_lines_are_written_errors_first_and_all_are_counted() -> None:
    faults = Faults()
    for n in range(MOST_LINES):
        faults.add(Fault("warning", "cell.blanks", file="users.csv", line=n))
    faults.add(Fault("error", "row.width", file="users.csv", line=1))
    faults.add(Fault("error", "ref.dangling", file="users.csv", count=5_000))
    rows = list(csv.DictReader(io.StringIO(faults.csv())))
    assert len(rows) == MOST_LINES
    assert [row["severity"] for row in rows[:3]] == ["error", "error", "warning"]
    assert faults.counts == {"cell.blanks": MOST_LINES, "row.width": 1, "ref.dangling": 5_000}


def test_what_a_set_is_refused_for_comes_first_however_late_it_was_found() -> None:
    faults = Faults()
    for n in range(MOST_LINES + 1):
        faults.add(Fault("error", "cell.enum", file="users.csv", line=n))
    late = Fault("error", "encoding.not-utf-8", file="results.csv", line=7)
    faults.decide([Fault("warning", "encoding.bom", file="users.csv", line=1), late])
    rows = list(csv.DictReader(io.StringIO(faults.csv())))
    assert len(rows) == MOST_LINES
    assert (rows[0]["code"], rows[0]["file"], rows[0]["line"]) == (late.code, late.file, "7")
    assert faults.counts == {"cell.enum": MOST_LINES + 1, late.code: 1, "encoding.bom": 1}
