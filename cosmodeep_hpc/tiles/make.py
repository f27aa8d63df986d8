"""The stage `tiles`: Sky/Noise pairs in, shards and their index out."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from cosmodeep_hpc import __version__
from cosmodeep_hpc.config.configuration import Config
from cosmodeep_hpc.errors import InputError, naming
from cosmodeep_hpc.images.image import Image
from cosmodeep_hpc.io.files import make_folder
from cosmodeep_hpc.io.progress import Progress, silent
from cosmodeep_hpc.noise.localnoise import median_noise
from cosmodeep_hpc.parallel.world import World, collective
from cosmodeep_hpc.tiles.labels import count_bright
from cosmodeep_hpc.tiles.pairs import Pair, find_pairs
from cosmodeep_hpc.tiles.preprocessing import Level, Preprocessing
from cosmodeep_hpc.tiles.shard import Rows, write_shard
from cosmodeep_hpc.tiles.tileset import INDEX, ShardEntry, TiledImage, TileSet
from cosmodeep_hpc.tiles.tiling import coverage, cut, grid_shape


def run(
    config: Config,
    images: Path,
    out: Path,
    world: World,
    *,
    overwrite: bool = False,
    progress: Progress = silent,
) -> TileSet:
    """Cut every pair of the folder `images` into labelled tiles, in parallel over shards.

    The bytes are the same for any number of ranks: a shard depends on its images alone.

    Raises:
        InputError: bad input, or `out` holds a tile set already and `overwrite` is off.
    """
    pairs = world.on_root(lambda: _prepare(images, out, overwrite))
    step = config.tiles.images_per_shard
    shards = math.ceil(len(pairs) / step)
    validation = split(len(pairs), config.tiles.validation, config.tiles.seed)

    def make_one(number: int) -> tuple[ShardEntry, list[TiledImage]]:
        members = range(number * step, min((number + 1) * step, len(pairs)))
        return make_shard(config, out, number, members, pairs, validation)

    made = world.map(make_one, shards, progress)
    if not any(entry.rows for entry, _ in made):
        size = config.tiles.size
        raise collective(
            InputError(
                f"{images}: no tile of {size} x {size} pixels that all have data, in {len(pairs)} "
                "images; expected larger images, or a smaller tiles.size"
            )
        )
    tileset = TileSet(
        folder=out,
        preprocessing=Preprocessing.of(config.tiles),
        thresholds=config.tiles.thresholds,
        images=tuple(image for _, images in made for image in images),
        shards=tuple(entry for entry, _ in made),
        seed=config.tiles.seed,
    )

    def finish() -> None:
        config.write(out / "config.json")
        tileset.write()

    world.on_root(finish)
    return tileset


def _prepare(images: Path, out: Path, overwrite: bool) -> list[Pair]:
    """Check input and output before any work is done; then remove an earlier job's files."""
    pairs = find_pairs(images)
    for pair in pairs:
        pair.open()
    make_folder(out)
    if (out / INDEX).exists() and not overwrite:
        raise InputError(
            f"{out}: holds a tile set already; choose another --out, or add --overwrite"
        )
    with naming(out, "remove the earlier tiles in"):
        # the index first, because no reader accepts the rest without it
        (out / INDEX).unlink(missing_ok=True)
        sheets = f"shard-{5 * '[0-9]'}.png"  # pictures of the shards, beside them
        for pattern in ("shard-*.h5", ".shard-*.part.h5", sheets):
            for old in out.glob(pattern):
                old.unlink()
    return pairs


def split(n: int, validation: float, seed: int) -> frozenset[int]:
    """Return the images kept for validation: their share rounded, at least one unless it is 0.

    If there are two images or more, at least one is left to train on.
    """
    if validation == 0 or n < 2:
        return frozenset()
    count = min(max(1, round(n * validation)), n - 1)
    order = np.random.Generator(np.random.Philox(seed)).permutation(n)
    return frozenset(int(i) for i in order[:count])


