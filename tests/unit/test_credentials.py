"""What a username and a password may be, and that judging them costs no more than their length."""

import time
from collections.abc import Callable
from typing import Any

import pytest
from zxcvbn.frequency_lists import FREQUENCY_LISTS

from chalicelib import crypto, policy
from chalicelib.domain import addresses, credentials, names
from chalicelib.web import actions, call, links

PLAIN = policy.Preferences()
STRONG = policy.Preferences(strong_password=True)
LAX = policy.Preferences(reject_common_passwords=False)


def codes(password: str, preferences: policy.Preferences = PLAIN, username: str = "Rosa1") -> Any:
    faults = credentials.password_faults(
        password, password, username=username, preferences=preferences
    )
    return [fault.code for fault in faults]


# --- usernames (S14) ------------------------------------------------------------


@pytest.mark.parametrize("username", ["ab1", "1ab", "A1" * 15, "Z9z"])
def test_letters_and_digits_make_a_username(username: str) -> None:
    assert credentials.username_key(username) == username.lower()


@pytest.mark.parametrize(
    "username",
    [
        *("a1", "a1" * 15 + "b", "abc", "123", "ab1\n", "\nab1", "ab 1", "ab1\x00", ""),
        *(
            "ab1\u0130",
            "\u0131b1",
            "\u212aim1",
            "\uff21nna1",
            "\u0430nna1",
            "ab\u0661",
            "ab1\u00df",
        ),
    ],
)
def test_anything_else_makes_none(username: str) -> None:
    assert credentials.username_key(username) is None
    assert [f.code for f in credentials.username_faults(username)] == ["format"]


# --- passwords (S16, S17) -------------------------------------------------------


@pytest.mark.parametrize(
    ("password", "expected"),
    [
        ("\U0001f600" * 126 + "a1", []),
        ("\U0001f600" * 127 + "a1", ["too-long"]),
        ("xyq 9", ["too-short"]),
        ("xyq 97", []),
        ("длинный пароль 7", []),
        ("密码密码密码七", ["not-alphanumeric"]),
        ("abc\tdef 77", ["control-character"]),
        ("abc\x85def 77", ["control-character"]),
        ("abc\x00def 77", ["control-character"]),
    ],
)
def test_length_counts_code_points_and_any_character_but_control_is_fine(
    password: str, expected: list[str]
) -> None:
    assert codes(password) == expected


def test_the_district_asks_for_more_by_its_preferences() -> None:
    longer = policy.Preferences(password_min_length=15)
    assert codes("fourteen char7", longer) == ["too-short"]
    assert codes("fifteen chars 7", longer) == []
    assert codes("lower 7", STRONG) == []
    assert codes("lowercase77", STRONG) == ["not-strong"]
    assert codes("Lowercase77", STRONG) == []


@pytest.mark.parametrize(
    "password", ["abc123", "ABC123", "trustno1", "parentportal1", "PARENTPORTAL1", "PassWord1"]
)
def test_what_guessers_try_first_is_refused_in_any_case(password: str) -> None:
    assert codes(password) == ["too-common"]
    assert codes(password, LAX) == []


def test_the_districts_own_name_is_refused_as_a_whole_only() -> None:
    elm = policy.Preferences(district_name="Elm County 42")
    assert codes("elm county 42", elm) == codes("ELMCOUNTY42", elm) == ["too-common"]
    assert codes("elm county 42 and more", elm) == []


def test_a_password_may_not_contain_the_username() -> None:
    assert codes("my rosa1 password") == codes("ROSA1234567") == ["contains-username"]
    assert codes("my rosa1 password", LAX) == []


def test_the_list_still_holds_three_thousand_after_the_rule_is_applied() -> None:
    """Entries that the rule refuses anyway are no gain (S17)."""
    refused_only_by_the_list = [
        word for word in FREQUENCY_LISTS["passwords"] if codes(word) == ["too-common"]
    ]
    assert len(refused_only_by_the_list) >= 3000


def test_the_two_fields_must_agree() -> None:
    faults = credentials.password_faults("lower 77", "lower 77 ", username="x", preferences=PLAIN)
    assert [(f.field, f.code) for f in faults] == [("verify_password", "mismatch")]


# --- no pattern backtracks (S63) ------------------------------------------------

WORST: list[tuple[str, Callable[[str], object], Callable[[int], str]]] = [
    ("username, letters only", credentials.username_key, lambda n: "a" * n),
    ("username, one digit late", credentials.username_key, lambda n: "a" * n + "1!"),
    ("password", codes, lambda n: "a1" * n),
    ("password that repeats the name", lambda t: codes(t, username="a" * 30), lambda n: "a" * n),
    ("address, no end", addresses._ADDRESS.match, lambda n: "a" * 64 + "@" + "a" * n + "@"),
    ("address, dots", addresses._ADDRESS.match, lambda n: "a@" + ".a" * n + ">"),
    ("address, signs", addresses.normalised, lambda n: "@" * n),
    ("own path", links._OWN_PATH.match, lambda n: "/a" * n + "//"),
    ("own path, dashes", links._OWN_PATH.match, lambda n: "/" + "-" * n + "!"),
    ("number", actions._NUMBER.match, lambda n: "1" * n),
    ("activation key", crypto.read_activation_key, lambda n: "- " * n),
    ("language", call._accepted, lambda n: "es;q=0.1" * n),
    ("accept", call._wants_json, lambda n: "a/b;q=1," * n),
    ("device", call._device, lambda n: "Mozill" * n),
    ("cookies", call._cookies, lambda n: "a=b; " * n),
    ("cookie, quoted", call._cookies, lambda n: 'a="' + "\\1" * n),
    ("cookie, no name", call._cookies, lambda n: "=" * n),
    ("family name", names.name_key, lambda n: "a\u0301" * n),
]


@pytest.mark.parametrize(
    ("judge", "worst"), [case[1:] for case in WORST], ids=[case[0] for case in WORST]
)
def test_eight_times_the_text_costs_about_eight_times_as_much(
    judge: Callable[[str], object], worst: Callable[[int], str]
) -> None:
    """Quadratic cost would be 64 times; the smallest of several runs keeps the machine out of it."""
    judge(worst(10))

    def cost(size: int) -> float:
        text = worst(size)
        runs = []
        for _ in range(7):
            begun = time.perf_counter()
            judge(text)
            runs.append(time.perf_counter() - begun)
        return min(runs)

    # Below a tenth of a millisecond nothing can be told apart, and nothing hurts.
    assert cost(16_000) < 24 * max(cost(2_000), 1e-4)
