"""Tile sets of random numbers, written as the stage `tiles` writes them, with blocks to spare."""

from __future__ import annotations

from dataclasses import asdict, replace
from pathlib import Path

import numpy as np

from cosmodeep_hpc.tiles.preprocessing import Level, Preprocessing
from cosmodeep_hpc.tiles.shard import Rows, write_shard
from cosmodeep_hpc.tiles.tileset import ShardEntry, TiledImage, TileSet

PREPROCESSING = Preprocessing(scaling="asinh", floor=1e-11, ceiling=1e-2, tile_size=10)
THRESHOLDS = (1e-7, 1e-8)


def rows_of(n: int, seed: int, bright: float) -> Rows:
    """`n` rows, of which a share `bright` has 100 bright pixels, the others none."""
    random = np.random.default_rng(seed)
    return Rows(
        tiles=random.normal(size=(n, 10, 10)).astype(np.float32),
        counts=np.outer(random.random(n) < bright, [100, 200]).astype(np.uint16),
        place=random.integers(0, 50, (n, 3)).astype(np.int32),
    )


def write_tileset(
    folder: Path,
    shards: tuple[tuple[int, ...], ...],
    *,
    validation: frozenset[int] = frozenset(),
    bright: float = 0.02,
    spoil: dict[int, int] | None = None,
) -> TileSet:
    """A tile set of `shards`, each given as the numbers of rows of its images.

    `spoil` maps an image to a row of it that gets a pixel that is no number.
    """
    folder.mkdir(parents=True, exist_ok=True)
    attributes = {**asdict(PREPROCESSING), "thresholds": np.array(THRESHOLDS)}
    entries, sizes = [], [n for shard in shards for n in shard]
    for number, shard in enumerate(shards):
        first = sum(map(len, shards[:number]))
        members = tuple(range(first, first + len(shard)))
        parts = [rows_of(n, image, bright) for n, image in zip(shard, members, strict=True)]
        for image, row in (spoil or {}).items():
            if image in members:
                parts[image - first].tiles[row, 3, 4] = np.nan
        file = f"shard-{number:05d}.h5"
        crc32 = write_shard(folder / file, parts, attributes)
        entries.append(ShardEntry(file=file, rows=sum(shard), images=members, crc32=crc32))
    level = Level(**dict.fromkeys(Level.__dataclass_fields__, 1.0))
    tileset = TileSet(
        folder=folder,
        preprocessing=PREPROCESSING,
        thresholds=THRESHOLDS,
        images=tuple(
            TiledImage(
                name=f"{image:05d}",
                shape=(200, 200),
                fingerprint=str(image),
                level=level,
                pixel_scale=9.6,
                tiles=n,
                left_out=0,
                split="validation" if image in validation else "train",
            )
            for image, n in enumerate(sizes)
        ),
        shards=tuple(entries),
        seed=1,
    )
    tileset.write()
    return tileset


def write_large_tileset(folder: Path, size: int) -> TileSet:
    """A tile set of some `size` bytes whose shards are one file under many names.

    Tiles have 64 x 64 pixels, half of them are signal; those of the last shard are for validation.
    """
    rows, side = 3000, 64
    folder.mkdir(parents=True, exist_ok=True)
    preprocessing = replace(PREPROCESSING, tile_size=side)
    random = np.random.default_rng(1)
    part = Rows(
        tiles=random.standard_normal((rows, side, side), dtype=np.float32),
        counts=np.outer(random.random(rows) < 0.5, [100, 200]).astype(np.uint16),
        place=random.integers(0, 50, (rows, 3)).astype(np.int32),
    )
    attributes = {**asdict(preprocessing), "thresholds": np.array(THRESHOLDS)}
    first = folder / "shard-00000.h5"
    crc32 = write_shard(first, [part], attributes)
    count = max(round(size / part.tiles.nbytes), 2)
    files = [first.name, *(f"shard-{number:05d}.h5" for number in range(1, count))]
    for file in files[1:]:
        (folder / file).hardlink_to(first)
    level = Level(**dict.fromkeys(Level.__dataclass_fields__, 1.0))
    tileset = TileSet(
        folder=folder,
        preprocessing=preprocessing,
        thresholds=THRESHOLDS,
        images=tuple(
            TiledImage(
                name=f"{image:05d}",
                shape=(side, side * rows),
                fingerprint=str(image),
                level=level,
                pixel_scale=9.6,
                tiles=rows,
                left_out=0,
                split="validation" if image == count - 1 else "train",
            )
            for image in range(count)
        ),
        shards=tuple(
            ShardEntry(file=file, rows=rows, images=(image,), crc32=crc32)
            for image, file in enumerate(files)
        ),
        seed=1,
    )
    tileset.write()
    return tileset
