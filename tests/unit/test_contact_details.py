"""Addresses and numbers as people write them: understood, compared, refused."""

from datetime import date

import pytest

from chalicelib.domain import contact_details

TODAY = date(2026, 3, 2)
KNOWN: dict[str, str | None] = {
    "address1": "12 Elm Street",
    "address2": None,
    "city": "Atlanta",
    "state": "GA",
    "post_code": "30303",
    "phone": "404-555-0100",
    "mobile": None,
    "email": "rosa@example.com",
}


@pytest.mark.parametrize(
    ("field", "typed", "asked"),
    [
        ("state", "south  carolina", "SC"),
        ("state", "pr", "PR"),
        ("state", "AE", "AE"),
        ("post_code", "00601", "00601"),
        ("post_code", "30327 1234", "30327-1234"),
        ("post_code", "303271234", "30327-1234"),
        ("phone", "+1 (404) 555.0177", "404-555-0177"),
        ("phone", "1-404-555-0177", "404-555-0177"),
        ("mobile", "4045550178", "404-555-0178"),
        ("mobile", "+52 55 1234 5678", "+525512345678"),
        ("address2", "  Apt   3 ", "Apt 3"),
        ("city", "Peñasco", "Peñasco"),
        ("email", " Rosa.New@Example.com ", "Rosa.New@Example.com"),
        ("address2", "x" * 100, "x" * 100),
    ],
)
def test_what_people_write_is_understood(field: str, typed: str, asked: str) -> None:
    assert contact_details.changes({field: typed}, KNOWN) == ({field: asked}, [])


@pytest.mark.parametrize(
    ("field", "typed"),
    [
        ("address1", " 12  elm STREET"),
        ("address2", " "),
        ("state", "georgia"),
        ("post_code", "30303 "),
        ("phone", "+14045550100"),
        ("phone", "(404) 555–0100"),
        ("email", "ROSA@example.COM"),
    ],
)
def test_what_only_looks_different_is_no_change(field: str, typed: str) -> None:
    assert contact_details.changes({field: typed}, KNOWN) == ({}, [])


def test_every_state_is_known_by_code_and_name() -> None:
    assert len(contact_details._STATES) == len(contact_details._CODES) == 62
    assert all(len(code) == 2 and code.isupper() for code in contact_details._CODES)


def test_a_value_can_be_taken_away_but_no_part_of_an_address() -> None:
    assert contact_details.changes({"phone": ""}, KNOWN) == ({"phone": None}, [])
    _, faults = contact_details.changes({"city": "", "state": " "}, KNOWN)
    assert [(one.field, one.code) for one in faults] == [
        ("city", "required"),
        ("state", "required"),
    ]


@pytest.mark.parametrize(
    ("typed", "code"),
    [
        ("2026-03-02", None),
        ("2027-03-02", None),
        ("2027-03-03", "out-of-bounds"),
        ("2026-03-01", "out-of-bounds"),
        ("20260302", "format"),
        ("2026-3-2", "format"),
        ("", "required"),
    ],
)
def test_a_change_counts_from_today_or_within_a_year(typed: str, code: str | None) -> None:
    day, faults = contact_details.effective_date(typed, today=TODAY)
    assert [one.code for one in faults] == ([code] if code else [])
    assert day == ("" if code else typed)


def test_a_reason_keeps_its_lines() -> None:
    assert contact_details.reason("moved\r\nwith a dog \n") == ("moved\nwith a dog", [])
