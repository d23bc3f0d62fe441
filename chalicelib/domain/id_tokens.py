"""ID tokens: what must hold before a subject is believed (OpenID Connect Core 1.0, section 3.1.3.7)."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from joserfc.jwk import Key

# Signatures by a key pair only: with HMAC the public key would be the secret, and `none` is none.
ALGORITHMS = ("RS256", "PS256", "ES256", "RS384", "PS384", "ES384", "RS512", "PS512", "ES512")
_KEY_TYPES = {"R": "RSA", "P": "RSA", "E": "EC"}
# How far the provider's clock and ours may be apart.
SKEW_SECONDS = 60
# OpenID Connect Core 1.0, section 2: a subject has 255 characters at most.
_MOST_SUBJECT = 255
_LEAST_RSA_BITS = 2048


class UnknownKey(Exception):
    """The token names a key that isn't among those given."""


class TokenRefused(Exception):
    """The token isn't the provider's, isn't for us, isn't this sign-in's, or isn't of now."""


def subject(
    token: str,
    keys: Sequence[Mapping[str, Any]],
    *,
    issuer: str,
    client_id: str,
    nonce: str,
    now: datetime,
) -> str:
    """Return the subject of a token that holds in every respect.

    Only the provider's published `keys` (JWKs) are used, whatever the token's own header brings
    (`jwk`, `jku`, `x5c`).

    Raises:
        UnknownKey: none of the keys is the one that the token names.
        TokenRefused: everything else.
    """
    # Loaded when a token comes: 70 ms that no other route's cold start should pay.
    from joserfc import errors, jws, jwt  # noqa: PLC0415

    registry = jws.JWSRegistry(algorithms=ALGORITHMS, strict_check_header=False)
    claimed = jwt.JWTClaimsRegistry(
        now=int(now.timestamp()),
        leeway=SKEW_SECONDS,
        iss={"essential": True, "value": issuer},
        aud={"essential": True, "value": client_id},
        exp={"essential": True},
        iat={"essential": True},
        sub={"essential": True},
        nonce={"essential": True, "value": nonce},
    )
    try:
        header = jws.extract_compact(token.encode("ascii"), registry=registry).headers()
        key = _key(header, keys)
        claims = jwt.decode(token, key, algorithms=ALGORITHMS, registry=registry).claims
        claimed.validate(claims)
    except (errors.JoseError, ValueError, TypeError, KeyError) as error:
        raise TokenRefused(type(error).__name__) from error
    _check_party(claims, client_id)
    found = claims["sub"]
    if not 0 < len(found) <= _MOST_SUBJECT or not isinstance(claims["nonce"], str):
        raise TokenRefused("sub")
    return str(found)


def _key(header: Mapping[str, Any], keys: Sequence[Mapping[str, Any]]) -> "Key":
    """Return the provider's key for a token's header; without `kid` it must be the only one."""
    from joserfc import jwk  # noqa: PLC0415 - see `subject`

    algorithm, key_id = header.get("alg"), header.get("kid")
    if algorithm not in ALGORITHMS:
        raise TokenRefused("alg")
    fit = [
        key
        for key in keys
        if key.get("kty") == _KEY_TYPES[algorithm[0]]
        and key.get("use", "sig") == "sig"
        and key.get("alg", algorithm) == algorithm
        and (key_id is None or key.get("kid") == key_id)
    ]
    if not fit and key_id is not None:
        raise UnknownKey
    if len(fit) != 1:
        raise TokenRefused("kid")
    public = {k: v for k, v in fit[0].items() if k in ("kty", "n", "e", "crv", "x", "y")}
    imported = jwk.import_key(public)
    if isinstance(imported, jwk.RSAKey) and imported.public_key.key_size < _LEAST_RSA_BITS:
        raise TokenRefused("weak key")
    return imported


def _check_party(claims: Mapping[str, Any], client_id: str) -> None:
    """Refuse a token that was made for another party beside us (section 3.1.3.7, steps 4 and 5)."""
    party, audience = claims.get("azp"), claims["aud"]
    if isinstance(audience, list) and len(audience) > 1 and party is None:
        raise TokenRefused("azp")
    if party is not None and party != client_id:
        raise TokenRefused("azp")
