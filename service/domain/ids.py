"""Ids of what the service makes."""

import secrets
import time

_ALPHABET = "0123456789abcdefghjkmnpqrstvwxyz"  # Crockford's base 32: sorts as it counts, no letter like a digit


def new_id(prefix: str) -> str:
    """An id that nobody can guess; ids sort by the time they were made: 10 characters of milliseconds, 10 of chance."""
    number = time.time_ns() // 1_000_000 << 50 | secrets.randbits(50)
    return prefix + "".join(_ALPHABET[number >> shift & 31] for shift in range(95, -1, -5))
