"""A shard: labelled tiles of a few images in one HDF5 file, with a checksum every 256 rows."""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from cosmodeep_hpc.errors import InputError
from cosmodeep_hpc.files import replacing_hdf5

FORMAT = 1
# The datasets that are checked, and where their checksums are.
CHECKED = {
    "tiles": "crc32",
    "counts": "crc32_counts",
    "sky": "crc32_sky",
    "image": "crc32_image",
    "row": "crc32_row",
    "col": "crc32_col",
}
BLOCK = 256  # rows that share a checksum: the smallest piece a reader takes


@dataclass(frozen=True, kw_only=True)
class Rows:
    """The rows of a shard, or of one image of it.

    Attributes:
        tiles: preprocessed Noise tiles, float32 (n, size, size).
        counts: bright Sky pixels at each threshold, uint16 (n, T).
        place: image number, tile row and tile column, int32 (n, 3).
        sky: Sky tiles [Jy/arcsec^2], float32 (n, size, size), where they are kept.
    """

    tiles: NDArray[np.float32]
    counts: NDArray[np.uint16]
    place: NDArray[np.int32]
    sky: NDArray[np.float32] | None = None


def checksums(array: NDArray[Any]) -> NDArray[np.uint32]:
    """CRC-32 of each block of 256 rows, uint32 (ceil(n / 256),)."""
    return np.array(
        [zlib.crc32(array[start : start + BLOCK].data) for start in range(0, len(array), BLOCK)],
        dtype=np.uint32,
    )


def write_shard(path: Path, parts: list[Rows], attributes: dict[str, Any]) -> dict[str, int]:
    """Write a shard of the rows of its images, in order.

    Returns:
        the CRC-32 of each checked dataset as a whole, by name.

    Raises:
        InputError: the folder cannot be written, or the disk is full.
    """
    whole: dict[str, NDArray[Any]] = {
        "tiles": np.concatenate([p.tiles for p in parts]),
        "counts": np.concatenate([p.counts for p in parts]),
    }
    if all(p.sky is not None for p in parts):
        whole["sky"] = np.concatenate([p.sky for p in parts if p.sky is not None])
    place = np.concatenate([p.place for p in parts])
    for column, name in enumerate(("image", "row", "col")):
        whole[name] = np.ascontiguousarray(place[:, column])
    with replacing_hdf5(path) as file:
        for name, array in whole.items():
            file.create_dataset(name, data=array)
            file.create_dataset(CHECKED[name], data=checksums(array))
        file.attrs.update({"format": FORMAT, **attributes})
    return {name: zlib.crc32(array.data) for name, array in whole.items()}


class Shard:
    """An open shard; rows are read by block and checked."""

    def __init__(self, path: Path, file: h5py.File) -> None:
        """Use `open_shard`."""
        self.path = path
        self._file = file

    @property
    def attributes(self) -> dict[str, Any]:
        """The shard's attributes as plain values."""
        return {k: v.tolist() if hasattr(v, "tolist") else v for k, v in self._file.attrs.items()}

    @property
    def n_rows(self) -> int:
        """Number of tiles."""
        return int(self._file["tiles"].shape[0])

    @property
    def tile_size(self) -> int:
        """Side of a tile [pixel]."""
        return int(self._file["tiles"].shape[-1])

    def has(self, name: str) -> bool:
        """Whether the shard holds this dataset."""
        return name in self._file

    def read(self, name: str, start: int, stop: int) -> NDArray[Any]:
        """Rows `start` to `stop` of a dataset, contiguous and checked block by block.

        `start` must be the first row of a block, `stop` the end of one or of the dataset.

        Raises:
            InputError: a block's checksum differs, or the file ends early.
        """
        if start % BLOCK or (stop % BLOCK and stop != self.n_rows):
            raise ValueError(f"rows {start} to {stop}: expected multiples of {BLOCK}")
        try:
            rows = self._file[name][start:stop]
            expected = self._file[CHECKED[name]][start // BLOCK : -(-stop // BLOCK)]
        except (OSError, KeyError, RuntimeError, ValueError) as error:
            raise InputError(
                f"{self.path}: dataset {name!r}, rows {start} to {stop - 1}: cannot be read "
                f"({error}); copy the shard again or make the tile set again"
            ) from error
        found = checksums(rows)
        if len(rows) != stop - start or len(expected) != len(found):
            raise InputError(
                f"{self.path}: dataset {name!r} has {len(rows)} of the rows {start} to {stop - 1}; "
                "copy the shard again or make the tile set again"
            )
        for block in np.flatnonzero(found != expected).tolist():
            first = start + block * BLOCK
            raise InputError(
                f"{self.path}: dataset {name!r}, rows {first} to "
                f"{min(first + BLOCK, stop) - 1}: checksum differs, the data is damaged; "
                "copy the shard again or make the tile set again"
            )
        return np.asarray(rows)


@contextmanager
def open_shard(path: Path) -> Iterator[Shard]:
    """Open a shard for reading; many ranks may, on any file system.

    Raises:
        InputError: missing, truncated, or no shard.
    """
    try:
        # no lock: Lustre mounts without flock refuse it, and nobody writes a finished shard
        file = h5py.File(path, "r", locking=False)
    except OSError as error:
        reason = "no such file" if not path.exists() else f"not a whole HDF5 file ({error})"
        raise InputError(
            f"{path}: {reason}; copy the shard again or make the tile set again"
        ) from error
    with file:
        found = _oddity(file)
        if found:
            raise InputError(f"{path}: {found}; expected a tile shard of format {FORMAT}")
        yield Shard(path, file)


def _oddity(file: h5py.File) -> str:
    """What makes a file no shard; nothing where it is one."""
    try:
        missing = [name for name in CHECKED if name != "sky" and name not in file]
        if missing:
            return f"no dataset {missing[0]!r}"
        if file.attrs.get("format") != FORMAT:
            return f"format {file.attrs.get('format')}"
        rows, *sides = file["tiles"].shape
        if len(sides) != 2 or sides[0] != sides[1] or file["tiles"].dtype != np.float32:
            return f"tiles of {file['tiles'].dtype} {file['tiles'].shape}"
        for name in ("counts", "image", "row", "col"):
            if len(file[name]) != rows:
                return f"dataset {name!r} of {len(file[name])} rows for {rows} tiles"
        return ""
    except Exception as error:  # a damaged HDF5 file fails in any part of h5py
        return f"damaged ({error})"
