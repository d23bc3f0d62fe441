"""ID tokens: each way in which one may not hold, and the ways in which it may differ and hold (S78)."""

import base64
import json
from collections.abc import Callable, Mapping
from typing import Any

import pytest
from joserfc import jwk, jwt

from chalicelib.domain import id_tokens
from tests.factories import NOW
from tests.identity_provider import CLIENT, KEYS

Maker = Callable[[dict[str, Any], dict[str, Any]], str]

AT = int(NOW.timestamp())
BENT: dict[str, dict[str, Any]] = {
    "wrong audience": {"aud": "somebody-else"},
    "no audience": {"aud": None},
    "two audiences and no party": {"aud": [CLIENT, "other"]},
    "another party": {"aud": [CLIENT, "other"], "azp": "other"},
    "wrong nonce": {"nonce": "n"},
    "no nonce": {"nonce": None},
    "wrong issuer": {"iss": "https://evil.example"},
    "no issuer": {"iss": None},
    "expired": {"exp": AT - 61},
    "no expiry": {"exp": None},
    "an expiry that is no number": {"exp": "never"},
    "not yet valid": {"nbf": AT + 120},
    "issued in the future": {"iat": AT + 120},
    "no time of issue": {"iat": None},
    "no subject": {"sub": None},
    "an empty subject": {"sub": ""},
    "a subject that is a list": {"sub": ["u-1"]},
    "an endless subject": {"sub": "u" * 256},
}


ISSUER, NONCE = "https://id.example.org", "n-1"
PUBLISHED = [KEYS["first"].as_dict(private=False)]


def claims(**more: Any) -> dict[str, Any]:
    good = {
        "iss": ISSUER,
        "sub": "u-1",
        "aud": CLIENT,
        "nonce": NONCE,
        "iat": AT,
        "exp": AT + 300,
        **more,
    }
    return {name: value for name, value in good.items() if value is not None}


def judged(token: str, keys: list[dict[str, Any]] | None = None) -> str:
    return id_tokens.subject(
        token,
        PUBLISHED if keys is None else keys,
        issuer=ISSUER,
        client_id=CLIENT,
        nonce=NONCE,
        now=NOW,
    )


def signed(content: dict[str, Any], *, key: Any = KEYS["first"], **header: Any) -> str:
    headers = {"alg": "RS256", "kid": "first", **header}
    headers = {name: value for name, value in headers.items() if value is not None}
    return jwt.encode(headers, content, key, algorithms=[headers["alg"]])


def test_a_token_that_holds_names_its_subject() -> None:
    assert judged(signed(claims())) == "u-1"


@pytest.mark.parametrize("bent", BENT.values(), ids=BENT)
def test_a_token_that_does_not_hold_is_refused(bent: dict[str, Any]) -> None:
    with pytest.raises(id_tokens.TokenRefused):
        judged(signed(claims(**bent)))


@pytest.mark.parametrize(
    "fine",
    [
        {"exp": AT - 59},
        {"nbf": AT + 60},
        {"iat": AT + 60},
        {"aud": [CLIENT]},
        {"aud": [CLIENT, "other"], "azp": CLIENT},
        {"sub": "u" * 255},
        {"email": "somebody@else.example", "anything": {"else": [1]}},
    ],
    ids=str,
)
def test_clocks_a_minute_apart_and_lists_of_audiences_are_fine(fine: dict[str, Any]) -> None:
    assert judged(signed(claims(**fine))) == fine.get("sub", "u-1")


# --- forged ---------------------------------------------------------------------------------


def part(content: object) -> str:
    raw = content if isinstance(content, bytes) else json.dumps(content).encode()
    return base64.urlsafe_b64encode(raw).decode().rstrip("=")


def unsigned(header: dict[str, Any], claims: dict[str, Any]) -> str:
    return f"{part(header | {'alg': 'none'})}.{part(claims)}."


def by_hmac_with_the_public_key(header: dict[str, Any], claims: dict[str, Any]) -> str:
    key = jwk.OctKey.import_key(part(KEYS["first"].as_pem(private=False)))
    return jwt.encode(header | {"alg": "HS256"}, claims, key, algorithms=["HS256"])


def by_hmac_with_the_client_id(header: dict[str, Any], claims: dict[str, Any]) -> str:
    key = jwk.OctKey.import_key(CLIENT * 4)
    return jwt.encode(header | {"alg": "HS256"}, claims, key, algorithms=["HS256"])


def by_a_key_of_its_own(header: dict[str, Any], claims: dict[str, Any]) -> str:
    return jwt.encode(header, claims, KEYS["second"], algorithms=["RS256"])


