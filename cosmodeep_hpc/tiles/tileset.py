"""A tile set: the folder of shards that its `index.json` describes."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np

from cosmodeep_hpc import __version__
from cosmodeep_hpc.errors import InputError, in_one_line
from cosmodeep_hpc.io.files import path_of, read_json, write_json
from cosmodeep_hpc.tiles import labels
from cosmodeep_hpc.tiles.preprocessing import Level, Preprocessing

INDEX = "index.json"
FORMAT = 2
"""Of the index. In format 1 a shard's `crc32` is that of all bytes of each dataset."""
READ = (1, FORMAT)


@dataclass(frozen=True, kw_only=True)
class TiledImage:
    """One image of a tile set.

    Attributes:
        name: of the pair.
        shape: (ny, nx) [pixel].
        fingerprint: hash of its Noise pixels, which identifies it under any name.
        level: the numbers that its scaling used.
        pixel_scale: side of a pixel [arcsec].
        tiles: number of its tiles: whole ones with data in every pixel.
        left_out: tiles left out: partial ones at the edges, and ones with pixels without data.
        split: whether the network is trained or validated with it.
        beam: full width at half maximum, of both axes the geometric mean [pixel]; None where it is
            not known, as in indices of earlier versions.
        local_noise: median of its local noise [Jy/arcsec^2]; None as above.
    """

    name: str
    shape: tuple[int, int]
    fingerprint: str
    level: Level
    pixel_scale: float
    tiles: int
    left_out: int
    split: Literal["train", "validation"]
    beam: float | None = None
    local_noise: float | None = None

    def __post_init__(self) -> None:
        if self.split not in ("train", "validation"):
            raise ValueError(
                f"image {self.name!r} has split {self.split!r}; expected train or validation"
            )
        _check_numbers(pixel_scale=self.pixel_scale, **asdict(self.level))
        _check_counts(tiles=self.tiles, left_out=self.left_out)


@dataclass(frozen=True, kw_only=True)
class ShardEntry:
    """One shard of a tile set.

    Attributes:
        file: its name in the folder.
        rows: tiles in it.
        images: numbers of the images that they are of.
        crc32: of each dataset, by name: the CRC-32 of its blocks' checksums (`checksum.joined`).
    """

    file: str
    rows: int
    images: tuple[int, ...]
    crc32: dict[str, int]

    def __post_init__(self) -> None:
        if not isinstance(self.file, str):
            raise TypeError(f"file of a shard = {self.file!r}")
        checked = {f"crc32 of {name!r}": self.crc32[name] for name in ("tiles", "counts")}
        _check_counts(rows=self.rows, **checked)


def _check_counts(**numbers: object) -> None:
    """Raise unless all values are whole numbers from 0 on."""
    for name, value in numbers.items():
        if type(value) is not int or value < 0:
            raise ValueError(f"{name} = {value!r}")


def _check_numbers(**numbers: object) -> None:
    """Raise unless all values are finite numbers."""
    for name, value in numbers.items():
        if not isinstance(value, int | float) or not math.isfinite(value):
            raise ValueError(f"{name} = {value!r}")


