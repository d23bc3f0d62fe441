"""Fetching from the district's identity provider, and what of it is kept for a while.

One answer a call: https with a checked certificate, to a public address, no redirect, bounded in time
and size (security row S80). On stage `local` http and local addresses pass too. What the provider says
of itself and its keys are kept in the container, so that it isn't asked at each sign-in.
"""

import contextlib
import ipaddress
import json
import socket
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from http import HTTPStatus
from http.client import HTTPException
from typing import Any
from urllib.parse import urlencode, urlsplit

from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.exceptions import HTTPError

from chalicelib import logs, settings

# Between two bytes, and in all: three fetches stay below API Gateway's 29 seconds.
PAUSE_SECONDS, WHOLE_SECONDS = 3.0, 6.0
MOST_BYTES = 1_000_000
_PIECE_BYTES = 65_536
# A provider that moves or turns its keys is noticed within this time.
KEPT = timedelta(hours=1)
# A key id that nobody knows makes us ask again, this seldom at most.
ASK_AGAIN = timedelta(minutes=1)


class ProviderFailed(Exception):
    """The provider gave no answer that could be used: down, slow, redirecting, huge, or not its own."""


class CodeRefused(Exception):
    """The provider doesn't take the code: used, too old, or made up."""


@dataclass(frozen=True)
class Provider:
    """What a provider says of itself (OpenID Connect Discovery 1.0, section 3).

    Attributes:
        issuer: as the provider writes it; what the preference names, but for a slash at the end.
        names_itself: whether its way back always says `iss` (RFC 9207).
        takes_basic: whether it takes a client secret as the header that is the default.
    """

    issuer: str
    authorization_endpoint: str
    token_endpoint: str
    jwks_uri: str
    names_itself: bool
    takes_basic: bool


class _Kept:
    """What this container fetched last, and when."""

    provider: tuple[str, Provider, datetime] | None = None
    keys: tuple[str, Sequence[Mapping[str, Any]], datetime] | None = None


def forget() -> None:
    """Fetch everything anew, as a new container would."""
    _Kept.provider = _Kept.keys = None


# --- what is fetched ------------------------------------------------------------


def provider(issuer: str, *, now: datetime) -> Provider:
    """Return what the provider at an issuer's address says of itself, at most an hour old.

    Raises:
        ProviderFailed: it doesn't answer, or answers as somebody else.
    """
    kept = _Kept.provider
    if kept is not None and kept[0] == issuer and _is_fresh(kept[2], KEPT, now):
        return kept[1]
    said = _json(issuer.rstrip("/") + "/.well-known/openid-configuration")
    if _text(said, "issuer").rstrip("/") != issuer.rstrip("/"):
        raise ProviderFailed("another issuer")
    methods = said.get("token_endpoint_auth_methods_supported")
    found = Provider(
        issuer=_text(said, "issuer"),
        authorization_endpoint=_text(said, "authorization_endpoint"),
        token_endpoint=_text(said, "token_endpoint"),
        jwks_uri=_text(said, "jwks_uri"),
        names_itself=said.get("authorization_response_iss_parameter_supported") is True,
        takes_basic=not isinstance(methods, list) or "client_secret_basic" in methods,
    )
    for address in (found.authorization_endpoint, found.token_endpoint, found.jwks_uri):
        _parts(address)
    _Kept.provider = (issuer, found, now)
    return found


def keys(of: Provider, *, unknown: bool = False, now: datetime) -> Sequence[Mapping[str, Any]]:
    """Return the provider's public keys as JWKs (RFC 7517), at most an hour old.

    With `unknown` (a token names a key that isn't among them) they are fetched anew, but once a minute
    at most: anybody can make up key ids.

    Raises:
        ProviderFailed: it doesn't answer with a set of keys.
    """
    kept = _Kept.keys
    if kept is not None and kept[0] == of.jwks_uri:
        lasts = ASK_AGAIN if unknown else KEPT
        if _is_fresh(kept[2], lasts, now):
            return kept[1]
        # Noted before it is asked: a provider that is down isn't asked at each try either.
        _Kept.keys = (of.jwks_uri, kept[1], now) if unknown else None
    found = _json(of.jwks_uri).get("keys")
    if not isinstance(found, list):
        raise ProviderFailed("no keys")
    _Kept.keys = (of.jwks_uri, [key for key in found if isinstance(key, dict)], now)
    return _Kept.keys[1]


def exchange(
    of: Provider, fields: Mapping[str, str], *, authorization: str | None
) -> Mapping[str, Any]:
    """Send a code to the provider's token endpoint; return its answer (RFC 6749 section 4.1.3).

    Raises:
        CodeRefused: the code opens nothing.
        ProviderFailed: everything else that is no answer.
    """
    headers = {"Content-Type": "application/x-www-form-urlencoded"}
    if authorization is not None:
        headers["Authorization"] = authorization
    status, body = _fetch("POST", of.token_endpoint, body=urlencode(fields), headers=headers)
    said = _object(body)
    if status == HTTPStatus.BAD_REQUEST and said.get("error") == "invalid_grant":
        raise CodeRefused
    if status != HTTPStatus.OK:
        logs.event("sso-exchange-refused", level="warning", status=status)
        raise ProviderFailed(str(status))
    return said


