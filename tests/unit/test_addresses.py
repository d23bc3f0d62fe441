"""Which spellings of an address are one mailbox, and which are two (security row S41)."""

import pytest

from chalicelib.domain import addresses, names

SAME = [
    ("ann@example.org", "ANN@EXAMPLE.ORG"),
    ("ann@example.org", "  ann@example.org\t"),
    ("ann@example.org", "Ann@eXample.ORG"),
    ("ann@bücher.example", "ann@xn--bcher-kva.example"),
    ("ann@bücher.example", "ann@BÜCHER.example"),
    ("ann@bu\u0308cher.example", "ann@b\u00fccher.example"),
]
APART = [
    ("ann@example.org", "a.nn@example.org"),
    ("ann@example.org", "ann+school@example.org"),
    ("mike@example.org", "m\u0131ke@example.org"),
    ("kim@example.org", "\u212aim@example.org"),
    ("ann@kite.example", "ann@\u212aite.example"),
    ("anna@example.org", "\u0430nna@example.org"),
    ("ann@strasse.example", "ann@straße.example"),
    ("ann@example.org", "ann@example.com"),
    ("ann@example.org", "bob@example.org"),
    ("JOSÉ@example.org", "josé@example.org"),
]


@pytest.mark.parametrize(("one", "other"), SAME)
def test_spellings_of_one_mailbox_are_one(one: str, other: str) -> None:
    assert addresses.normalised(one) == addresses.normalised(other) is not None


@pytest.mark.parametrize(("one", "other"), APART)
def test_two_mailboxes_never_become_one(one: str, other: str) -> None:
    assert addresses.normalised(one) != addresses.normalised(other)


@pytest.mark.parametrize("typed", ["O'Brien", "OBRIEN", " o’brien ", "Ó Brien"])
def test_a_family_name_is_found_without_case_accents_and_punctuation(typed: str) -> None:
    assert names.name_key(typed) == "obrien"
