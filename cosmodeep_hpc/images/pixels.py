"""Pixels out of a file: stored numbers as float32, a few rows at a time.

Plain images are read at the place that their header gives, not as a `section` of astropy: it takes
half a millisecond to open a file, and that again for each HDU before the image, keeps it open
between reads, and reads number by number where another axis comes before those of the sky.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from astropy.io import fits
from numpy.typing import NDArray

from cosmodeep_hpc.errors import InputError
from cosmodeep_hpc.images.file import DTYPES, value

CHUNK = 2**16  # numbers converted at once: they stay in the cache
PIECE = 2**22  # bytes read at once where they are not the pixels yet
_WIDER = 4  # a read of whole rows is faster than one of many pieces that are a fourth of them
_SHORT = 2**14  # or where rows have no more numbers than this


@dataclass(frozen=True)
class StoredNumbers:
    """What stored numbers mean: `scale` times the number plus `zero`.

    Attributes:
        bitpix: their type.
        blank: the integer that means no data.

    Source: FITS standard 4.0, section 4.4.2.
    """

    bitpix: int
    scale: float = 1.0
    zero: float = 0.0
    blank: int | None = None

    @classmethod
    def of(cls, path: Path, header: fits.Header) -> StoredNumbers:
        """Take the scaling of an image's header.

        Raises:
            InputError: BSCALE, BZERO or BLANK is nonsense.
        """
        numbers = {}
        for name, default in (("BSCALE", 1.0), ("BZERO", 0.0)):
            found = value(header, name)
            if name in header and not isinstance(found, (int, float)):
                raise InputError(f"{path}: {name} is {found!r}; expected a number")
            numbers[name] = default if found is None else float(found)
        if numbers["BSCALE"] == 0 or not np.isfinite(list(numbers.values())).all():
            raise InputError(
                f"{path}: BSCALE is {numbers['BSCALE']:g} and BZERO {numbers['BZERO']:g}; expected "
                "numbers, and a BSCALE other than 0"
            )
        bitpix = int(value(header, "BITPIX"))
        blank = value(header, "BLANK")
        if bitpix < 0:  # floating-point images have NaN, and BLANK means nothing there
            blank = None
        elif "BLANK" in header and (not isinstance(blank, (int, float)) or blank != int(blank)):
            raise InputError(f"{path}: BLANK is {blank!r}; expected a whole number")
        return cls(
            bitpix, numbers["BSCALE"], numbers["BZERO"], None if blank is None else int(blank)
        )

    @property
    def is_plain(self) -> bool:
        """Whether the stored numbers are the pixels."""
        return self.scale == 1.0 and self.zero == 0.0

    def convert(self, raw: NDArray[Any], factor: float, out: NDArray[np.float32]) -> None:
        """Write pixels times `factor` of stored numbers into `out` (rows, columns).

        In float64 and rounded once, but for plain float32.
        """
        height = 1 + CHUNK // max(1, raw.shape[1])
        with np.errstate(over="ignore", invalid="ignore"):
            for first in range(0, len(raw), height):
                rows = slice(first, first + height)
                self._convert(raw[rows], factor, out[rows])

    def _convert(self, raw: NDArray[Any], factor: float, out: NDArray[np.float32]) -> None:
        if self.is_plain and raw.dtype.kind == "f" and raw.dtype.itemsize == 4:
            out[...] = raw
            if factor != 1.0:
                out *= np.float32(factor)
            return
        zero = self.zero
        if zero == 2.0**63 and self.scale == 1.0 and raw.dtype.kind == "i" and raw.itemsize == 8:
            # unsigned 64 bit: the sum in float64 would lose what it subtracts
            unsigned = raw.astype(np.int64).view(np.uint64) ^ np.uint64(1 << 63)
            values, zero = unsigned.astype(np.float64), 0.0
        else:
            values = raw.astype(np.float64)
        if self.scale != 1.0:
            values *= self.scale
        if zero != 0.0:
            values += zero
        if self.blank is not None:
            values[raw == self.blank] = np.nan
        values *= factor
        out[...] = values


class Pixels(Protocol):
    """Reads a box of a plane."""

    def read(
        self, plane: tuple[int, ...], rows: range, columns: range, factor: float
    ) -> NDArray[np.float32]:
        """Return pixels times `factor`, float32 (rows, columns).

        Raises:
            EOFError, OSError and what decompressors raise: they cannot be read.
        """
        ...

    def zeros(
        self, plane: tuple[int, ...], rows: range, columns: range
    ) -> NDArray[np.float32] | None:
        """Return how large a pixel of 0 may be after compression, float32 (rows, columns).

        Returns:
            in the file's unit; None where zeros are kept.
        """
        ...


@dataclass(frozen=True)
class PlainPixels:
    """Pixels that lie in a file as the header says, which is open only while it is read.

    Attributes:
        start: byte of the file of the first one.
        axes: lengths of the file's axes, slowest first.
        celestial: indices of y and x in `axes`; y is the slower one.
    """

    path: Path
    start: int
    axes: tuple[int, ...]
    celestial: tuple[int, int]
    stored: StoredNumbers

    def read(
        self, plane: tuple[int, ...], rows: range, columns: range, factor: float
    ) -> NDArray[np.float32]:
        """Read as `Pixels` says, by any number of threads; memory is that of what is asked.

        Where the file has other axes between two pixels of a row, it is that of such a row, too.
        """
        y, x = self.celestial
        run = math.prod(self.axes[y + 1 :])  # numbers from a row to the next
        plain = self.stored.is_plain and self.stored.bitpix == -32
        if plain and run == self.axes[x] == len(columns):  # rows of pixels, and nothing else
            found = self._numbers(self._first(plane, rows.start), len(rows) * run)
            with np.errstate(over="ignore", invalid="ignore"):
                for start in range(0, len(found), CHUNK):
                    part = found[start : start + CHUNK]
                    if not part.dtype.isnative:
                        part.byteswap(inplace=True)
                    if factor != 1.0:
                        pixels = part.view(np.float32)
                        pixels *= np.float32(factor)
            return found.view(np.float32).reshape(len(rows), run)
        out = np.empty((len(rows), len(columns)), np.float32)
        at_once = max(1, 8 * PIECE // (run * abs(self.stored.bitpix)))
        for start in range(0, out.size and len(rows), at_once):
            some = rows[start : start + at_once]
            raw = self._box(plane, some, columns)
            self.stored.convert(raw, factor, out[start : start + at_once])
        return out

    def zeros(self, plane: tuple[int, ...], rows: range, columns: range) -> None:
        """Return that zeros are kept."""

    def _box(self, plane: tuple[int, ...], rows: range, columns: range) -> NDArray[Any]:
        """Read the numbers of a box as they are stored."""
        y, x = self.celestial
        width, after = self.axes[x], math.prod(self.axes[x + 1 :])
        layer = int(np.ravel_multi_index(plane[x - 1 :], self.axes[x + 1 :])) if after > 1 else 0
        is_fast = width <= max(_WIDER * len(columns), _SHORT // after)
        if is_fast and math.prod(self.axes[y + 1 : x]) == 1:
            raw = self._numbers(self._first(plane, rows.start), len(rows) * width * after)
            whole = raw.reshape(len(rows), width, after)
            return whole[:, columns.start : columns.stop, layer]
        shift, count = columns.start * after, len(columns) * after
        lines = [self._numbers(self._first(plane, row) + shift, count) for row in rows]
        return np.stack(lines).reshape(len(rows), len(columns), after)[..., layer]

    def _first(self, plane: tuple[int, ...], row: int) -> int:
        """Return how many numbers the file has before a row of a plane."""
        y, x = self.celestial
        before = (*plane[:y], row, *plane[y : x - 1])
        return int(np.ravel_multi_index(before, self.axes[:x])) * math.prod(self.axes[x:])

    def _numbers(self, first: int, count: int) -> NDArray[Any]:
        """Read stored numbers, one behind the other."""
        found = np.empty(count, DTYPES[self.stored.bitpix])
        with self.path.open("rb") as file:
            file.seek(self.start + first * found.itemsize)
            got = file.readinto(found.data)
        if got < found.nbytes:
            raise EOFError(f"the file ends {found.nbytes - got} bytes early")
        return found
