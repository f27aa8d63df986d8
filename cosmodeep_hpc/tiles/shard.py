"""A shard: labelled tiles of a few images in one HDF5 file, with a checksum every 256 rows."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from cosmodeep_hpc.errors import InputError
from cosmodeep_hpc.io.checksum import BLOCK, checksums, crc32, joined
from cosmodeep_hpc.io.files import link_kind, replacing_hdf5

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
AGAIN = "copy the shard again or make the tile set again"


@dataclass(frozen=True, kw_only=True)
class Rows:
    """The rows of a shard, or of one of its images.

    Attributes:
        tiles: preprocessed Noise tiles with their margins, float32 (n, window, window).
        counts: bright Sky pixels at each threshold, uint16 (n, T).
        place: image number, tile row and tile column, int32 (n, 3).
        sky: Sky tiles [Jy/arcsec^2], float32 (n, size, size), if they are kept.
    """

    tiles: NDArray[np.float32]
    counts: NDArray[np.uint16]
    place: NDArray[np.int32]
    sky: NDArray[np.float32] | None = None


def write_shard(path: Path, parts: list[Rows], attributes: dict[str, Any]) -> dict[str, int]:
    """Write a shard of the rows of its images, in order.

    Returns:
        what stands for each checked dataset in the index, by name: see `joined`.

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
    found = {}
    with replacing_hdf5(path) as file:
        for name, array in whole.items():
            blocks = checksums(array)
            file.create_dataset(name, data=array)
            file.create_dataset(CHECKED[name], data=blocks)
            found[name] = joined(blocks)
        file.attrs.update({"format": FORMAT, **attributes})
    return found


# Fills an array with the rows of a block of a dataset, checked: (number of the block, array).
ReadBlock = Callable[[int, NDArray[Any]], None]
# Fills an array with rows of a dataset, as they are in the file.
ReadRows = Callable[[range, NDArray[Any]], None]


@dataclass(frozen=True, kw_only=True)
class DatasetLocation:
    """Where the rows of a dataset lie, and their checksums.

    It suffices to read the dataset: a rank that is given it need not open the file with HDF5.

    Attributes:
        path, name: of the shard, and of the dataset in it.
        rows: of the dataset.
        row_shape, dtype: of one row.
        offset: first byte in the file; None if the rows are not contiguous in it, as after
            `h5repack` with chunks or compression: they are then read with HDF5.
        crc32: uint32, of each block.
    """

    path: Path
    name: str
    rows: int
    row_shape: tuple[int, ...]
    dtype: str
    offset: int | None
    crc32: NDArray[np.uint32]

    @property
    def row_bytes(self) -> int:
        """Bytes of a row."""
        return prod(self.row_shape) * np.dtype(self.dtype).itemsize

    @property
    def joined_crc32(self) -> int:
        """What stands for the dataset in the index, if each block has its own checksum."""
        return joined(self.crc32)

    def rows_of(self, block: int) -> range:
        """Return the rows of a block."""
        return range(block * BLOCK, min((block + 1) * BLOCK, self.rows))

    def where(self, rows: range) -> str:
        """Return the words by which an error names rows of the dataset."""
        return f"{self.path}: dataset {self.name!r}, rows {rows.start} to {rows.stop - 1}"

    @contextmanager
    def opened(self) -> Iterator[ReadBlock]:
        """Open the file; the function that reads a block may be called by several threads.

        It checks each block while it is in the processor's cache. It raises an `InputError` if a
        block is damaged or missing.

        Raises:
            InputError: the file cannot be opened.
        """
        with self.opened_rows() as read_rows:

            def read_block(block: int, into: NDArray[Any]) -> None:
                rows = self.rows_of(block)
                read_rows(rows, into)
                if crc32(into.data) != self.crc32[block]:
                    raise InputError(
                        f"{self.where(rows)}: checksum differs, the data is damaged; {AGAIN}"
                    )

            yield read_block

    @contextmanager
    def opened_rows(self) -> Iterator[ReadRows]:
        """Open the file; the function that reads any rows may be called by several threads.

        Bytes are read at their place in the file: HDF5 has a lock for all threads, and takes
        longer. No checksum is compared. The function raises an `InputError` if rows are missing or
        cannot be read.

        Raises:
            InputError: the file cannot be opened.
        """
        if self.offset is None:
            with open_shard(self.path) as shard:
                dataset = shard.dataset(self.name)

                def by_hdf5(rows: range, into: NDArray[Any]) -> bool:
                    dataset.read_direct(into, np.s_[rows.start : rows.stop])
                    return True

                yield self._naming(by_hdf5)
            return
        first = self.offset
        try:
            descriptor = os.open(self.path, os.O_RDONLY)
        except OSError as error:
            raise InputError(f"{self.path}: cannot be read ({error.strerror}); {AGAIN}") from error
        try:

            def by_bytes(rows: range, into: NDArray[Any]) -> bool:
                left = into.data.cast("B")
                offset = first + rows.start * self.row_bytes
                while left and (count := os.preadv(descriptor, [left], offset)):
                    left, offset = left[count:], offset + count
                return not left

            yield self._naming(by_bytes)
        finally:
            os.close(descriptor)

    def _naming(self, fetch: Callable[[range, NDArray[Any]], bool]) -> ReadRows:
        """Return `fetch` with errors that name the rows."""

        def read_rows(rows: range, into: NDArray[Any]) -> None:
            try:
                whole = fetch(rows, into)
            except (OSError, RuntimeError, TypeError, ValueError) as error:
                reason = str(error).split("\n", 1)[0]
                text = f"{self.where(rows)}: cannot be read ({reason}); {AGAIN}"
                raise InputError(text) from error
            if not whole:
                raise InputError(f"{self.where(rows)}: the file ends before them; {AGAIN}")

        return read_rows


