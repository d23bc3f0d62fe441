"""The district's rules: bounds of every preference, the limits' table, and when a day ends."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chalicelib import policy

TABLE = policy.preference_table(local=False)
ZONES = ("America/New_York", "America/Los_Angeles", "Asia/Kolkata", "Pacific/Auckland", "UTC")


# --- preferences (S97) ----------------------------------------------------------


def test_every_preference_has_a_default_within_its_bounds() -> None:
    assert list(TABLE) == list(policy.DEFAULTS)
    for name, default in policy.DEFAULTS.items():
        if default is not None:
            assert TABLE[name].read(default) == default


NUMBERS = {
    "password_min_length": (6, 64),
    "key_lifetime_days": (1, 180),
    "lookups_per_ip_hour": (10, 10_000),
    "sign_in_failures_per_ip_hour": (10, 10_000),
    "forgot_username_limit": (1, 20),
    "reset_link_minutes": (5, 1440),
    "session_idle_minutes": (5, 240),
    "session_hours": (1, 24),
}


def test_every_number_has_the_contracts_bounds() -> None:
    numbers = {name for name, default in policy.DEFAULTS.items() if type(default) is int}
    assert numbers == set(NUMBERS)
    for name, (least, most) in NUMBERS.items():
        for good in (least, most, str(most), float(least)):
            assert TABLE[name].read(good) == int(good)
        for bad in (least - 1, most + 1, least + 0.5, True, None, "", "many", "1e1", float("inf")):
            with pytest.raises((ValueError, OverflowError)):
                TABLE[name].read(bad)
        assert TABLE[name].bounds == f"{least}–{most}"


BAD: list[tuple[str, Any]] = [
    ("strong_password", "yes"),
    ("strong_password", 1),
    ("reject_common_passwords", None),
    ("key_delivery", "Screen"),
    ("key_delivery", 1),
    ("lockout_scope", "none"),
    ("time_zone", "Georgia"),
    ("time_zone", "EST5EDT4"),
    ("time_zone", "../../etc/passwd"),
    ("time_zone", "america/new_york"),
    ("district_name", ""),
    ("district_name", "x" * 81),
    ("district_name", "Elm\r\nBcc: x"),
    ("trusted_networks", "10.0.0.0/8"),
    ("trusted_networks", "0.0.0.0/0"),
    ("trusted_networks", "2001:db8::/32"),
    ("trusted_networks", "10.1.0.1/24"),
    ("trusted_networks", ",".join(f"10.0.{i}.0/24" for i in range(21))),
    ("trusted_networks", 10),
    ("notice_en", "x" * 301),
    ("notice_es", ["x"]),
    ("support_url", "http://support.example.org/"),
    ("support_url", "javascript:alert(1)"),
    ("support_url", "https:///nowhere"),
    ("support_url", "https://user@support.example.org/"),
    ("support_url", "https://support.example.org/\u201conclick"),
    ("support_url", "https://support.example.org/a b"),
    ("sso_issuer", "https://"),
    ("sso_client_id", ""),
]


@pytest.mark.parametrize(("name", "value"), BAD)
def test_what_is_out_of_bounds_is_refused(name: str, value: object) -> None:
    with pytest.raises((ValueError, OverflowError)):
        policy.read_preference(name, value, local=False)


def test_http_addresses_are_for_stage_local_only() -> None:
    address = "http://localhost:8080/"
    assert policy.read_preference("sso_issuer", address, local=True) == address
    with pytest.raises(ValueError):
        policy.read_preference("sso_issuer", address, local=False)


def test_a_name_that_is_none_is_refused() -> None:
    for name in ("", "Strong_Password", "__class__", "most"):
        with pytest.raises(ValueError):
            policy.read_preference(name, True, local=True)


def test_only_the_districts_own_networks_are_trusted() -> None:
    ours = policy.Preferences(trusted_networks="203.0.113.0/24,2001:db8:1::/48")
    assert [ours.trusts(ip) for ip in ("203.0.113.9", "2001:db8:1:2::3")] == [True, True]
    assert [ours.trusts(ip) for ip in ("203.0.114.9", "2001:db8:2::1")] == [False, False]
    assert not policy.Preferences().trusts("203.0.113.9")


# --- limits (S25) ---------------------------------------------------------------


def test_limits_are_the_contracts() -> None:
    preferences = policy.Preferences()
    assert {name: (preferences.most(x), x.seconds) for name, x in policy.LIMITS.items()} == {
        "lookups-per-ip": (60, 3600),
        "lookups-per-number": (10, None),
        "screen-misses": (500, None),
        "key-mails-per-guardian": (3, None),
        "bad-keys-per-ip": (10, 3600),
        "tries-per-key": (30, 3600),
        "forgot-password-per-ip": (30, 3600),
        "forgot-username-per-ip": (30, 3600),
        "forgot-username": (5, None),
        "reset-mails-per-day": (5, None),
        "reset-mails-beyond": (1, 3600),
        "tries-per-link": (30, 3600),
        "address-changes": (10, None),
        "sign-in-failures-per-ip": (100, 3600),
        "sign-in-failures-per-name": (20, 300),
        "sign-in-failures-per-name-and-ip": (10, 300),
    }


def test_a_preference_sets_the_limits_it_names() -> None:
    stricter = policy.Preferences(lookups_per_ip_hour=10, sign_in_failures_per_ip_hour=11)
    assert stricter.most(policy.LIMITS["lookups-per-ip"]) == 10
    assert stricter.most(policy.LIMITS["sign-in-failures-per-ip"]) == 11


# --- the district's day ---------------------------------------------------------


@pytest.mark.parametrize(
    ("now", "midnight", "hours"),
    [
        ("2026-03-02T04:59:59+00:00", "2026-03-02T05:00:00+00:00", 24),
        ("2026-03-02T05:00:00+00:00", "2026-03-03T05:00:00+00:00", 24),
        ("2026-03-08T05:00:00+00:00", "2026-03-09T04:00:00+00:00", 23),
        ("2026-11-01T04:00:00+00:00", "2026-11-02T05:00:00+00:00", 25),
    ],
)
def test_a_day_ends_at_the_districts_midnight_over_daylight_saving_too(
    now: str, midnight: str, hours: int
) -> None:
    preferences = policy.Preferences()
    ends = preferences.next_midnight(datetime.fromisoformat(now))
    assert ends == datetime.fromisoformat(midnight)
    begins = preferences.next_midnight(ends - timedelta(hours=hours, seconds=1))
    assert ends - begins == timedelta(hours=hours)


@given(
    st.datetimes(datetime(2000, 1, 1), datetime(2060, 1, 1), timezones=st.just(UTC)),  # noqa: DTZ001 - hypothesis adds the zone
    st.sampled_from(ZONES),
)
def test_midnight_is_the_first_instant_of_the_next_day(now: datetime, zone: str) -> None:
    preferences = policy.Preferences(time_zone=zone)
    midnight = preferences.next_midnight(now)
    today = preferences.day(now)
    assert now < midnight
    assert preferences.day(midnight - timedelta(seconds=1)) == today
    assert preferences.day(midnight) == today + timedelta(days=1)
