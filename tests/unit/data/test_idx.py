import gzip
import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from modelpress.data.idx import read_idx
from modelpress.errors import DataError, NotFoundError
from tests.unit.data.sources import idx_bytes, images

WHOLE = idx_bytes(images(3, 4, 5))


def write(path: Path, data: bytes) -> Path:
    path.write_bytes(data)
    return path


@pytest.mark.parametrize("pack", [bytes, gzip.compress], ids=["plain", "gzip"])
@pytest.mark.parametrize("shape", [(7,), (3, 4, 5), (2, 1, 2, 2), (0, 4)])
def test_what_was_written_is_read(tmp_path: Path, pack: type[bytes], shape: tuple[int, ...]) -> None:
    array = images(*shape)
    assert np.array_equal(read_idx(write(tmp_path / "file", pack(idx_bytes(array)))), array)


@pytest.mark.parametrize(("code", "dtype"), [(9, "i1"), (0x0B, "i2"), (0x0C, "i4"), (0x0D, "f4"), (0x0E, "f8")])
def test_wider_types_come_in_native_byte_order(tmp_path: Path, code: int, dtype: str) -> None:
    array = np.array([1, -2, 100], dtype=dtype)
    data = bytes([0, 0, code, 1]) + struct.pack(">I", 3) + array.astype(f">{dtype}").tobytes()
    read = read_idx(write(tmp_path / "file", data))
    assert read.dtype == array.dtype
    assert np.array_equal(read, array)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(NotFoundError, match=r"there is no file .*absent"):
        read_idx(tmp_path / "absent")


@pytest.mark.parametrize("pack", [bytes, gzip.compress], ids=["plain", "gzip"])
def test_a_short_file_is_named_with_the_bytes_it_should_have(tmp_path: Path, pack: type[bytes]) -> None:
    path = write(tmp_path / "short", pack(WHOLE[:-1]))
    with pytest.raises(DataError, match=r"short should hold 60 bytes .* \[3, 4, 5\], but holds only 59"):
        read_idx(path)


def test_a_long_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"should hold 60 bytes .* but holds more"):
        read_idx(write(tmp_path / "long", WHOLE + b"\0"))


def test_a_file_that_was_cut_while_zipped_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"cut\.gz is truncated or corrupt"):
        read_idx(write(tmp_path / "cut.gz", gzip.compress(WHOLE)[:-12]))


@pytest.mark.parametrize("length", range(16))
def test_a_header_that_breaks_off_is_refused(tmp_path: Path, length: int) -> None:
    with pytest.raises(DataError, match="file"):
        read_idx(write(tmp_path / "file", WHOLE[:length]))


def test_a_header_that_claims_more_than_memory_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="but holds only 60"):
        read_idx(write(tmp_path / "file", WHOLE[:3] + b"\4" + b"\xff" * 16 + WHOLE[16:]))


def read_or_error(path: Path) -> NDArray[Any] | None:
    """The array, or None where the file was refused by its name; anything else is a failure."""
    try:
        return read_idx(path)
    except DataError as e:
        if str(path) not in str(e):
            raise
        return None


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    changes=st.dictionaries(st.integers(0, 15), st.integers(0, 255), min_size=1, max_size=4),
    length=st.integers(0, len(WHOLE)) | st.just(len(WHOLE)),
    zipped=st.booleans(),
)
def test_a_spoiled_header_gives_a_data_error_or_what_it_says(
    tmp_path: Path, changes: dict[int, int], length: int, zipped: bool
) -> None:
    data = bytearray(WHOLE)
    for index, value in changes.items():
        data[index] = value
    data = data[:length]
    array = read_or_error(write(tmp_path / "file", gzip.compress(data) if zipped else bytes(data)))
    if array is not None:
        assert array.shape == struct.unpack(f">{data[3]}I", data[4 : 4 + 4 * data[3]])


@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(index=st.integers(0, 59), value=st.integers(0, 255))
def test_a_spoiled_archive_gives_a_data_error_or_an_array(tmp_path: Path, index: int, value: int) -> None:
    data = bytearray(gzip.compress(WHOLE, mtime=0))
    data[index] = value
    array = read_or_error(write(tmp_path / "file", bytes(data)))
    assert array is None or array.nbytes == 60
