"""An identity provider in this process: honest unless a test says how it errs.

It serves discovery, keys and tokens over HTTP on localhost, and plays the browser's part at its own
sign-in page by `sign_in`, which gives the address that the browser would be sent back to.
"""

import json
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, parse_qsl, urlencode, urlsplit

from joserfc import jwk, jwt

from chalicelib import crypto

CLIENT = "parent-portal"
# Made once: an RSA key takes a while.
KEYS = {
    name: jwk.RSAKey.generate_key(2048, {"kid": name, "use": "sig", "alg": "RS256"})
    for name in ("first", "second")
}


@dataclass
class IdentityProvider:
    """The provider, and what a test may bend.

    Attributes:
        bend: changes the claims of the next tokens.
        forge: makes the next tokens from header and claims, instead of signing them.
        respond: answers a path in place of the provider: status, headers, body.
        asked: the paths that were asked for, in order.
    """

    key: str = "first"
    published: tuple[str, ...] = ("first",)
    audience: str = CLIENT
    bend: Callable[[dict[str, Any]], None] = lambda _: None
    forge: Callable[[dict[str, Any], dict[str, Any]], str] | None = None
    respond: dict[str, Callable[[BaseHTTPRequestHandler], None]] = field(default_factory=dict)
    metadata: dict[str, Any] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)
    codes: dict[str, dict[str, str]] = field(default_factory=dict)
    basic: str | None = None
    issuer: str = ""
    server: ThreadingHTTPServer | None = None

    def start(self) -> "IdentityProvider":
        """Serve on a free port of localhost."""
        provider = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                provider.answer(self)

            def do_POST(self) -> None:
                provider.answer(self)

            def log_message(self, *_: object) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.issuer = f"http://127.0.0.1:{self.server.server_address[1]}"
        threading.Thread(target=self.server.serve_forever, args=(0.01,), daemon=True).start()
        return self

    def stop(self) -> None:
        """Be down."""
        if self.server is not None:
            self.server.shutdown()
            self.server.server_close()
            self.server = None

    # --- the browser's part ---

    def sign_in(self, location: str, *, sub: str = "u-1", **more: str) -> str:
        """Sign in at the page that a portal's redirect leads to; return the way back's path."""
        address = urlsplit(location)
        assert f"{address.scheme}://{address.netloc}" == self.issuer
        asked = dict(parse_qsl(address.query))
        assert asked["response_type"] == "code"
        assert asked["code_challenge_method"] == "S256"
        code = crypto.new_id()
        self.codes[code] = {**asked, "sub": sub}
        back = urlsplit(asked["redirect_uri"])
        return f"{back.path}?{urlencode({'code': code, 'state': asked['state'], **more})}"

    # --- HTTP ---

    def answer(self, request: BaseHTTPRequestHandler) -> None:
        """Answer one request."""
        path = urlsplit(request.path).path
        self.asked.append(path)
        if path in self.respond:
            self.respond[path](request)
            return
        length = int(request.headers.get("content-length") or 0)
        body = parse_qs(request.rfile.read(length).decode())
        if path == "/.well-known/openid-configuration":
            send(request, 200, self._metadata())
        elif path == "/jwks":
            keys = [KEYS[name].as_dict(private=False) for name in self.published]
            send(request, 200, {"keys": keys})
        elif path == "/token":
            self._token(request, {k: v[0] for k, v in body.items()})
        else:
            send(request, 404, {})

    def _metadata(self) -> dict[str, Any]:
        return {
            "issuer": self.issuer,
            "authorization_endpoint": f"{self.issuer}/authorize",
            "token_endpoint": f"{self.issuer}/token",
            "jwks_uri": f"{self.issuer}/jwks",
            **self.metadata,
        }

    def _token(self, request: BaseHTTPRequestHandler, fields: Mapping[str, str]) -> None:
        asked = self.codes.pop(fields.get("code", ""), None)
        self.basic = request.headers.get("authorization")
        if (
            asked is None
            or crypto.digest(fields["code_verifier"]) != asked["code_challenge"]
            or fields["redirect_uri"] != asked["redirect_uri"]
        ):
            send(request, 400, {"error": "invalid_grant"})
            return
        now = int(datetime.now(UTC).timestamp())
        claims: dict[str, Any] = {
            "iss": self.issuer,
            "sub": asked["sub"],
            "aud": self.audience,
            "nonce": asked["nonce"],
            "iat": now,
            "exp": now + 300,
        }
        self.bend(claims)
        header = {"alg": "RS256", "kid": self.key}
        token = (
            self.forge(header, claims)
            if self.forge
            else jwt.encode(header, claims, KEYS[self.key], algorithms=["RS256"])
        )
        send(request, 200, {"id_token": token, "access_token": "a", "token_type": "Bearer"})


def send(request: BaseHTTPRequestHandler, status: int, body: object) -> None:
    """Send JSON."""
    raw = json.dumps(body).encode()
    request.send_response(status)
    request.send_header("Content-Type", "application/json")
    request.send_header("Content-Length", str(len(raw)))
    request.end_headers()
    request.wfile.write(raw)


def redirecting(request: BaseHTTPRequestHandler) -> None:
    """Send the caller to the same path elsewhere, where a good answer waits."""
    request.send_response(302)
    request.send_header("Location", request.path + "?again")
    request.send_header("Content-Length", "0")
    request.end_headers()


def huge(request: BaseHTTPRequestHandler) -> None:
    """Send 100 MB, until the caller hangs up."""
    request.send_response(200)
    request.send_header("Content-Length", str(100_000_000))
    request.end_headers()
    piece = b" " * 100_000
    try:
        for _ in range(1000):
            request.wfile.write(piece)
    except OSError:
        request.close_connection = True


def silent(request: BaseHTTPRequestHandler) -> None:
    """Say nothing until the caller hangs up."""
    request.rfile.read()


def dripping(request: BaseHTTPRequestHandler) -> None:
    """Send a byte now and then, so that no pause is ever too long."""
    request.send_response(200)
    request.end_headers()
    try:
        while True:
            request.wfile.write(b" ")
            request.wfile.flush()
            time.sleep(0.01)
    except OSError:
        request.close_connection = True
