"""Ways within the portal: to the same page with other choices, and on after signing in."""

import re
from urllib.parse import urlencode

# A page of ours to go on to after signing in; nothing else passes, so nothing leads elsewhere.
_OWN_PATH = re.compile(
    r"/(?:students(?:/[A-Za-z0-9_-]+(?:/(?:schedule|attendance|grades))?)?"
    r"|household|preferences|enrollment|account|session|help)?\Z"
)
# Ours have some 40; single sign-on keeps one in a table meanwhile.
_MOST_CHARACTERS = 200


def same_page(section: str, **query: str | None) -> str:
    """Return the way to a page of the same folder, as `grades?class=…`.

    What is None is left out; `class_` is the query's `class`, which Python keeps for itself.
    """
    chosen = {name.rstrip("_"): value for name, value in query.items() if value is not None}
    return f"{section}?{urlencode(chosen)}" if chosen else section


def own_path(path: object) -> str | None:
    """Return a path to go on to after signing in (`next`), None where it isn't one of ours (S59)."""
    fits = isinstance(path, str) and len(path) <= _MOST_CHARACTERS and _OWN_PATH.match(path)
    return str(path) if fits else None


def after_sign_in(path: str | None) -> str:
    """Return where a browser goes once it is signed in, relative to the root; home without a path."""
    return (path or "/").lstrip("/")
