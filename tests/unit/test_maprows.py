"""The rows of a map of pixels, in memory and in a file that several write."""

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from cosmodeep_hpc.errors import InputError
from cosmodeep_hpc.survey.maprows import MapRows

SHAPE = (40, 31)


def numbers(seed=1):
    return np.random.default_rng(seed).integers(-(2**15), 2**15, SHAPE).astype(np.int16)


@pytest.fixture(params=["memory", "file", "last plane of a file"])
def rows(request, tmp_path):
    """A map of `numbers`."""
    if request.param == "memory":
        return MapRows(SHAPE, numbers())
    plane = 2 if request.param == "last plane of a file" else 0
    made = MapRows(SHAPE, tmp_path / "a.map", plane)
    made.write(0, numbers())
    return made


@pytest.mark.parametrize("start, stop", [(0, 40), (0, 1), (39, 40), (7, 31), (5, 5)])
def test_rows_are_those_that_were_written(rows, start, stop):
    found = rows.rows(start, stop)
    assert found.dtype == np.int16
    np.testing.assert_array_equal(found, numbers()[start:stop])


def test_parts_are_written_in_any_order_at_the_same_time(tmp_path):
    """Planes too, each in its place."""
    planes = [MapRows(SHAPE, tmp_path / "a.map", plane) for plane in range(3)]
    parts = [(plane, start) for start in (32, 0, 16, 8, 24) for plane in (2, 0, 1)]

    def write(part):
        plane, start = part
        return planes[plane].write(start, numbers(plane)[start : start + 8])

    with ThreadPoolExecutor(4) as threads:
        checksums = list(threads.map(write, parts))
    for plane, made in enumerate(planes):
        np.testing.assert_array_equal(made.rows(0, 40), numbers(plane))
    for (plane, start), checksum in zip(parts, checksums, strict=True):
        assert planes[plane].has(start, start + 8, checksum)
        assert not planes[plane].has(start, start + 8, checksum ^ 1)


@pytest.mark.parametrize("at, found", [(2 * 31 * 8 - 1, True), (2 * 31 * 8, False)])
def test_damage_is_found_by_the_checksum_of_its_rows(tmp_path, at, found):
    """A byte before rows 8 to 16 does not matter to them, their first one does."""
    made = MapRows(SHAPE, tmp_path / "a.map")
    made.write(0, numbers())
    checksum = made.write(8, numbers()[8:16])
    content = bytearray(made.source.read_bytes())
    content[at] ^= 1
    made.source.write_bytes(content)
    assert made.has(8, 16, checksum) == found


def test_a_file_that_is_cut_or_gone_has_no_rows(tmp_path):
    made = MapRows(SHAPE, tmp_path / "a.map")
    checksum = made.write(0, numbers())
    assert made.has(0, 40, checksum)
    made.source.write_bytes(made.source.read_bytes()[:-1])
    assert not made.has(0, 40, checksum)
    with pytest.raises(InputError, match=r"a\.map: ends before row 40; sweep the image again"):
        made.rows(0, 40)
    made.source.unlink()
    assert not made.has(0, 40, checksum)
    with pytest.raises(InputError, match=r"a\.map: .*No such file"):
        made.rows(0, 1)


def test_where_it_cannot_be_written_one_line_says_so(tmp_path):
    made = MapRows(SHAPE, tmp_path / "nowhere" / "a.map")
    with pytest.raises(InputError, match=r"a\.map: cannot write it: No such file"):
        made.write(0, numbers())


def test_the_file_has_two_bytes_a_cell_lowest_first(tmp_path):
    """Whatever the machine: another may go on with it."""
    made = MapRows((1, 2), tmp_path / "a.map")
    made.write(0, np.array([[1, -2]], np.int16))
    assert made.source.read_bytes() == b"\x01\x00\xfe\xff"
