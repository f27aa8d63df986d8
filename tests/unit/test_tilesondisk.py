"""Tiles that stay on disk are those of memory, in the same order; little is read and held."""

import re
import shutil
import subprocess
import sys
import threading
from contextlib import closing, contextmanager
from dataclasses import replace

import h5py
import numpy as np
import pytest
from support.heard import heard
from support.launch import environment
from support.memory import peak_memory
from support.tilesets import write_large_tileset, write_tileset

from cosmodeep_hpc.config.learn import Train
from cosmodeep_hpc.config.tiles import Label
from cosmodeep_hpc.errors import InputError
from cosmodeep_hpc.learn.store import fill
from cosmodeep_hpc.tiles.tileset import read_tileset

SHARDS = ((300, 340), (0,), (257,), (512, 1))
ROW = 400  # bytes
LABEL, TRAIN = Label(n_pix=40), Train(noise_pool=2.0, batch=6, noise_per_signal=1.5)


def options(store):
    return replace(TRAIN, store=store)


@pytest.fixture(scope="module")
def tileset(tmp_path_factory):
    """1410 rows, some 140 of them signal; do not write in it."""
    return write_tileset(
        tmp_path_factory.mktemp("set"), SHARDS, validation=frozenset({3}), bright=0.1
    )


def drawn(store, *, size=1, first=(0, 0), epochs=3, ahead=None):
    """What each step of each rank sees: [(positions, pixels)], the ranks one after the other."""
    tiles = store.tiles if ahead is None else replace(store.tiles, ahead=ahead)
    found = []
    for rank in range(size):
        positions = store.sampler.local_positions(rank, size, first=first, epochs=epochs)
        with closing(tiles.stream(positions)) as stream:
            found += [(one.positions, one.pixels) for one in stream]
    return found


def assert_same(one, other):
    assert len(one) == len(other)
    for (at, pixels), (at_other, pixels_other) in zip(one, other, strict=True):
        np.testing.assert_array_equal(at, at_other)
        assert pixels.flags.c_contiguous and pixels.flags.writeable
        assert pixels.tobytes() == pixels_other.tobytes()


# no memory at all: two steps are held; a few steps; all of the run
@pytest.mark.parametrize("ahead", [0, 60 * ROW, 10**6])
@pytest.mark.parametrize("size", [1, 2, 5])
def test_batches_are_those_of_memory(tileset, world, size, ahead):
    """Of any number of ranks, also where some have no tile of the last batch."""
    held, read = (fill(tileset, LABEL, options(store), world) for store in ("memory", "disk"))
    assert held.sampler.epoch_size % 6 == 3
    assert_same(drawn(read, size=size, ahead=ahead), drawn(held, size=size))


@pytest.mark.parametrize("first", [(0, 7), (1, 0), (2, 33)])
def test_a_run_goes_on_in_the_middle_of_an_epoch(tileset, world, first):
    held, read = (fill(tileset, LABEL, options(store), world) for store in ("memory", "disk"))
    steps = held.sampler.steps
    rest = drawn(read, first=first, ahead=60 * ROW)
    assert 0 < len(rest) == 3 * steps - first[0] * steps - first[1]
    assert_same(rest, drawn(held)[-len(rest) :])


def test_all_else_is_the_same(tileset, world):
    held, read = (fill(tileset, LABEL, options(store), world) for store in ("memory", "disk"))
    np.testing.assert_array_equal(read.signal, held.signal)
    np.testing.assert_array_equal(read.validation, held.validation)
    parts = [held.validation[:100], held.validation[100:]]
    for one, other in zip(held.tiles.stream(parts), read.tiles.stream(parts), strict=True):
        assert one.pixels.tobytes() == other.pixels.tobytes()