def _is_fresh(fetched: datetime, lasts: timedelta, now: datetime) -> bool:
    return timedelta() <= now - fetched < lasts


def _json(address: str) -> Mapping[str, Any]:
    status, body = _fetch("GET", address)
    if status != HTTPStatus.OK:
        raise ProviderFailed(str(status))
    return _object(body)


def _object(body: bytes) -> Mapping[str, Any]:
    try:
        said = json.loads(body)
    except (ValueError, RecursionError) as error:
        raise ProviderFailed("no JSON") from error
    if not isinstance(said, dict):
        raise ProviderFailed("no object")
    return said


def _text(said: Mapping[str, Any], name: str) -> str:
    value = said.get(name)
    if not isinstance(value, str):
        raise ProviderFailed(name)
    return value


# --- one fetch ------------------------------------------------------------------


@dataclass(frozen=True)
class _Address:
    """An address that may be asked: its parts, and what `Host` says."""

    secure: bool
    host: str
    port: int
    netloc: str
    target: str


def _parts(address: str) -> _Address:
    """Return the parts of an address.

    Raises:
        ProviderFailed: no https address, or one with a name, a password or a fragment in it.
    """
    try:
        parts = urlsplit(address)
        port = parts.port
    except ValueError as error:
        raise ProviderFailed("address") from error
    schemes = {"https": 443, "http": 80} if settings.is_local() else {"https": 443}
    if parts.scheme not in schemes or not parts.hostname or "@" in parts.netloc or parts.fragment:
        raise ProviderFailed("address")
    if any(not 32 < ord(c) < 127 for c in address):  # noqa: PLR2004 - visible ASCII
        raise ProviderFailed("address")
    return _Address(
        secure=parts.scheme == "https",
        host=parts.hostname,
        port=port or schemes[parts.scheme],
        netloc=parts.netloc,
        target=(parts.path or "/") + (f"?{parts.query}" if parts.query else ""),
    )


def _resolved(address: _Address) -> str:
    """Return the IP address to connect to; it is looked up once, so that it can't change between.

    Raises:
        ProviderFailed: nobody knows the name, or it leads to an address that isn't public.
    """
    try:
        found = socket.getaddrinfo(address.host, address.port, type=socket.SOCK_STREAM)
    except OSError as error:
        raise ProviderFailed("name") from error
    ips = sorted({ipaddress.ip_address(str(one[4][0]).partition("%")[0]) for one in found}, key=_v4)
    public = [ip for ip in ips if ip.is_global and not ip.is_multicast]
    if not ips or (len(public) < len(ips) and not settings.is_local()):
        raise ProviderFailed("not public")
    return str(ips[0])


def _v4(ip: ipaddress.IPv4Address | ipaddress.IPv6Address) -> tuple[int, int]:
    """Order addresses, IPv4 first: a function outside a VPC has no other."""
    return ip.version, int(ip)


def _fetch(
    method: str, address: str, *, body: str | None = None, headers: Mapping[str, str] | None = None
) -> tuple[int, bytes]:
    """Return status and body of one answer, whatever the status: a redirect is not followed.

    Raises:
        ProviderFailed: no connection, a wrong certificate, too slow, too large.
    """
    parts = _parts(address)
    ip = _resolved(parts)
    connection = (
        HTTPSConnection(ip, parts.port, timeout=PAUSE_SECONDS, server_hostname=parts.host)
        if parts.secure
        else HTTPConnection(ip, parts.port, timeout=PAUSE_SECONDS)
    )
    sockets: list[socket.socket] = []
    # A time-out counts from byte to byte; only cutting the connection bounds the whole.
    end = threading.Timer(WHOLE_SECONDS, _cut, [connection, sockets])
    end.daemon = True
    end.start()
    try:
        connection.connect()
        sockets.append(connection.sock)
        connection.request(
            method,
            parts.target,
            body=body,
            headers={
                "Host": parts.netloc,
                "Accept": "application/json",
                "User-Agent": "parent-portal",
                **(headers or {}),
            },
            preload_content=False,
            decode_content=False,
        )
        response = connection.getresponse()
        pieces, size = [], 0
        while piece := response.read1(_PIECE_BYTES):
            size += len(piece)
            if size > MOST_BYTES:
                raise ProviderFailed("too large")
            pieces.append(piece)
        return response.status, b"".join(pieces)
    except (OSError, HTTPError, HTTPException, ValueError) as error:
        raise ProviderFailed(type(error).__name__) from error
    finally:
        end.cancel()
        connection.close()


def _cut(connection: HTTPConnection, sockets: Sequence[socket.socket]) -> None:
    for one in (*sockets, connection.sock):
        if one is not None:
            with contextlib.suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)
