"""Secrets: what a key looks like, that hashes differ by purpose, and what a password costs."""

import re
from collections import Counter

import pytest

from chalicelib import crypto

TWO = crypto.Keyring((("new", b"new secret"), ("old", b"old secret")))
OLD = crypto.Keyring((("old", b"old secret"),))


# --- activation keys (S1) -------------------------------------------------------


def test_a_hundred_thousand_keys_are_well_formed_and_all_different() -> None:
    keys = [crypto.new_activation_key() for _ in range(100_000)]
    shape = re.compile(r"(?:[2-9A-HJKMNP-TV-Z]{4}-){3}[2-9A-HJKMNP-TV-Z]{4}")
    assert all(shape.fullmatch(key) for key in keys)
    assert all(crypto.read_activation_key(key) == key.replace("-", "") for key in keys)
    assert len(set(keys)) == len(keys)


def test_every_symbol_is_as_likely_as_any_other_at_each_place() -> None:
    """A generator that prefers a symbol would make keys easier to guess than 73 bits."""
    keys = [crypto.new_activation_key().replace("-", "") for _ in range(30_000)]
    for place in range(16):
        counted = Counter(key[place] for key in keys)
        assert set(counted) == set(crypto.KEY_ALPHABET)
        # 1,000 expected; eight standard deviations either way.
        assert 750 < min(counted.values()) <= max(counted.values()) < 1250


def test_the_alphabet_is_the_contracts() -> None:
    assert crypto.KEY_ALPHABET == "23456789ABCDEFGHJKMNPQRSTVWXYZ"
    assert crypto.KEY_RANDOM_SYMBOLS == 15


def test_one_wrong_symbol_is_always_noticed() -> None:
    key = crypto.new_activation_key().replace("-", "")
    for place, right in enumerate(key):
        for wrong in set(crypto.KEY_ALPHABET) - {right}:
            assert crypto.read_activation_key(key[:place] + wrong + key[place + 1 :]) is None


@pytest.mark.parametrize(
    "dash",
    [
        *("-", " ", "", " - ", "\t", "\n"),
        # Dashes and spaces of mail programs and word processors, and what nobody sees.
        *("\u2010", "\u2011", "\u2012", "\u2013", "\u2014", "\u2015", "\u2212", "\ufe63", "\uff0d"),
        *("\u00a0", "\u2007", "\u202f", "\u3000", "\u00ad", "\u200b", "\u200e", "\u2060", "\ufeff"),
    ],
)
def test_a_key_is_read_however_it_was_pasted(dash: str) -> None:
    shown = crypto.new_activation_key()
    symbols = shown.replace("-", "")
    for typed in (dash.join(shown.split("-")), dash.join(shown.lower().split("-")) + "\r\n"):
        assert crypto.read_activation_key(typed) == symbols


@pytest.mark.parametrize(("letter", "kin"), [("SS", "\u00df"), ("S", "\u017f"), ("K", "\u212a")])
def test_a_letter_of_another_alphabet_is_none_of_a_keys(letter: str, kin: str) -> None:
    symbols = next(
        key
        for key in (crypto.new_activation_key().replace("-", "") for _ in range(100_000))
        if letter in key
    )
    assert crypto.read_activation_key(symbols) == symbols
    assert crypto.read_activation_key(symbols.replace(letter, kin)) is None


@pytest.mark.parametrize("typed", ["", "-", "x" * 17, "2" * 15, "2" * 17, "O" * 16, "２" * 16])
def test_what_can_not_be_a_key_is_none(typed: str) -> None:
    assert crypto.read_activation_key(typed) is None


# --- hashes (S86) and rotation (S85) --------------------------------------------


def test_one_text_hashed_for_three_purposes_is_three_values() -> None:
    made = {TWO.hash(purpose, "text") for purpose in ("activation-key", "session", "address")}
    assert len(made) == 3


def test_purpose_and_text_do_not_run_into_each_other() -> None:
    assert TWO.hash("ab", "c") != TWO.hash("a", "bc")


def test_a_hash_needs_the_secret_and_has_256_bits() -> None:
    other = crypto.Keyring((("new", b"another secret"),))
    assert TWO.hash("session", "text") != other.hash("session", "text")
    assert re.fullmatch(r"[A-Za-z0-9_-]{43}", TWO.hash("session", "text"))


def test_what_the_old_version_hashed_is_found_while_both_live() -> None:
    stored = OLD.hash("session", "token")
    assert stored in TWO.hashes("session", "token")
    assert TWO.hashes("session", "token")[0] == TWO.hash("session", "token") != stored
    assert TWO.current == "new"


def test_tokens_have_256_bits_and_ids_128() -> None:
    assert len({crypto.new_token() for _ in range(1000)}) == 1000
    assert re.fullmatch(r"[A-Za-z0-9_-]{43}", crypto.new_token())
    assert re.fullmatch(r"[A-Za-z0-9_-]{22}", crypto.new_id())


# --- passwords (S21) ------------------------------------------------------------


@pytest.mark.costly_hashes
def test_argon2id_costs_what_owasp_asks_at_least_and_has_a_salt() -> None:
    one, other = crypto.hash_password("same 1"), crypto.hash_password("same 1")
    kind, version, parameters, salt, digest = one.split("$")[1:]
    cost = dict(part.split("=") for part in parameters.split(","))
    assert (kind, version) == ("argon2id", "v=19")
    assert int(cost["m"]) >= 19 * 1024
    assert int(cost["t"]) >= 2
    assert int(cost["p"]) >= 1
    assert (len(salt), len(digest)) == (22, 43)
    assert one != other
    assert crypto.password_matches(one, "same 1")
    assert not crypto.password_matches(one, "same 2")


def test_passwords_that_agree_in_72_bytes_are_two_passwords() -> None:
    stored = crypto.hash_password("a1" * 36 + "x")
    assert not crypto.password_matches(stored, "a1" * 36 + "y")


def test_the_stand_in_has_todays_cost_and_no_password(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(crypto, "ARGON2_PASSES", 3)
    assert not crypto.needs_rehash(crypto._stand_in())
    assert not crypto.password_matches(None, "")
    assert not crypto.password_matches(None, "anything 1")


@pytest.mark.parametrize("broken", ["", "x", "$argon2id$v=19$m=1$", "$2b$12$abc", "plain"])
def test_a_stored_string_that_is_none_of_ours_lets_nobody_in(broken: str) -> None:
    assert not crypto.password_matches(broken, broken)


def test_raised_parameters_ask_for_a_rehash(monkeypatch: pytest.MonkeyPatch) -> None:
    stored = crypto.hash_password("same 1")
    assert not crypto.needs_rehash(stored)
    monkeypatch.setattr(crypto, "ARGON2_MEMORY_KIB", 32 * 1024)
    assert crypto.needs_rehash(stored)
    assert crypto.password_matches(stored, "same 1")
