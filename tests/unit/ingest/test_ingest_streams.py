"""Files that are written while they are sent: no byte is lost, and little is held."""

import gzip
import io
import zipfile

import hypothesis.strategies as st
import pytest
from hypothesis import given

from service.ingest.streams import Sink, gathered, gzipped

PIECES = st.lists(st.binary(max_size=40), max_size=30)


@given(pieces=PIECES, size=st.integers(1, 50))
def test_gathered_pieces_are_the_same_bytes_and_none_is_small_but_the_last(pieces: list[bytes], size: int) -> None:
    found = list(gathered(iter(pieces), size))
    assert b"".join(found) == b"".join(pieces)
    assert all(len(one) >= size for one in found[:-1])


@given(pieces=PIECES)
def test_gzip_of_pieces_is_gzip_of_the_whole(pieces: list[bytes]) -> None:
    assert gzip.decompress(b"".join(gzipped(iter(pieces)))) == b"".join(pieces)


@pytest.mark.parametrize("rewritable", [True, False])
def test_a_zip_is_taken_file_by_file(*, rewritable: bool) -> None:
    sink, taken = Sink(rewritable=rewritable), b""
    with zipfile.ZipFile(sink, "w") as archive:
        for number in range(3):
            with archive.open(f"{number}.txt", "w") as file:
                file.write(b"%d" % number * 5)
            taken += sink.take()
    with zipfile.ZipFile(io.BytesIO(taken + sink.take())) as archive:
        assert [archive.read(name) for name in archive.namelist()] == [b"00000", b"11111", b"22222"]
    with pytest.raises(io.UnsupportedOperation):
        sink.seek(0)
