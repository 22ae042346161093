"""Archives that hold themselves: a gzip file and a ZIP that expand to their own bytes, again and again.

Of two instructions of DEFLATE, each made five bytes long: L n, "here are n bytes as they are", and R n, "the last n bytes
again". The program that prints itself is the one of R. Cox, "Zip Files All The Way Down" (2010); see `_file`.
"""

import struct
import zlib
from collections.abc import Callable, Iterator

_UNIT = 5
_NONE = b"\0\0\0\xff\xff"  # L 0, which does nothing
_END = b"\x03\0"
_MANY = 4 * _UNIT
_BITS = 32
_LENGTHS = [(3 + n, 257 + n, 0) for n in range(8)] + [
    (3 + (4 + place % 4) * 2**extra, 261 + 4 * extra + place % 4, extra) for extra in range(1, 5) for place in range(4)
]
_DISTANCES = [(1, 0, 0), (2, 1, 0), (3, 2, 0), (4, 3, 0)] + [
    (1 + (2 + place) * 2**extra, 2 + 2 * extra + place, extra) for extra in range(1, 7) for place in range(2)
]


def gzip_quine() -> bytes:
    """A gzip file that expands to itself."""
    head = b"\x1f\x8b\x08\0\0\0\0\0\0\xff"
    return _with_checksum(lambda checksum, size: (head, _NONE + _END + struct.pack("<II", checksum, size)))


def zip_quine(name: str) -> bytes:
    """A ZIP with one file, itself. The length of the name is a multiple of five."""
    called = name.encode()

    def ends(checksum: int, size: int) -> tuple[bytes, bytes]:
        tail = 46 + len(called) + 22
        packed = size - 30 - len(called) - tail
        shared = struct.pack("<HHHHHIIIHH", 20, 0, 8, 0, 33, checksum, packed, size, len(called), 0)
        head = b"PK\x03\x04" + shared + called
        listed = b"PK\x01\x02" + struct.pack("<H", 20) + shared + struct.pack("<HHHII", 0, 0, 0, 0, 0) + called
        end = b"PK\x05\x06" + struct.pack("<HHHHIIH", 0, 0, 1, 1, 46 + len(called), size - tail, 0)
        return head, _NONE + _END + listed + end

    return _with_checksum(ends)


def _with_checksum(ends: Callable[[int, int], tuple[bytes, bytes]]) -> bytes:
    """The file whose checksum is the one that is written in it. Each bit that is written flips bits of the checksum."""
    size = len(_file(*ends(0, 1000)))  # whatever the numbers in it are

    def checksum(written: int) -> int:
        return zlib.crc32(_file(*ends(written, size)))

    base = checksum(0)
    # Row by row: the bits that must flip an odd number of times so that this bit is the one wanted.
    flips = [checksum(1 << bit) ^ base ^ (1 << bit) for bit in range(_BITS)]
    rows = [
        sum((flips[bit] >> row & 1) << bit for bit in range(_BITS)) | (base >> row & 1) << _BITS for row in range(_BITS)
    ]
    for bit in range(_BITS):
        pivot = next(place for place in range(bit, _BITS) if rows[place] >> bit & 1)
        rows[bit], rows[pivot] = rows[pivot], rows[bit]
        rows = [row ^ rows[bit] if place != bit and row >> bit & 1 else row for place, row in enumerate(rows)]
    return _file(*ends(sum((row >> _BITS) << bit for bit, row in enumerate(rows)), size))


def _file(head: bytes, tail: bytes) -> bytes:
    """The program, a line each instruction. The sizes of head and tail are multiples of five."""
    one, many = _as_they_are(_UNIT), _as_they_are(_MANY)
    head_as_it_is, head_again = _as_they_are(len(head) + _UNIT), _again(len(head) + _UNIT)
    tail_as_it_is, tail_again = _as_they_are(len(tail) + _UNIT), _again(len(tail) + _UNIT)
    many_again = _again(_MANY)
    return b"".join(
        [
            head,
            *(head_as_it_is, head, head_as_it_is),
            head_again,
            *(one, head_again),
            *(one, one),
            *(many, head_again, one, one, many),
            many_again,
            *(many, many_again, many, many_again, many),
            many_again,
            *(many, many_again, _NONE, _NONE, tail_as_it_is),
            many_again,
            _NONE,
            _NONE,
            *(tail_as_it_is, tail_again, tail),
            tail_again,
            tail,
        ]
    )


def _as_they_are(count: int) -> bytes:
    return struct.pack("<BHH", 0, count, 0xFFFF ^ count)


def _again(count: int) -> bytes:
    """Five bytes; what follows begins with a byte of zeros, into which the last bit may reach."""
    whole = [*_copied(count, count)]
    halves = [*_copied(count // 2, count), *_copied(count - count // 2, count)]
    for copies in (whole, halves):
        for empty in range(3):  # blocks with nothing in them
            bits = [0, 1, 0, *copies, *[0] * 7, *[0, 1, 0, *[0] * 7] * empty]
            if 38 <= len(bits) <= 41:
                return sum(bit << place for place, bit in enumerate(bits)).to_bytes(6, "little")[:_UNIT]
    raise ValueError(f"no five bytes repeat the last {count}")


def _copied(length: int, distance: int) -> Iterator[int]:
    """The bits of "copy so many bytes from so far back" in the fixed code."""
    low, code, extra = max(one for one in _LENGTHS if one[0] <= length)
    yield from _bits(code - 256, 7, first_is_highest=True)
    yield from _bits(length - low, extra)
    low, code, extra = max(one for one in _DISTANCES if one[0] <= distance)
    yield from _bits(code, 5, first_is_highest=True)
    yield from _bits(distance - low, extra)


def _bits(value: int, count: int, *, first_is_highest: bool = False) -> Iterator[int]:
    places = reversed(range(count)) if first_is_highest else range(count)
    return (value >> place & 1 for place in places)
