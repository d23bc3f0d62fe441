"""The district's rules: its preferences with their bounds, the limits, its day and its midnight.

Data first: `PREFERENCES` and `LIMITS` are the tables that code, docs and tests read.
"""

import ipaddress
import zoneinfo
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from datetime import UTC, date, datetime, time, timedelta
from urllib.parse import urlsplit

# --- limits -------------------------------------------------------------------

HOUR = 3600
FIVE_MINUTES = 300


@dataclass(frozen=True)
class Limit:
    """How many tries something gets in a window.

    `seconds` is the window's length; None means the district's calendar day. `most` is None where a
    preference of the name in `preference` sets it.
    """

    name: str
    counted_by: str
    most: int | None
    seconds: int | None
    preference: str | None = None


LIMITS: Mapping[str, Limit] = {
    limit.name: limit
    for limit in (
        Limit("lookups-per-ip", "IP", None, HOUR, "lookups_per_ip_hour"),
        Limit("lookups-per-number", "student number or GTID", 10, None),
        Limit("screen-misses", "district", 500, None),
        Limit("key-mails-per-guardian", "guardian", 3, None),
        Limit("bad-keys-per-ip", "IP", 10, HOUR),
        Limit("tries-per-key", "activation key", 30, HOUR),
        Limit("forgot-password-per-ip", "IP", 30, HOUR),
        Limit("forgot-username-per-ip", "IP", 30, HOUR),
        Limit("forgot-username", "address", None, None, "forgot_username_limit"),
        Limit("reset-mails-per-day", "account", 5, None),
        Limit("reset-mails-beyond", "account", 1, HOUR),
        Limit("tries-per-link", "mailed link", 30, HOUR),
        Limit("address-changes", "account", 10, None),
        Limit("sign-in-failures-per-ip", "IP", None, HOUR, "sign_in_failures_per_ip_hour"),
        Limit("sign-in-failures-per-name", "username", 20, FIVE_MINUTES),
        Limit("sign-in-failures-per-name-and-ip", "username and IP", 10, FIVE_MINUTES),
    )
}

# How long mailed links work (contract section 2); a reset link's time is a preference.
CONFIRM_LINK_HOURS = 24
NOT_ME_LINK_DAYS = 10
# A mail that fails is tried again after these seconds, one after another; then it is a dead letter. The
# third is past the time for which a worker that was cut off still holds a mail.
MAIL_RETRY_SECONDS = (10, 30, 120, 360, 900, 3600)
# A form posted again within this time gets the first one's answer (contract section 2).
REPEAT_SECONDS = 600
# When digests are mailed, in the district's time (contract section 5), and how many a second are taken
# up: below SES's first sending limit (14), so that a reset link never waits behind them.
DIGEST_HOUR = 17
DIGESTS_PER_SECOND = 10
# An account's open sessions; the oldest ends when one more begins (ASVS 7.1.2).
SESSIONS_PER_ACCOUNT = 20
# A household's requests that wait for a decision: somebody reads each by hand, and one can hold every
# field at once, so that more say nothing new; a stolen session can't bury an office in them.
OPEN_REQUESTS_PER_HOUSEHOLD = 5
# How long a decided request stays.
REQUEST_DAYS = 400


# --- preferences --------------------------------------------------------------


@dataclass(frozen=True)
class Preferences:
    """The district's preferences as in force, every one within its bounds (contract section 6)."""

    strong_password: bool = False
    reject_common_passwords: bool = True
    password_min_length: int = 6
    key_delivery: str = "mail"
    key_lifetime_days: int = 30
    lookups_per_ip_hour: int = 60
    sign_in_failures_per_ip_hour: int = 100
    forgot_username_limit: int = 5
    lockout_scope: str = "account"
    reset_link_minutes: int = 30
    session_idle_minutes: int = 30
    session_hours: int = 12
    time_zone: str = "America/New_York"
    district_name: str = "Parent Portal"
    trusted_networks: str | None = None
    notice_en: str | None = None
    notice_es: str | None = None
    support_url: str | None = None
    sso_issuer: str | None = None
    sso_client_id: str | None = None

    def most(self, limit: Limit) -> int:
        """Return how many tries a limit allows."""
        if limit.preference is not None:
            return int(getattr(self, limit.preference))
        assert limit.most is not None
        return limit.most

    def has_sso(self) -> bool:
        """Whether the district has an identity provider that parents may sign in with."""
        return bool(self.sso_issuer and self.sso_client_id)

    def trusts(self, ip: str) -> bool:
        """Whether the address is in one of the district's own networks."""
        if not self.trusted_networks:
            return False
        address = ipaddress.ip_address(ip)
        networks = (ipaddress.ip_network(n.strip()) for n in self.trusted_networks.split(","))
        return any(address in network for network in networks)

    def zone(self) -> zoneinfo.ZoneInfo:
        """Return the district's time zone."""
        return zoneinfo.ZoneInfo(self.time_zone)

    def day(self, now: datetime) -> date:
        """Return the district's calendar day at an instant."""
        return now.astimezone(self.zone()).date()

    def next_midnight(self, now: datetime) -> datetime:
        """Return the instant (UTC) at which the district's next day begins, always after `now`.

        Days have 23 or 25 hours over a DST change; where a zone skips midnight itself, the day begins
        at the first instant after it, which is what the fold arithmetic of zoneinfo gives. A clock
        that is set back over midnight (Newfoundland's was, at 0:01) meets it twice: the first is gone
        for whoever asks between the two.
        """
        tomorrow = self.day(now) + timedelta(days=1)
        midnight = datetime.combine(tomorrow, time.min, tzinfo=self.zone())
        first = midnight.astimezone(UTC)
        return first if first > now else midnight.replace(fold=1).astimezone(UTC)


