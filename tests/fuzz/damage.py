"""Damage at random: to bits, bytes, numbers, lines and names."""

import random
import re
from collections.abc import Callable

_WORDS = (
    b"", b"\0", b"\n", b"\r", b"\t", b'"', b'""', b"'", b",", b";", b"\\", b"{", b"}", b"[", b"]", b"<", b"&lol;", b"NaN",
    b"nan", b"inf", b"-inf", b"null", b"None", b"1e999", b"-1", b"0", b"9" * 400, b"1e-400", b"\xff\xfe", b"\xef\xbb\xbf", b"\xf0\x9f\x90\x88",
    b"\xc3", b"../../etc/x", b"a" * 5000, b"label", b"true", b"2024-13-45", b"=1+1", b"%s%n", b"\xe2\x80\xae", b"\x1b[31m",
    b" " * 3000, b'"' * 3001, b"," * 3000, b"[" * 3000, b'{"a":' * 1000, b"1" * 3000 + b".", b"-" * 3000, b"1:" * 1000,
)  # fmt: skip
_WHOLE = (b"\xff" * 4, b"\x7f\xff\xff\xff", b"\xff\xff\xff\x7f", b"\xff" * 8, b"\0" * 8, b"\x80" + b"\0" * 7)
_NUMBER = re.compile(rb"\d+")
_MOST = 4


def damaged(content: bytes, drawn: random.Random) -> bytes:
    """A file with one to four damages."""
    for _ in range(drawn.randint(1, _MOST)):
        content = drawn.choice(_KINDS)(content, drawn)
    return content


def damaged_name(name: str, drawn: random.Random) -> str:
    """The name of a member with something in it that a name should not have."""
    place = drawn.randrange(len(name) + 1)
    return (
        name[:place] + drawn.choice(["/", "..", "\\", " ", "é", "\u202e", ".", "CON", "a" * 300, "\n"]) + name[place:]
    )


def _place(content: bytes, drawn: random.Random) -> int:
    return drawn.randrange(len(content) + 1)


def _slice(content: bytes, drawn: random.Random) -> slice:
    begin = _place(content, drawn)
    return slice(begin, begin + drawn.choice([1, 2, 8, 64, 1024]))


def _flip(content: bytes, drawn: random.Random) -> bytes:
    if not content:
        return content
    changed = bytearray(content)
    for _ in range(drawn.randint(1, 8)):
        changed[drawn.randrange(len(changed))] ^= 1 << drawn.randrange(8)
    return bytes(changed)


def _cut(content: bytes, drawn: random.Random) -> bytes:
    return content[: _place(content, drawn)]


def _remove(content: bytes, drawn: random.Random) -> bytes:
    gone = _slice(content, drawn)
    return content[: gone.start] + content[gone.stop :]


def _repeat(content: bytes, drawn: random.Random) -> bytes:
    again = _slice(content, drawn)
    return content[: again.stop] + content[again] * drawn.choice([1, 2, 50]) + content[again.stop :]


def _insert(content: bytes, drawn: random.Random) -> bytes:
    place = _place(content, drawn)
    return content[:place] + drawn.choice(_WORDS) + content[place:]


def _overwrite(content: bytes, drawn: random.Random) -> bytes:
    place, whole = _place(content, drawn), drawn.choice(_WHOLE)
    return content[:place] + whole + content[place + len(whole) :]


def _renumber(content: bytes, drawn: random.Random) -> bytes:
    found = list(_NUMBER.finditer(content))
    if not found:
        return content
    one = drawn.choice(found)
    return content[: one.start()] + drawn.choice(_WORDS) + content[one.end() :]


def _swap_lines(content: bytes, drawn: random.Random) -> bytes:
    lines = content.split(b"\n")
    one, other = drawn.randrange(len(lines)), drawn.randrange(len(lines))
    lines[one], lines[other] = lines[other], lines[one]
    return b"\n".join(lines)


_KINDS: list[Callable[[bytes, random.Random], bytes]] = [
    _flip, _cut, _remove, _repeat, _insert, _overwrite, _renumber, _swap_lines,
]  # fmt: skip