def test_repacked_shards_are_read_alike(tileset, world, tmp_path):
    """Compressed and in chunks: their rows have no place of their own in the file."""
    own = shutil.copytree(tileset.folder, tmp_path / "set")
    for path in own.glob("shard-*.h5"):
        with h5py.File(path, "a") as file:
            rows = file["tiles"][()]
            del file["tiles"]
            storage = {"compression": "gzip"} if len(rows) else {}
            file.create_dataset("tiles", data=rows, **storage)
    held = fill(tileset, LABEL, options("memory"), world)
    read = fill(read_tileset(own), LABEL, options("disk"), world)
    assert_same(drawn(read, epochs=1, ahead=60 * ROW), drawn(held, epochs=1))


@contextmanager
def counting(reads, location):
    """Open a dataset, and note the rows of each read."""
    with location.opened_rows() as read_rows:

        def counted(rows, into):
            reads.append((location.path.name, rows))
            read_rows(rows, into)

        yield counted


def test_each_rank_reads_its_own_rows_and_little_more(tmp_path, world):
    """Rows of 400 bytes, one in 300 of them needed: a gap of 300 rows is not read, one of 20 is."""
    tileset = write_tileset(tmp_path, ((20_000,),), bright=0.0017)
    reads = []
    store = fill(
        tileset, LABEL, replace(TRAIN, store="disk", noise_pool=1.5), world,
        opened=lambda location: counting(reads, location),
    )  # fmt: skip
    assert reads == []  # the blocks that were checked first are not kept
    seen = drawn(store, epochs=1)
    needed = sum(len(at) for at, _ in seen)
    assert len(reads) < needed  # neighbours are read together
    assert needed <= sum(len(rows) for _, rows in reads) < 20_000
    with h5py.File(tmp_path / "shard-00000.h5") as file:
        tiles = file["tiles"][()]
    rows = store.tiles.tiles.kept
    covered = np.concatenate([np.arange(run.start, run.stop) for _, run in reads])
    gaps = np.diff(np.sort(np.unique(np.concatenate([rows[at] for at, _ in seen]))))
    assert gaps.max() > 2**16 / ROW > gaps.min()
    for at, pixels in seen:
        np.testing.assert_array_equal(pixels, tiles[rows[at]])
        assert np.isin(rows[at], covered).all()


def test_memory_is_bounded(tmp_path, world):
    """A set of 80 MB by 4 MiB: two windows, what the threads read, and a few bytes a tile."""
    tileset = write_large_tileset(tmp_path, 80_000_000)
    store = fill(tileset, LABEL, Train(store="disk", read_ahead=4, noise_pool=1), world)
    assert store.tiles.ahead == 4 * 2**20
    row = store.tiles.tiles.locations[0].row_bytes
    assert len(store.signal) * row > 60e6
    positions = store.sampler.local_positions(0, 1, first=(0, 0), epochs=2)
    with peak_memory() as peak:
        for tiles in store.tiles.stream(positions):
            assert tiles.pixels.nbytes <= 100 * row
    threads = 4 * 4 * 2**20  # what is read, and what is kept of it
    assert 4e6 < peak[0] < 4 * 2**20 + threads + 64 * len(store.signal) + 1e6


def test_a_tile_that_changes_while_the_job_runs(tileset, world, tmp_path):
    """Its block was right when the job began."""
    own = shutil.copytree(tileset.folder, tmp_path / "set")
    store = fill(read_tileset(own), LABEL, options("disk"), world)
    row = int(store.tiles.tiles.kept[store.sampler.signal[3]])  # in the first shard
    path = own / "shard-00000.h5"
    with h5py.File(path) as file:
        at = file["tiles"].id.get_offset() + row * ROW
    content = bytearray(path.read_bytes())
    content[at + 7] ^= 1
    path.write_bytes(content)
    line = f"{path}: dataset 'tiles', rows {row} to {row}: differs from what was read as the job"
    with pytest.raises(InputError, match=re.escape(line)):
        drawn(store, epochs=1)


