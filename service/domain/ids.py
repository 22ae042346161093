"""Ids of resources."""

import secrets
import time

_ALPHABET = "0123456789abcdefghjkmnpqrstvwxyz"  # Crockford's base 32: sorts as it counts, no letter like a digit


def new_id(prefix: str) -> str:
    """A new id that cannot be guessed: the prefix, 10 characters of time in milliseconds and 10 random ones.

    Ids with one prefix sort by the time at which they were made.
    """
    number = time.time_ns() // 1_000_000 << 50 | secrets.randbits(50)
    return prefix + "".join(_ALPHABET[number >> shift & 31] for shift in range(95, -1, -5))