def by_a_key_in_the_header(header: dict[str, Any], claims: dict[str, Any]) -> str:
    own = KEYS["second"].as_dict(private=False)
    headers = {"alg": "RS256", "jwk": {k: own[k] for k in ("kty", "n", "e")}}
    signed = jwt.encode({"alg": "RS256"}, claims, KEYS["second"], algorithms=["RS256"])
    return ".".join((part(headers), *signed.split(".")[1:]))


def by_a_key_somewhere_else(header: dict[str, Any], claims: dict[str, Any]) -> str:
    headers = header | {"kid": "second", "jku": f"{claims['iss']}/evil"}
    return jwt.encode(headers, claims, KEYS["second"], algorithms=["RS256"])


def cut_off(header: dict[str, Any], claims: dict[str, Any]) -> str:
    return jwt.encode(header, claims, KEYS["first"], algorithms=["RS256"])[:-20]


def with_other_claims(header: dict[str, Any], claims: dict[str, Any]) -> str:
    head, _, signature = jwt.encode(
        header, claims | {"sub": "u-2"}, KEYS["first"], algorithms=["RS256"]
    ).split(".")
    return f"{head}.{part(claims)}.{signature}"


def nonsense(_: dict[str, Any], __: dict[str, Any]) -> str:
    return "é.b.c"


@pytest.mark.parametrize(
    "forge",
    [
        unsigned,
        by_hmac_with_the_public_key,
        by_hmac_with_the_client_id,
        by_a_key_of_its_own,
        by_a_key_in_the_header,
        cut_off,
        with_other_claims,
        nonsense,
    ],
    ids=lambda one: one.__name__,
)
def test_a_forged_token_is_refused(forge: Maker) -> None:
    with pytest.raises(id_tokens.TokenRefused):
        judged(forge({"alg": "RS256", "kid": "first"}, claims()))


def test_a_key_that_is_not_published_is_not_known() -> None:
    with pytest.raises(id_tokens.UnknownKey):
        judged(by_a_key_somewhere_else({"alg": "RS256"}, claims()))


def test_an_extension_that_must_be_understood_and_is_not_is_refused() -> None:
    head = part({"alg": "RS256", "kid": "first", "crit": ["exp"], "exp": 1})
    _, body, signature = signed(claims()).split(".")
    with pytest.raises(id_tokens.TokenRefused):
        judged(f"{head}.{body}.{signature}")


# --- keys -----------------------------------------------------------------------------------


@pytest.mark.parametrize("algorithm", id_tokens.ALGORITHMS)
def test_each_algorithm_of_the_list_is_taken(algorithm: str) -> None:
    curves = {"ES256": "P-256", "ES384": "P-384", "ES512": "P-521"}
    if algorithm in curves:
        key: Any = jwk.ECKey.generate_key(curves[algorithm], {"kid": "k"})
    else:
        key = jwk.RSAKey.import_key({**KEYS["first"].as_dict(private=True), "alg": algorithm})
    published = {**key.as_dict(private=False), "kid": "k"}
    token = signed(claims(), key=key, alg=algorithm, kid="k")
    assert judged(token, [published]) == "u-1"


def test_a_token_without_a_key_id_is_taken_where_there_is_one_key_only() -> None:
    token = signed(claims(), kid=None)
    assert judged(token) == "u-1"
    with pytest.raises(id_tokens.TokenRefused):
        judged(token, [*PUBLISHED, KEYS["second"].as_dict(private=False)])


@pytest.mark.parametrize(
    "odd",
    [
        {"use": "enc"},
        {"alg": "RS512"},
        {"kty": "oct", "k": "c2VjcmV0"},
        {"kid": "another"},
        {"kid": ["first"]},
    ],
    ids=str,
)
def test_a_key_for_something_else_is_no_key_for_this(odd: Mapping[str, Any]) -> None:
    with pytest.raises(id_tokens.UnknownKey):
        judged(signed(claims()), [{**PUBLISHED[0], **odd}])


@pytest.mark.parametrize("broken", [{"n": None}, {"n": "!"}, {"e": 3}, {"n": ""}], ids=str)
def test_a_key_that_is_none_opens_nothing(broken: Mapping[str, Any]) -> None:
    with pytest.raises(id_tokens.TokenRefused):
        judged(signed(claims()), [{**PUBLISHED[0], **broken}])


@pytest.mark.filterwarnings("ignore::joserfc.errors.SecurityWarning")
def test_a_key_of_1024_bits_is_too_weak() -> None:
    weak = jwk.RSAKey.generate_key(1024, {"kid": "first"})
    with pytest.raises(id_tokens.TokenRefused, match="weak key"):
        judged(signed(claims(), key=weak), [weak.as_dict(private=False)])
