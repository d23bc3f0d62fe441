"""Random streams, one for each thing made up, so that the order of making doesn't matter."""

from random import Random


def stream(seed: int, *what: object) -> Random:
    """Take the district's seed and what is made; return the random stream that is its own."""
    return Random(":".join(map(str, (seed, *what))))
