"""A request as the actions see it: method, fields, language, address; read strictly, judged early.

Size, content type, form and encoding are judged before anything costs something (security row S63).
"""

import ipaddress
import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import NoReturn
from urllib.parse import parse_qsl, urlsplit

from chalice.app import Request

from chalicelib import errors, settings, texts
from chalicelib.errors import FieldError

MOST_BYTES = 16 * 1024
MOST_FIELDS = 100
FORM, JSON = "application/x-www-form-urlencoded", "application/json"
# The replacement character: what the gateway makes of bytes that aren't UTF-8.
_REPLACED = "\ufffd"
_LANGUAGE = re.compile(r"[a-z]{2,3}")
# Judged as a password is: with whatever is typed, and its own word for what may not be in it.
_PASSWORDS = frozenset({"password", "verify_password", "current_password"})


@dataclass(frozen=True)
class Call:
    """One request, in the terms of an action."""

    method: str
    path: str
    query: Mapping[str, str]
    fields: Mapping[str, object]
    cookies: Mapping[str, str]
    ip: str
    device: str
    wants_json: bool
    language: str
    language_chosen: bool
    language_asked: str | None
    now: datetime
    request_id: str
    path_parameters: Mapping[str, str] = field(default_factory=dict)

    @property
    def root(self) -> str:
        """Return the relative way to the portal's root, so that links work under any prefix."""
        return "../" * (self.path.count("/") - 1)

    def cookie(self, name: str) -> str | None:
        """Return one of our cookies, named without its prefix."""
        return self.cookies.get(cookie_name(name))

    def text(self, name: str) -> str:
        """Return a field as text, empty where it is missing.

        Raises:
            Invalid: it is a list, an object, a number or a flag, or holds a NUL and is no password.
        """
        value = self.fields.get(name, "")
        if value is None:
            return ""
        if not isinstance(value, str) or ("\x00" in value and name not in _PASSWORDS):
            raise errors.Invalid(errors=[FieldError(name, "format")])
        return value

    def texts(self, *names: str) -> tuple[str, ...]:
        """Return several fields as text; every one that is no text is named at once.

        Raises:
            Invalid: see `text`.
        """
        faults: list[FieldError] = []
        values = []
        for name in names:
            try:
                values.append(self.text(name))
            except errors.Invalid as invalid:
                faults.extend(invalid.errors)
        if faults:
            raise errors.Invalid(errors=faults)
        return tuple(values)

    def speaking(self, language: str | None) -> "Call":
        """Return the call in a guardian's language, unless the request itself chose one."""
        if language is None or self.language_chosen:
            return self
        return replace(self, language=language)

    @property
    def form_id(self) -> str:
        """Return what a form carries to be known again when it is posted twice."""
        value = self.fields.get("form_id")
        return value[:100] if isinstance(value, str) else ""


def cookie_name(name: str) -> str:
    """Return a cookie's full name: `__Host-` binds it to this host and https, but on localhost."""
    return name if settings.is_local() else f"__Host-{name}"


# --- from the request ---------------------------------------------------------


def outline(request: Request, now: datetime) -> Call:
    """Return all of the call but its body, which never fails: refusals need it to be said."""
    headers = request.headers
    cookies = _cookies(headers.get("cookie", ""))
    query = {str(k): str(v) for k, v in (request.query_params or {}).items()}
    asked = query.get("lang") if query.get("lang") in texts.LANGUAGES else None
    kept = cookies.get(cookie_name("lang"))
    chosen = asked or (kept if kept in texts.LANGUAGES else None)
    return Call(
        method=str(request.method),
        path=_path(request),
        query=query,
        fields={},
        cookies=cookies,
        ip=_ip(request),
        device=_device(headers.get("user-agent", "")),
        wants_json=_wants_json(headers.get("accept", "")),
        language=chosen or _accepted(headers.get("accept-language", "")),
        language_chosen=chosen is not None,
        language_asked=asked if request.method == "GET" else None,
        now=now,
        request_id=str(request.context.get("requestId", "")),
        path_parameters={k: str(v) for k, v in (request.uri_params or {}).items()},
    )


def refuse_cross_site(request: Request) -> None:
    """Refuse a POST that another site's page sent (contract section 2).

    Raises:
        CrossSite: by `Sec-Fetch-Site`, or without it by `Origin`. Neither: no browser, it passes.
    """
    site = request.headers.get("sec-fetch-site")
    if site is not None:
        if site not in ("same-origin", "none"):
            raise errors.CrossSite
        return
    origin = request.headers.get("origin")
    if origin is not None and origin not in _own_origins(request):
        raise errors.CrossSite


def _own_origins(request: Request) -> set[str]:
    ours = urlsplit(settings.portal_url())
    origins = {f"{ours.scheme}://{ours.netloc}"}
    if settings.is_local():
        host = request.headers.get("host", "")
        origins |= {f"http://{host}", f"https://{host}"}
    return origins