@dataclass(frozen=True, kw_only=True)
class TileSet:
    """The content of `index.json`. It is written last: a folder that has it is complete.

    Attributes:
        folder: of the shards.
        preprocessing: applied to the tiles.
        thresholds: flux thresholds F_th of the counts [Jy/arcsec^2].
        images, shards: of the set.
        seed: by which images were chosen for validation.
        format: of the index.
    """

    folder: Path
    preprocessing: Preprocessing
    thresholds: tuple[float, ...]
    images: tuple[TiledImage, ...]
    shards: tuple[ShardEntry, ...]
    seed: int
    format: int = FORMAT

    def __post_init__(self) -> None:
        _check_numbers(**{f"threshold {n}": t for n, t in enumerate(self.thresholds)})
        made = self.preprocessing
        _check_numbers(floor=made.floor, ceiling=made.ceiling)
        _check_counts(tile_size=made.tile_size, margin=made.margin)
        if not self.shards:
            raise ValueError("no shard")

    @staticmethod
    @in_one_line
    def read(folder: str | Path) -> TileSet:
        """Return the tile set of a folder.

        Raises:
            InputError: as `read_tileset` does.
        """
        return read_tileset(path_of("folder", folder))

    @property
    def n_rows(self) -> int:
        """Number of tiles in all shards."""
        return sum(shard.rows for shard in self.shards)

    @property
    def first_rows(self) -> list[int]:
        """Number of each shard's first row in the set."""
        return [int(r) for r in np.cumsum([0, *(s.rows for s in self.shards)])[:-1]]

    def column(self, f_th: float) -> int:
        """Return the column of `counts` of flux threshold `f_th` [Jy/arcsec^2].

        Raises:
            InputError: the tile set was not made with it.
        """
        return labels.column(self.thresholds, f_th, self.folder / INDEX)

    def write(self) -> None:
        """Write the index."""
        content = {
            "format": self.format,
            "cosmodeep_hpc": __version__,
            "preprocessing": asdict(self.preprocessing),
            "thresholds": self.thresholds,
            "seed": self.seed,
            "rows": self.n_rows,
            "shards": [asdict(s) for s in self.shards],
            "images": [asdict(i) for i in self.images],
        }
        write_json(self.folder / INDEX, content)


def read_tileset(folder: Path) -> TileSet:
    """Read the index of a tile set.

    Raises:
        InputError: no index (the set is not complete), another format, numbers that contradict each
            other, or a shard outside the folder.
    """
    path = folder / INDEX
    if not path.exists():
        raise InputError(
            f"{path}: no such file; expected a finished tile set (cosmodeep tiles --out {folder})"
        )
    content: Any = read_json(path)
    if not isinstance(content, dict) or content.get("format") not in READ:
        found = content.get("format") if isinstance(content, dict) else type(content).__name__
        raise InputError(f"{path}: format {found}; expected an index of format 1 or {FORMAT}")
    try:
        shards = tuple(ShardEntry(**{**s, "images": tuple(s["images"])}) for s in content["shards"])
        images = tuple(
            TiledImage(**{**i, "shape": tuple(i["shape"]), "level": Level(**i["level"])})
            for i in content["images"]
        )
        tileset = TileSet(
            folder=folder,
            preprocessing=Preprocessing.from_dict(content["preprocessing"]),
            thresholds=tuple(content["thresholds"]),
            images=images,
            shards=shards,
            seed=content["seed"],
            format=content["format"],
        )
        of_images = [sum(images[number].tiles for number in s.images) for s in shards]
    except (KeyError, TypeError, ValueError, IndexError) as error:
        raise InputError(f"{path}: not an index of a tile set ({error})") from error
    if sorted(number for s in shards for number in s.images) != list(range(len(images))):
        raise InputError(
            f"{path}: expected each of its {len(images)} images in one shard; make the tile set "
            "again"
        )
    for shard, rows in zip(tileset.shards, of_images, strict=True):
        if not _inside(folder, shard.file):
            raise InputError(f"{path}: shard {shard.file!r} is outside the folder; refused")
        if shard.rows != rows:
            raise InputError(
                f"{path}: shard {shard.file} of {shard.rows} rows, but its images have {rows} "
                "tiles; make the tile set again"
            )
    return tileset


def _inside(folder: Path, name: str) -> bool:
    """Return whether a file of this name lies in the folder itself, after following links."""
    try:
        file = (folder / name).resolve()
        if file.is_symlink():  # a link to itself: Python 3.13 returns it, older versions raise
            return False
        return file.parent == folder.resolve() and Path(name).name == name
    except (OSError, RuntimeError, ValueError):  # a link to itself, a name with a null byte
        return False