@dataclass(frozen=True)
class Preference:
    """One row of the table of preferences: how a value is read, and its bounds in words."""

    name: str
    read: Callable[[object], object]
    bounds: str


def _boolean(value: object) -> bool:
    if isinstance(value, bool):
        return value
    if isinstance(value, str) and value.lower() in ("true", "false"):
        return value.lower() == "true"
    raise ValueError


def _integer(least: int, most: int) -> Callable[[object], int]:
    def read(value: object) -> int:
        if isinstance(value, bool) or not isinstance(value, (int, float, str)):
            raise ValueError
        number = int(str(value)) if isinstance(value, str) else int(value)
        if number != float(value) or not least <= number <= most:
            raise ValueError
        return number

    return read


def _choice(*allowed: str) -> Callable[[object], str]:
    def read(value: object) -> str:
        if not isinstance(value, str) or value not in allowed:
            raise ValueError
        return value

    return read


def _text(least: int, most: int) -> Callable[[object], str]:
    def read(value: object) -> str:
        if not isinstance(value, str) or not least <= len(value) <= most:
            raise ValueError
        if any(ord(character) < 32 or ord(character) == 127 for character in value):
            raise ValueError
        return value

    return read


def _zone(value: object) -> str:
    # zoneinfo also takes what no IANA name is: directories, posix strings.
    if not isinstance(value, str) or value not in zoneinfo.available_timezones():
        raise ValueError
    return value


def _networks(value: object) -> str:
    if not isinstance(value, str):
        raise ValueError
    networks = [ipaddress.ip_network(part.strip()) for part in value.split(",")]
    if len(networks) > 20 or any(n.prefixlen < (20 if n.version == 4 else 40) for n in networks):
        raise ValueError
    return ",".join(str(network) for network in networks)


def _https(*, allow_http: bool) -> Callable[[object], str]:
    def read(value: object) -> str:
        if not isinstance(value, str) or len(value) > 500:
            raise ValueError
        parts = urlsplit(value)
        if parts.scheme not in (("https", "http") if allow_http else ("https",)):
            raise ValueError
        if not parts.hostname or parts.username or any(not 33 <= ord(c) < 127 for c in value):
            raise ValueError
        return value

    return read


def preference_table(*, local: bool) -> Mapping[str, Preference]:
    """Return how each preference is read and bounded; on stage `local` http addresses pass too."""
    https = _https(allow_http=local)
    rows = (
        Preference("strong_password", _boolean, "true or false"),
        Preference("reject_common_passwords", _boolean, "true or false"),
        Preference("password_min_length", _integer(6, 64), "6–64"),
        Preference("key_delivery", _choice("mail", "screen"), "mail, screen"),
        Preference("key_lifetime_days", _integer(1, 180), "1–180"),
        Preference("lookups_per_ip_hour", _integer(10, 10_000), "10–10000"),
        Preference("sign_in_failures_per_ip_hour", _integer(10, 10_000), "10–10000"),
        Preference("forgot_username_limit", _integer(1, 20), "1–20"),
        Preference("lockout_scope", _choice("account", "recovery"), "account, recovery"),
        Preference("reset_link_minutes", _integer(5, 1440), "5–1440"),
        Preference("session_idle_minutes", _integer(5, 240), "5–240"),
        Preference("session_hours", _integer(1, 24), "1–24"),
        Preference("time_zone", _zone, "an IANA name"),
        Preference("district_name", _text(1, 80), "1–80 characters"),
        Preference("trusted_networks", _networks, "up to 20 CIDRs, none wider than /20, IPv6 /40"),
        Preference("notice_en", _text(1, 300), "1–300 characters"),
        Preference("notice_es", _text(1, 300), "1–300 characters"),
        Preference("support_url", https, "an https address"),
        Preference("sso_issuer", https, "an https address"),
        Preference("sso_client_id", _text(1, 300), "1–300 characters"),
    )
    return {row.name: row for row in rows}


DEFAULTS: Mapping[str, object] = {f.name: f.default for f in fields(Preferences)}


def read_preference(name: str, value: object, *, local: bool) -> object:
    """Return a preference's value as it counts.

    Raises:
        ValueError: the name is unknown, or the value of the wrong type or out of bounds.
    """
    row = preference_table(local=local).get(name)
    if row is None:
        raise ValueError(name)
    return row.read(value)
