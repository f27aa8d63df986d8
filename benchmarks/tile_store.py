"""`python -m benchmarks.tile_store`: what filling the tile store costs beside a plain read.

    python -m benchmarks.tile_store                 # the paper's size: 203 images, 3.3 GB on disk
    python -m benchmarks.tile_store --images 60     # 1 GB

The tile set is made of random numbers with as many signal tiles as the paper trains on. Each round
times plain reads of the same files, then our fill, by as many processes; the files are in the page
cache. Given are the best of the rounds, in elapsed time; and in the processor time of all threads,
which a busy machine leaves comparable.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cosmodeep_hpc.config.configuration import Config, load
from cosmodeep_hpc.io import checksum
from cosmodeep_hpc.learn.sampler import keep_mask
from cosmodeep_hpc.learn.store import fill
from cosmodeep_hpc.learn.tilesinmemory import TilesInMemory
from cosmodeep_hpc.parallel import runtime
from cosmodeep_hpc.parallel.world import World, open_world, rank_range
from cosmodeep_hpc.tiles.preprocessing import Level, Preprocessing
from cosmodeep_hpc.tiles.shard import Rows, write_shard
from cosmodeep_hpc.tiles.tileset import ShardEntry, TiledImage, TileSet, read_tileset

PER_IMAGE = 2500  # tiles of 40 x 40 in an image of 2000 x 2000
SIGNAL = 17_500  # tiles of the paper's 35,000 that are signal
WAYS = ((1, 1), (1, 2), (2, 1))  # ranks, threads of each
BUFFER = 2**20  # of the plain read that keeps nothing [byte]


def make_tiles(folder: Path, images: int, config: Config) -> None:
    """Write a tile set of random numbers, as the stage `tiles` does."""
    random = np.random.default_rng(1)
    preprocessing = Preprocessing.of(config.tiles)
    step, rows = config.tiles.images_per_shard, PER_IMAGE
    share = SIGNAL / 203 / PER_IMAGE / (1 - config.tiles.validation)
    validation = round(images * config.tiles.validation)
    shards, kinds = [], len(config.tiles.thresholds)
    attributes = {**asdict(preprocessing), "thresholds": np.array(config.tiles.thresholds)}
    for number, first in enumerate(range(0, images, step)):
        members = tuple(range(first, min(first + step, images)))
        parts = [
            Rows(
                tiles=random.standard_normal((rows, 40, 40), dtype=np.float32),
                counts=np.where(random.random((rows, 1)) < share, 100, 0)
                .repeat(kinds, 1)
                .astype(np.uint16),
                place=np.full((rows, 3), member, dtype=np.int32),
            )
            for member in members
        ]
        file = f"shard-{number:05d}.h5"
        crc32 = write_shard(folder / file, parts, attributes)
        shards.append(ShardEntry(file=file, rows=len(parts) * rows, images=members, crc32=crc32))
    level = Level(**dict.fromkeys(Level.__dataclass_fields__, 1.0))
    TileSet(
        folder=folder,
        preprocessing=preprocessing,
        thresholds=config.tiles.thresholds,
        images=tuple(
            TiledImage(
                name=f"{i:05d}",
                shape=(2000, 2000),
                fingerprint="",
                level=level,
                pixel_scale=9.6,
                tiles=rows,
                left_out=0,
                split="validation" if i < validation else "train",
            )
            for i in range(images)
        ),
        shards=tuple(shards),
        seed=1,
    ).write()


def plain_read(files: list[Path], threads: int, buffer: int) -> Callable[[], None]:
    """Return a function that reads files, each thread its part, into memory that exists already.

    With `buffer` that many bytes at a time, into the same place; else each file as a whole.
    """
    longest = max((file.stat().st_size for file in files), default=1)
    places = [np.ones(buffer or longest, dtype=np.uint8) for _ in range(threads)]
    parts = [rank_range(len(files), thread, threads) for thread in range(threads)]

    def read(thread: int) -> None:
        for number in parts[thread]:
            with files[number].open("rb", buffering=0) as file:
                while file.readinto(places[thread]):
                    pass

    def read_all() -> None:
        with ThreadPoolExecutor(threads) as pool:
            list(pool.map(read, range(threads)))

    return read_all


def timed(action: Callable[[], object], world: World) -> tuple[float, float]:
    """Return the seconds until all ranks are done, and processor seconds in all ranks."""
    world.comm.Barrier()
    start, worked = time.perf_counter(), time.process_time()
    action()
    worked = time.process_time() - worked
    world.comm.Barrier()
    return time.perf_counter() - start, float(sum(world.comm.allgather(worked)))


def worker(folder: Path, out: Path, rounds: int) -> None:
    """Time the ways in turn, as one rank of a job."""
    world, config = open_world(), load(None, [("train.store", "memory")])
    tileset = read_tileset(folder)
    files = [folder / shard.file for shard in tileset.shards]
    share, threads = world.share(len(files)), runtime.cores_of_rank(world)
    mine = files[share.start : share.stop]
    held: list[bytes] = []
    actions = {
        "fresh": lambda: held.extend(file.read_bytes() for file in mine),
        "whole": plain_read(mine, threads, 0),
        "cached": plain_read(mine, threads, BUFFER),
        "ours": lambda: fill(tileset, config.label, config.train, world),
    }
    times: dict[str, list[tuple[float, float]]] = {name: [] for name in actions}
    for _ in range(rounds):
        for name, action in actions.items():
            times[name].append(timed(action, world))
            held.clear()
    if world.is_root:
        best = {name: [min(t) for t in zip(*found, strict=True)] for name, found in times.items()}
        drawn, kept = {}, 0
        if world.size == 1:
            store = fill(tileset, config.label, config.train, world)
            drawn = drawing(store.tiles, store.sampler.order(0), config)
            kept = len(store.tiles.pixels)
        out.write_text(json.dumps({"times": best, "drawing": drawn, "kept": kept}))


def drawing(tiles: TilesInMemory, order: NDArray[np.int64], config: Config) -> dict[str, float]:
    """Return the seconds of a step's calls to the store, a mean over 100 batches of an epoch."""
    batch = config.train.batch
    out = np.empty((batch, *tiles.pixels.shape[1:]), np.float32)
    ways: dict[str, Callable[[range], object]] = {
        "pixels[rows]": lambda rows: tiles.pixels[order[rows.start : rows.stop]],
        "batch(rows)": lambda rows: tiles.batch(order[rows.start : rows.stop]),
        "batch(rows, out)": lambda rows: tiles.batch(order[rows.start : rows.stop], out),
        "keep_mask": lambda rows: keep_mask(1024, 0.25, seed=1, epoch=0, rows=rows),
    }
    found = {}
    for name, way in ways.items():
        start = time.perf_counter()
        for k in range(100):
            way(range(k * batch, (k + 1) * batch))
        found[name] = (time.perf_counter() - start) / 100
    return found


