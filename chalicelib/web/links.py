"""Ways from a page to the same page with other choices."""

from urllib.parse import urlencode


def same_page(section: str, **query: str | None) -> str:
    """Return the way to a page of the same folder, as `grades?class=…`.

    What is None is left out; `class_` is the query's `class`, which Python keeps for itself.
    """
    chosen = {name.rstrip("_"): value for name, value in query.items() if value is not None}
    return f"{section}?{urlencode(chosen)}" if chosen else section