def make_shard(
    config: Config,
    out: Path,
    number: int,
    members: range,
    pairs: list[Pair],
    validation: frozenset[int],
) -> tuple[ShardEntry, list[TiledImage]]:
    """Write shard `number` from the pairs `members`."""
    preprocessing = Preprocessing.of(config.tiles)
    parts, images, beams = [], [], []
    for index in members:
        sky, noise = pairs[index].open()
        beams.append((noise.beam.major, noise.beam.minor) if noise.beam else (np.nan, np.nan))
        tiled = tile_pair(sky, noise, preprocessing, config.tiles.thresholds)
        parts.append(
            Rows(
                tiles=tiled.tiles,
                counts=tiled.counts,
                place=np.stack([np.full_like(tiled.row, index), tiled.row, tiled.col], axis=1),
                sky=tiled.sky if config.tiles.keep_sky else None,
            )
        )
        images.append(
            TiledImage(
                name=pairs[index].name,
                shape=noise.shape,
                fingerprint=tiled.fingerprint,
                level=tiled.level,
                pixel_scale=noise.pixel_scale,
                tiles=len(tiled.tiles),
                left_out=tiled.left_out,
                split="validation" if index in validation else "train",
                beam=None if noise.beam is None else noise.beam.width / noise.pixel_scale,
                local_noise=tiled.local_noise,
            )
        )
    attributes = {
        **asdict(preprocessing),
        "thresholds": np.array(config.tiles.thresholds),
        "thresholds_unit": "Jy/arcsec2",
        # one row an image of the shard; a beam is NaN where the header has none
        "pixel_scale_arcsec": np.array([image.pixel_scale for image in images]),
        "beam_arcsec": np.array(beams),
        "noise_rms": np.array([image.level.sigma for image in images]),
        "noise_rms_unit": "Jy/arcsec2",
        "writer": f"cosmodeep_hpc {__version__}",
        "seed": config.tiles.seed,
    }
    file = f"shard-{number:05d}.h5"
    crc32 = write_shard(out / file, parts, attributes)
    rows_in_all = sum(len(part.tiles) for part in parts)
    entry = ShardEntry(file=file, rows=rows_in_all, images=tuple(members), crc32=crc32)
    return entry, images


@dataclass(frozen=True, kw_only=True)
class TiledPair:
    """The whole tiles of one pair that have data in every pixel of Sky and Noise.

    Attributes:
        tiles: preprocessed Noise tiles with their margins, float32 (n, window, window).
        counts: bright Sky pixels at each threshold, uint16 (n, T).
        row, col: of the tiles, int32 (n,).
        sky: Sky tiles [Jy/arcsec^2], float32 (n, size, size).
        fingerprint: hash of the Noise pixels.
        level: what the scaling was made with.
        left_out: number of tiles that are partial, or have pixels without data.
        local_noise: median of the local noise [Jy/arcsec^2]; None where there is none.
    """

    tiles: NDArray[np.float32]
    counts: NDArray[np.uint16]
    row: NDArray[np.int32]
    col: NDArray[np.int32]
    sky: NDArray[np.float32]
    fingerprint: str
    level: Level
    left_out: int
    local_noise: float | None


def tile_pair(
    sky: Image, noise: Image, preprocessing: Preprocessing, thresholds: Sequence[float]
) -> TiledPair:
    """Cut one pair into tiles, preprocess them, and count the bright pixels of each.

    In a tile's surroundings, pixels without data (also beyond the image) count as empty sky.

    Args:
        thresholds: flux thresholds F_th of the counts [Jy/arcsec^2].
    """
    size, margin = preprocessing.tile_size, preprocessing.margin
    pixels = noise.pixels()
    fingerprint = fingerprint_of(pixels)
    level = preprocessing.measure(noise, pixels)
    beam = None if noise.beam is None else noise.beam.in_pixels(noise.pixel_scale)
    local_noise = median_noise(np.where(pixels == 0, np.float32(np.nan), pixels), size, beam)
    noise_tiles = cut(pixels, size, margin)
    sky_tiles = cut(sky.pixels(), size)
    own = noise_tiles[..., margin : margin + size, margin : margin + size]
    whole = (coverage(own) == 1) & (coverage(sky_tiles) == 1)
    row, col = np.nonzero(whole)
    sky_kept = sky_tiles[whole]
    return TiledPair(
        tiles=preprocessing.apply(noise_tiles[whole], level),
        counts=count_bright(sky_kept, thresholds),
        row=row.astype(np.int32),
        col=col.astype(np.int32),
        sky=sky_kept,
        fingerprint=fingerprint,
        local_noise=local_noise,
        level=level,
        left_out=int(np.prod(grid_shape(noise.shape, size))) - len(row),
    )


def fingerprint_of(pixels: NDArray[np.float32]) -> str:
    """Return a hash of Noise pixels, which identifies an image under any name."""
    return hashlib.blake2b(np.ascontiguousarray(pixels).data, digest_size=16).hexdigest()