def job(ranks: int, threads: int, folder: Path, rounds: int) -> dict[str, Any]:
    """Run a job of so many ranks and threads; return its result."""
    out = folder / "found.json"
    words = [sys.executable, "-m", "benchmarks.tile_store", "--worker", str(folder), str(out)]
    if ranks > 1:
        words = ["mpirun", "--oversubscribe", "--bind-to", "none", "-n", str(ranks), *words]
    env = {**os.environ, "TF_NUM_INTRAOP_THREADS": str(threads)}
    subprocess.run([*words, "--rounds", str(rounds)], check=True, timeout=600, env=env)
    found: dict[str, Any] = json.loads(out.read_text())
    return found


def main() -> None:
    """Make the tile set, time each way, print the table."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--images", type=int, default=203, help="images of 2500 tiles")
    parser.add_argument("--rounds", type=int, default=4)
    parser.add_argument("--worker", nargs=2, type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.worker:
        worker(*options.worker, options.rounds)
        return
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        make_tiles(folder, options.images, load(None, []))
        size = sum(file.stat().st_size for file in folder.glob("*.h5"))
        print(
            f"{options.images * PER_IMAGE} tiles, {size / 1e9:.2f} GB; crc32 of "
            f"{checksum.crc32.__module__}; GB/s"
        )
        print(
            "plain reads: kept, in new memory; into one buffer a file; into 1 MiB again and again"
        )
        print("ranks x threads  time       kept  buffer  1 MiB    fill   fill in ratio to each")
        for ranks, threads in WAYS:
            found = job(ranks, threads, folder, options.rounds)
            for kind, clock in enumerate(("elapsed", "processor")):
                times = [
                    found["times"][name][kind] for name in ("fresh", "whole", "cached", "ours")
                ]
                rates = "".join(f"{size / t / 1e9:8.2f}" for t in times)
                ratios = "".join(f"{t / times[3]:7.2f}" for t in times[:3])
                print(f"{ranks:7} x {threads}      {clock:9}{rates}  {ratios}", flush=True)
            if ranks == threads == 1:
                kept, drawn = found["kept"], found["drawing"]
        said = ", ".join(f"{name} {seconds * 1e6:.0f} us" for name, seconds in drawn.items())
        print(f"tiles kept: {kept}; a batch of 100 drawn from them: {said}")


if __name__ == "__main__":
    main()
