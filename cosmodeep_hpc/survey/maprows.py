"""The map of pixels of a plane, some rows at a time: in memory, or in a file that ranks write."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from cosmodeep_hpc.errors import InputError, naming
from cosmodeep_hpc.io.checksum import crc32

TYPE = np.dtype("<i2")


@dataclass(frozen=True)
class MapRows:
    """The map of a plane: int16 as `pixelmap.packed` gives it.

    Attributes:
        shape: rows and columns.
        source: the rows; or the file that they are in, plane by plane.
        plane: its number in the file.
    """

    shape: tuple[int, int]
    source: NDArray[np.int16] | Path
    plane: int = 0

    def rows(self, start: int, stop: int) -> NDArray[np.int16]:
        """Return rows `start` to `stop`; they are not to be changed.

        Raises:
            InputError: the file cannot be read.
        """
        if not isinstance(self.source, Path):
            return self.source[start:stop]
        count = (stop - start) * self.shape[1]
        with naming(self.source), self.source.open("rb") as file:
            file.seek(self._place(start))
            found = np.fromfile(file, TYPE, count)
        if len(found) != count:
            raise InputError(f"{self.source}: ends before row {stop}; sweep the image again")
        return found.astype(np.int16, copy=False).reshape(-1, self.shape[1])

    def write(self, start: int, rows: NDArray[np.int16]) -> int:
        """Write rows of the file in place, from row `start` on, and return their checksum.

        They are on disk when this returns. Ranks write different rows at the same time.

        Raises:
            InputError: they cannot be written, or the disk is full.
        """
        assert isinstance(self.source, Path)
        content = np.ascontiguousarray(rows, dtype=TYPE)
        with naming(self.source, "write"):
            file = os.open(self.source, os.O_RDWR | os.O_CREAT, 0o666)
            try:
                left, at = memoryview(content.data).cast("B"), self._place(start)
                while left:
                    done = os.pwrite(file, left, at)
                    left, at = left[done:], at + done
                os.fsync(file)
            finally:
                os.close(file)
        return crc32(content)

    def has(self, start: int, stop: int, checksum: int) -> bool:
        """Return whether the file has rows of this checksum."""
        try:
            return crc32(np.ascontiguousarray(self.rows(start, stop), dtype=TYPE)) == checksum
        except InputError:
            return False

    def _place(self, row: int) -> int:
        return (self.plane * self.shape[0] + row) * self.shape[1] * TYPE.itemsize
