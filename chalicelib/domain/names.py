"""Family names as they are found: one folding, for the roster's index and for a search."""

import unicodedata

# DynamoDB takes 2,048 bytes for a key; nobody's name needs more than this to be found.
_MOST = 200


def name_key(family_name: str) -> str:
    """Return a family name without case, accents, punctuation and space."""
    decomposed = unicodedata.normalize("NFKD", family_name.casefold())
    return "".join(c for c in decomposed if c.isalnum())[:_MOST]
