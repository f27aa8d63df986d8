"""The journal of a sweep: what was added is there again, and nothing that is damaged."""

import numpy as np
import pytest

from cosmodeep_hpc.survey.journal import Journal, is_of

KEY = {"image": "a.fits", "threshold": 0.5}
ENTRIES = {
    ("measure", 0, 0): {"mesh": np.arange(14, dtype=np.float32).reshape(7, 1, 2)},
    ("classify", 0, 0): {
        "probability": np.array([[0.25, np.nan]], np.float32),
        "pixels": np.arange(-3, 3, dtype=np.int16).reshape(2, 3),
        "checksum": np.array([2**32 - 1], np.uint32),
        "rms": np.empty((0, 0), np.float32),
    },
    ("classify", 1, 7): {"pixels": np.empty((0, 5), np.int16), "gaps": np.ones(4, ">f8")},
}


def same(one, other):
    """Whether arrays by name are equal in values, types and shapes."""
    return list(one) == list(other) and all(
        one[name].dtype == other[name].dtype
        and one[name].shape == other[name].shape
        and one[name].tobytes() == other[name].tobytes()
        for name in one
    )


def opened(path, key=None):
    """The entries of a journal, and the file left as it is then."""
    journal = Journal(path, KEY if key is None else key)
    journal.close()
    return journal.entries


def written(path):
    """Write a journal of all entries; return where each of them ends."""
    journal, ends = Journal(path, KEY), []
    for entry, arrays in ENTRIES.items():
        journal.add(entry, arrays)
        ends.append(path.stat().st_size)  # nothing waits in memory
    assert list(journal.entries) == list(ENTRIES)
    journal.close()
    return ends


@pytest.fixture
def path(tmp_path):
    written(tmp_path / "a.journal")
    return tmp_path / "a.journal"


def test_arrays_of_any_type_come_back_as_they_were(path):
    found = opened(path)
    assert list(found) == list(ENTRIES)
    for entry, arrays in ENTRIES.items():
        assert same(found[entry], arrays), entry


def test_it_goes_on_where_it_ended(path):
    journal = Journal(path, KEY)
    journal.add(("classify", 1, 8), {"pixels": np.ones((2, 2), np.int16)})
    journal.close()
    found = opened(path)
    assert list(found) == [*ENTRIES, ("classify", 1, 8)]
    assert (found["classify", 1, 8]["pixels"] == 1).all()


def test_one_of_something_else_begins_anew(path):
    assert is_of(path, KEY) and not is_of(path, {"image": "b.fits"})
    assert opened(path, {"image": "b.fits"}) == {}
    assert opened(path) == {}


@pytest.mark.parametrize("left", [0.1, 0.5, 0.9, 0.99])
def test_what_a_killed_job_has_written_in_part_is_cut_off(path, left):
    content = path.read_bytes()
    path.write_bytes(content[: int(left * len(content))])
    found = opened(path)
    assert len(found) < 3 and list(found) == list(ENTRIES)[: len(found)]
    assert all(same(found[entry], ENTRIES[entry]) for entry in found)
    assert content.startswith(path.read_bytes())


def test_a_bit_that_is_flipped_ends_it_there(tmp_path):
    """In any byte of the second entry: of its arrays, and of the line that describes them."""
    path = tmp_path / "a.journal"
    begin, end, _ = written(path)
    content = path.read_bytes()
    for byte in range(begin, end):
        damaged = bytearray(content)
        damaged[byte] ^= 1 << byte % 8
        path.write_bytes(damaged)
        found = opened(path)
        assert list(found) == [("measure", 0, 0)], (byte, found)