def test_a_shard_that_is_taken_away(tileset, world, tmp_path):
    own = shutil.copytree(tileset.folder, tmp_path / "set")
    store = fill(read_tileset(own), LABEL, options("disk"), world)
    (own / "shard-00003.h5").unlink()
    with pytest.raises(InputError, match=r"shard-00003\.h5: cannot be read \(No such file"):
        drawn(store, epochs=1)


def test_nothing_is_read_any_more_where_training_ends_early(tmp_path, world):
    """The reads that are under way end; those of the other shards are not begun."""
    tileset = write_tileset(tmp_path, ((100,),) * 30, bright=0.5)
    goes_on, begun = threading.Event(), set()

    @contextmanager
    def opened(location):
        begun.add(location.path.name)
        if location.path.name != "shard-00000.h5":
            goes_on.wait(60)
        with location.opened_rows() as read_rows:
            yield read_rows

    store = fill(tileset, LABEL, options("disk"), world, opened=opened)
    stream = store.tiles.stream([np.arange(50), np.arange(100, len(store.signal))])
    next(stream)  # of the first shard; now those of the others are read ahead
    release = threading.Timer(0.5, goes_on.set)
    release.start()
    stream.close()
    assert len(begun) <= 1 + 4
    assert not any("read-ahead" in thread.name for thread in threading.enumerate())
    release.join()


@pytest.mark.parametrize("megabytes, kind, said", [("1000000", "memory", 0), ("1", "disk", 1)])
def test_where_they_are_held_is_chosen_and_said(tileset, world, monkeypatch, megabytes, kind, said):
    """By what the job may take: a rank of TensorFlow takes more than 1 MB."""
    monkeypatch.setenv("SLURM_MEM_PER_NODE", megabytes)
    with heard() as told:
        store = fill(tileset, LABEL, options("auto"), world)
    assert hasattr(store.tiles, "ahead") == (kind == "disk")
    assert len(told) == said
    if told:
        assert re.fullmatch(
            r"0\.00 GB of tiles stay on disk and are read ahead: "
            r"a node has room for 0\.00 GB by SLURM_MEM_PER_NODE",
            told[0],
        )
    with heard() as told:
        asked = fill(tileset, LABEL, options("disk"), world)
    assert asked.tiles.ahead == TRAIN.read_ahead * 2**20
    assert told == ["0.00 GB of tiles stay on disk and are read ahead: train.store"]


LIMITED = """
import os, resource, sys
from cosmodeep_hpc.cli import main as cli
os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:1])  # TensorFlow: a thread a core
resource.setrlimit(resource.RLIMIT_DATA, (1_000_000_000, 1_000_000_000))
sys.exit(cli.main(sys.argv[1:]))
"""


@pytest.fixture(scope="module")
def large(tmp_path_factory):
    """1.1 GB of tiles, in 50 MB of disk."""
    folder = tmp_path_factory.mktemp("large")
    write_large_tileset(folder, 1_100_000_000)
    return folder


@pytest.mark.parametrize("store", ["memory", "auto", "disk"])
def test_a_set_larger_than_the_memory_of_a_job(large, tmp_path, store):
    """`ulimit -d` of 1 GB: memory ends in one line, the others train."""
    words = ["train", "--tiles", large, "--out", tmp_path / "run", "--train.store", store]
    words += ["--train.epochs", 2, "--train.epoch_tiles", 2000, "--train.noise_pool", 1]
    job = subprocess.run(
        [sys.executable, "-c", LIMITED, *map(str, words)],
        env=environment(), capture_output=True, text=True, timeout=250,
    )  # fmt: skip
    if store == "memory":
        assert job.returncode == 2, job.stderr
        (line,) = job.stderr.splitlines()
        assert "GB of memory: this process gets no more" in line and "--train.store disk" in line
        return
    assert job.returncode == 0, job.stderr
    assert (tmp_path / "run" / "model.keras").exists()
    why = "train.store" if store == "disk" else "a node has room for 0.00 GB by ulimit -d"
    assert f"1.08 GB of tiles stay on disk and are read ahead: {why}" in job.stderr
