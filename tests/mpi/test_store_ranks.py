"""Ranks that share a node share one store: each byte is read once a node, all find one fault."""

import json
import shutil

import h5py
import pytest
from support.launch import mpirun
from support.tilesets import write_tileset

SHARDS = ((2560, 300), (1000,), (512, 1, 2560))
FAULTS = (("shard-00000.h5", 5), ("shard-00002.h5", 3000))  # the first rank's part, the last's

# Two hosts of two ranks each on one machine: ranks 0 and 1, and ranks 2 and 3.
HOSTS = """
import hashlib, json, os, sys
from pathlib import Path
from cosmodeep_hpc.config.learn import Train
from cosmodeep_hpc.config.tiles import Label
from cosmodeep_hpc.errors import InputError
from cosmodeep_hpc.learn.store import fill
from cosmodeep_hpc.tiles.tileset import read_tileset
from cosmodeep_hpc.parallel.world import World, open_world

everyone = open_world().comm
world = World(everyone, everyone.Split(everyone.rank // 2))
assert (world.size, world.local_size, world.local_rank) == (4, 2, everyone.rank % 2)

preadv, read = os.preadv, []

def counted(descriptor, buffers, at):
    count = preadv(descriptor, buffers, at)
    read.append((os.readlink(f"/proc/self/fd/{descriptor}"), at, at + count))
    return count

def by_all_means():  # bytes that this process was given by read calls of any kind
    return int(Path("/proc/self/io").read_text().split()[1])

os.preadv = counted
everything = []
for folder in sys.argv[2:]:
    read.clear()
    tileset = read_tileset(Path(folder))
    before = by_all_means()
    try:
        store = fill(tileset, Label(n_pix=40), Train(noise_pool=1.0), world)
        digest = hashlib.sha256(store.tiles.pixels.tobytes()).hexdigest()
        found = {"hash": digest, "tiles": len(store.tiles.pixels)}
    except InputError as error:
        found = {"error": str(error)}
    found |= {"bytes": by_all_means() - before, "read": list(read)}
    everything.append(everyone.gather(found))
if everyone.rank == 0:
    Path(sys.argv[1]).write_text(json.dumps(everything))
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """6,933 rows of 400 bytes; one in 100 is signal, so that nearly all blocks are needed."""
    folder = tmp_path_factory.mktemp("set")
    write_tileset(folder, SHARDS, validation=frozenset({4}), bright=0.01)
    return folder


def damaged(folder, to, shard, row):
    """A copy of the set with a flipped byte in a tile."""
    path = shutil.copytree(folder, to) / shard
    with h5py.File(path) as file:
        at = file["tiles"].id.get_offset() + row * 400
    content = bytearray(path.read_bytes())
    content[at] ^= 1
    path.write_bytes(content)
    return to


@pytest.fixture(scope="module")
def found(folder, tmp_path_factory):
    """What each of the four ranks read and holds: of the set, and of two copies with a fault."""
    out = tmp_path_factory.mktemp("out")
    sets = [folder, *(damaged(folder, out / fault[0], *fault) for fault in FAULTS)]
    job = mpirun(4, "-c", HOSTS, out / "found.json", *sets, timeout=90, TF_NUM_INTRAOP_THREADS="2")
    assert job.returncode == 0, job.stdout
    return json.loads((out / "found.json").read_text())


@pytest.fixture(scope="module")
def ranks(found):
    """What each of the four ranks read and holds of the set."""
    return found[0]


def datasets(folder):
    """Where the rows of tiles and counts lie, by file: (first byte, last byte + 1)."""
    places = {"tiles": {}, "counts": {}}
    for path in folder.glob("shard-*.h5"):
        with h5py.File(path) as file:
            for name, found in places.items():
                data = file[name]
                first = data.id.get_offset()
                found[str(path)] = (first, first + data.dtype.itemsize * data.size)
    return places


def parts(ranks, place):
    """The pieces of a dataset that these ranks read: [(file, first byte, last byte + 1)]."""
    return sorted(
        (file, at, end)
        for rank in ranks
        for file, at, end in rank["read"]
        if place[file][0] <= at < place[file][1]
    )


def test_all_hold_the_same(ranks):
    assert len({rank["hash"] for rank in ranks}) == 1
    assert len({rank["tiles"] for rank in ranks}) == 1 and ranks[0]["tiles"] > 150


@pytest.mark.parametrize("host", [0, 1])
def test_each_tile_is_read_once_a_node(folder, ranks, host):
    here, place = ranks[2 * host : 2 * host + 2], datasets(folder)["tiles"]
    read = parts(here, place)
    assert len(set(read)) == len(read)
    ends = [(a[0], a[2]) <= (b[0], b[1]) for a, b in zip(read, read[1:], strict=False)]
    assert all(ends), "two reads share bytes"
    shares = [sum(end - at for _, at, end in parts([rank], place)) for rank in here]
    assert min(shares) > 0.4 * sum(shares)
    # 30 blocks at most, of which those without a kept row are left alone
    assert 20 * 256 * 400 < sum(shares) <= sum(end - at for at, end in place.values())


def test_each_count_is_read_once_by_all(folder, ranks):
    place = datasets(folder)["counts"]
    read = parts(ranks, place)
    assert len(set(read)) == len(read)
    assert sum(end - at for _, at, end in read) == sum(end - at for at, end in place.values())


@pytest.mark.parametrize("host", [0, 1])
def test_nothing_else_reads_them_either(folder, ranks, host):
    """The kernel's count of a node: tiles once, counts, and what HDF5 keeps beside them."""
    here = ranks[2 * host : 2 * host + 2]
    ours = sum(end - at for rank in here for _, at, end in rank["read"])
    in_all = sum(rank["bytes"] for rank in here)
    assert ours <= in_all < ours + 300_000


@pytest.mark.parametrize("number", range(len(FAULTS)))
def test_a_flipped_byte_ends_every_rank(found, number):
    shard, row = FAULTS[number]
    block = row // 256 * 256
    line = f"{shard}: dataset 'tiles', rows {block} to {block + 255}: checksum differs"
    assert len(found[1 + number]) == 4
    assert all(line in rank["error"] for rank in found[1 + number])
