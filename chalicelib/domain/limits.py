"""Counting tries against the table of limits (`policy.LIMITS`): who is counted, and in which window."""

import ipaddress
from datetime import UTC, datetime, timedelta

from chalicelib import errors, policy
from chalicelib.storage import aws, counters, district

# More than a window can hold.
_BEYOND = 10_000


def from_ip(limit_name: str, ip: str, *, now: datetime) -> counters.Counted | None:
    """Count one try of an IP address; None where the district trusts the network.

    Takes the address of API Gateway's request context. An IPv6 client is its /64, which is what one
    household or one attacker holds (contract section 2).

    Raises:
        TooManyTries: the limit is reached; nothing was counted.
    """
    if district.preferences().trusts(ip):
        return None
    return of(limit_name, network(ip), now=now)


def network(ip: str) -> str:
    """Return what an address counts as: itself, or an IPv6 address's /64."""
    address = ipaddress.ip_address(ip)
    if isinstance(address, ipaddress.IPv6Address):
        if address.ipv4_mapped:
            return str(address.ipv4_mapped)
        return str(ipaddress.ip_network((address, 64), strict=False))
    return str(address)


def of(limit_name: str, counted: str, *, now: datetime) -> counters.Counted:
    """Count one try of whatever the limit counts (an IP, a number, a key's hash, a guardian).

    Raises:
        TooManyTries: the limit is reached; nothing was counted.
    """
    limit = policy.LIMITS[limit_name]
    preferences = district.preferences()
    day, ends = _window(limit, preferences, now)
    try:
        return counters.count(
            aws.keyring().hash(limit.name, counted),
            day=day,
            most=preferences.most(limit),
            ends=ends,
            now=now,
        )
    except counters.Exhausted as error:
        raise errors.TooManyTries(locked_until=error.until) from error


def of_name(username_key: str, ip: str, *, known_device: bool, now: datetime) -> counters.Counted:
    """Count one sign-in try for a name and for the name from this IP, judged in one write.

    Names that nobody has are counted alike. Trusted networks don't lift this limit. A device that
    signed in before is spared the name's total, never what its own IP fails.

    Raises:
        TooManyTries: 20 of the name, or 10 of the name from this IP, in five minutes.
    """
    limit = policy.LIMITS["sign-in-failures-per-name"]
    of_part = policy.LIMITS["sign-in-failures-per-name-and-ip"]
    preferences = district.preferences()
    day, ends = _window(limit, preferences, now)
    keyring = aws.keyring()
    try:
        return counters.count(
            keyring.hash(limit.name, username_key),
            day=day,
            most=_BEYOND if known_device else preferences.most(limit),
            ends=ends,
            now=now,
            part=keyring.hash("ip", network(ip)),
            most_of_part=preferences.most(of_part),
        )
    except counters.Exhausted as error:
        raise errors.TooManyTries(locked_until=error.until) from error


def refuse_beyond_name(counted: counters.Counted) -> None:
    """Judge a counted try by the name's total after all: the device isn't known any more.

    Raises:
        TooManyTries: it is beyond.
    """
    most = district.preferences().most(policy.LIMITS["sign-in-failures-per-name"])
    if counted.tries > most:
        until = datetime.fromtimestamp(counted.expires_at, UTC)
        raise errors.TooManyTries(locked_until=until)


def give_back(counted: counters.Counted | None) -> None:
    """Take a counted try back: it turned out right, and only wrong ones count."""
    if counted is not None:
        counters.give_back(counted)


def _window(
    limit: policy.Limit, preferences: policy.Preferences, now: datetime
) -> tuple[str, datetime]:
    if limit.seconds is None:
        return preferences.day(now).isoformat(), preferences.next_midnight(now)
    return "-", now + timedelta(seconds=limit.seconds)


def room_left(limit_name: str, counted: str, *, now: datetime) -> bool:
    """Whether a limit has a try left; decides nothing by itself, since counting judges again."""
    limit = policy.LIMITS[limit_name]
    preferences = district.preferences()
    day, _ = _window(limit, preferences, now)
    tries = counters.tries(aws.keyring().hash(limit.name, counted), day=day, now=now)
    return tries < preferences.most(limit)


def forget_name(username_key: str) -> None:
    """Clear a name's failures: its owner has just proved themselves by mail, or an admin says so."""
    for counter in aws.keyring().hashes("sign-in-failures-per-name", username_key):
        counters.clear(counter, day="-")