def read_fields(request: Request) -> Mapping[str, object]:
    """Read the body: a form or JSON, strict UTF-8, at most 16 KiB and 100 fields.

    A field given twice counts as its last one, in a form as in JSON.

    Raises:
        BodyTooLarge, WrongContentType, Malformed: in this order.
    """
    raw = request.raw_body
    body = raw.encode() if isinstance(raw, str) else raw
    if len(body) > MOST_BYTES:
        raise errors.BodyTooLarge
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if not body and not kind:
        return {}
    if kind not in (FORM, JSON):
        raise errors.WrongContentType
    try:
        text = body.decode("utf-8", errors="strict")
        fields = _form(text) if kind == FORM else _json(text)
    except (ValueError, RecursionError) as error:
        raise errors.Malformed from error
    if len(fields) > MOST_FIELDS or _unreadable(fields):
        raise errors.Malformed
    return fields


def _form(text: str) -> dict[str, object]:
    pairs = parse_qsl(text, keep_blank_values=True, errors="strict", max_num_fields=MOST_FIELDS)
    return dict(pairs)


def _json(text: str) -> dict[str, object]:
    fields = json.loads(text, parse_constant=_no_number) if text else {}
    if not isinstance(fields, dict):
        raise ValueError("not an object")
    return fields


def _no_number(name: str) -> NoReturn:
    """Refuse NaN and Infinity, which Python reads and JSON doesn't have (RFC 8259 section 6)."""
    raise ValueError(name)


def _unreadable(fields: Mapping[str, object]) -> bool:
    """Whether a text holds what UTF-8 can't: a lone surrogate, or the gateway's replacement."""
    texts_of = (x for pair in fields.items() for x in pair if isinstance(x, str))
    return any(_REPLACED in x or any("\ud800" <= c <= "\udfff" for c in x) for x in texts_of)


def _path(request: Request) -> str:
    """Return the path below the stage prefix, from the resource and its parameters."""
    path = str(request.context.get("resourcePath") or request.path)
    for name, value in (request.uri_params or {}).items():
        path = path.replace("{" + name + "+}", str(value)).replace("{" + name + "}", str(value))
    return path


def _ip(request: Request) -> str:
    """Return the client's address from API Gateway's context, whatever headers say."""
    source = str(request.context.get("identity", {}).get("sourceIp", ""))
    try:
        return str(ipaddress.ip_address(source))
    except ValueError:
        return "0.0.0.0"  # noqa: S104 - nothing is bound: all without an address count as one


def _cookies(header: str) -> dict[str, str]:
    """Return the cookies that came along.

    Other sites of the domain set theirs, in whatever form (RFC 6265 section 5 has browsers keep them):
    one that can't be read costs no other, as it would with `SimpleCookie`.
    """
    pairs = (part.partition("=") for part in header.split(";"))
    return {name.strip(): value.strip().strip('"') for name, given, value in pairs if given}


def _wants_json(accept: str) -> bool:
    weights = dict.fromkeys(("text/html", JSON, "application/problem+json"), 0.0)
    for kind, weight in _weighted(accept):
        if kind in weights:
            weights[kind] = max(weight, weights[kind])
    return max(weights[JSON], weights["application/problem+json"]) > weights["text/html"]


def _accepted(header: str) -> str:
    """Return the best of our languages by `Accept-Language` (RFC 9110 section 12.5.4)."""
    asked: dict[str, tuple[float, int]] = {}
    for place, (tag, weight) in enumerate(_weighted(header)):
        found = _LANGUAGE.match(tag)
        name = found[0] if found else tag
        asked[name] = max(asked.get(name, (0.0, 0)), (weight, -place))
    ranks = {one: asked.get(one) or asked.get("*") or (0.0, 0) for one in texts.LANGUAGES}
    best = max(texts.LANGUAGES, key=lambda one: ranks[one])
    return best if ranks[best][0] > 0 else texts.LANGUAGES[0]


def _weighted(header: str) -> Iterator[tuple[str, float]]:
    """Yield what a header lists, in lower case, with its weight (RFC 9110 section 12.4.2).

    What has a weight that is none is left out.
    """
    for part in header.split(",")[:20]:
        name, *parameters = (piece.strip().lower() for piece in part.split(";"))
        pairs = (parameter.partition("=") for parameter in parameters)
        given = next((value.strip() for key, _, value in pairs if key.strip() == "q"), "1")
        try:
            weight = float(given)
        except ValueError:
            continue
        if 0 <= weight <= 1:
            yield name, weight


def _device(agent: str) -> str:
    """Return what kind of device it is, in words that its owner knows; never the whole header."""
    systems = ("iPhone", "iPad", "Android", "Windows", "Mac OS X", "CrOS", "Linux")
    browsers = ("Edg", "OPR", "Firefox", "Chrome", "Safari")
    system = next((s for s in systems if s in agent), "")
    browser = next((b for b in browsers if b in agent), "")
    names = {"Edg": "Edge", "OPR": "Opera", "Mac OS X": "Mac", "CrOS": "Chromebook"}
    return ", ".join(names.get(part, part) for part in (browser, system) if part)