class Shard:
    """An open shard; rows are read by block and checked."""

    def __init__(self, path: Path, file: h5py.File) -> None:
        """Take an open file; callers use `open_shard`."""
        self.path = path
        self._file = file
        self._datasets: dict[str, h5py.Dataset] = {}
        self._locations: dict[str, DatasetLocation] = {}

    @property
    def attributes(self) -> dict[str, Any]:
        """The shard's attributes as plain values."""
        return {k: v.tolist() if hasattr(v, "tolist") else v for k, v in self._file.attrs.items()}

    @property
    def n_rows(self) -> int:
        """Number of tiles."""
        return int(self.dataset("tiles").shape[0])

    @property
    def window(self) -> int:
        """Side of a tile with its margins [pixel]."""
        return int(self.dataset("tiles").shape[-1])

    def has(self, name: str) -> bool:
        """Return whether the shard holds this dataset."""
        return name in self._file

    def dataset(self, name: str) -> h5py.Dataset:
        """Return a dataset of the file, for what only HDF5 can read. Its data are not checked.

        Raises:
            InputError: it is missing, or its data is in another file.
        """
        if name not in self._datasets:  # opening is slow, so each is opened once
            try:
                found = self._file[name]
                elsewhere = found.is_virtual or found.external
            except Exception as error:  # a damaged HDF5 file fails in any part of h5py
                raise InputError(
                    f"{self.path}: dataset {name!r}: cannot be read ({error}); {AGAIN}"
                ) from error
            if elsewhere:
                raise InputError(
                    f"{self.path}: dataset {name!r} has its data in another file; refused"
                )
            self._datasets[name] = found
        return self._datasets[name]

    def location(self, name: str) -> DatasetLocation:
        """Return where a dataset's rows and checksums are.

        Raises:
            InputError: its checksums cannot be read, or do not fit its rows.
        """
        if name not in self._locations:
            try:
                self._locations[name] = self._location(name)
            except (OSError, KeyError, RuntimeError, TypeError, ValueError) as error:
                raise InputError(
                    f"{self.path}: dataset {name!r}: cannot be read ({error}); {AGAIN}"
                ) from error
        return self._locations[name]

    def _location(self, name: str) -> DatasetLocation:
        dataset, stored = self.dataset(name), self.dataset(CHECKED[name])
        rows, *row_shape = dataset.shape
        if rows != self.n_rows:
            raise ValueError(f"{rows} rows for {self.n_rows} tiles")
        blocks = -(-rows // BLOCK)
        if stored.shape != (blocks,) or stored.dtype != np.uint32:
            raise ValueError(f"checksums {stored.dtype} {stored.shape}, not uint32 ({blocks},)")
        return DatasetLocation(
            path=self.path,
            name=name,
            rows=rows,
            row_shape=tuple(row_shape),
            dtype=dataset.dtype.str,
            # None if it is chunked, compact or empty; the bytes must also be those of memory
            offset=dataset.id.get_offset() if dataset.dtype.isnative else None,
            crc32=stored[()],
        )

    def read(self, name: str, start: int, stop: int) -> NDArray[Any]:
        """Return rows `start` to `stop` of a dataset, contiguous and checked block by block.

        `start` must be the first row of a block, `stop` the end of one or of the dataset.

        Raises:
            InputError: a block's checksum differs, or the file ends early.
        """
        if start % BLOCK or (stop % BLOCK and stop != self.n_rows):
            raise ValueError(f"rows {start} to {stop}: expected multiples of {BLOCK}")
        location = self.location(name)
        found = np.empty((stop - start, *location.row_shape), location.dtype)
        if start < stop:
            with location.opened() as read_block:
                for first in range(start, stop, BLOCK):
                    read_block(first // BLOCK, found[first - start : first - start + BLOCK])
        return found


@contextmanager
def open_shard(path: Path) -> Iterator[Shard]:
    """Open a shard for reading; many ranks may do so, on any file system.

    Raises:
        InputError: missing, truncated, not a shard, or one whose data is in another file.
    """
    if not path.is_file():  # a pipe counts too: opening it would wait
        raise InputError(f"{path}: {'not a file' if path.exists() else 'no such file'}; {AGAIN}")
    try:
        # no lock: Lustre mounts without flock refuse it, and nobody writes a finished shard
        file = h5py.File(path, "r", locking=False)
    except PermissionError as error:
        raise InputError(f"{path}: cannot read it: {os.strerror(errno.EACCES)}") from error
    except OSError as error:
        raise InputError(f"{path}: not a whole HDF5 file ({error}); {AGAIN}") from error
    with file:
        shard = Shard(path, file)
        try:
            oddity = _linked(file) or _oddity(shard, file)
        except InputError:
            raise
        except Exception as error:
            oddity = f"damaged ({error})"
        if oddity:
            raise InputError(f"{path}: {oddity}; expected a tile shard of format {FORMAT}")
        yield shard


def _linked(file: h5py.File) -> str:
    """Name a link to elsewhere in a file: a shard from someone else must open no other file."""
    found = ((name, link_kind(file, name)) for name in file)
    return next((f"{name!r} is {kind} link; refused" for name, kind in found if kind), "")


def _oddity(shard: Shard, file: h5py.File) -> str:
    """Return the reason why a file is not a shard; empty if it is one."""
    missing = [name for name in CHECKED if name != "sky" and name not in file]
    if missing:
        return f"no dataset {missing[0]!r}"
    if file.attrs.get("format") != FORMAT:
        return f"format {file.attrs.get('format')}"
    tiles, counts = shard.dataset("tiles"), shard.dataset("counts")
    rows, *sides = tiles.shape
    if len(sides) != 2 or sides[0] != sides[1] or tiles.dtype != np.float32:
        return f"tiles of {tiles.dtype} {tiles.shape}"
    if counts.ndim != 2 or counts.dtype != np.uint16:
        return f"counts of {counts.dtype} {counts.shape}"
    if len(counts) != rows:
        return f"dataset 'counts' of {len(counts)} rows for {rows} tiles"
    return ""
