"""Pixels out of a file: stored numbers as float32, a few rows at a time."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from astropy.io import fits
from numpy.typing import NDArray

from cosmodeep_hpc.engine.jit import jit
from cosmodeep_hpc.errors import InputError
from cosmodeep_hpc.images.cards import value
from cosmodeep_hpc.images.storage import Storage

DTYPES = {8: "u1", 16: ">i2", 32: ">i4", 64: ">i8", -32: ">f4", -64: ">f8"}
CHUNK = 2**16  # numbers converted at once: they stay in the cache
_WIDER = 4  # a read of whole rows is faster than one of many pieces that are a fourth of them
_SHORT = 2**14  # or where rows have no more numbers than this
_NUMBERS = 2**20  # of whole rows, read at once for pieces of them
NAN, INFINITE, SIZE = np.uint32(0x7FC00000), np.uint32(0x7F800000), np.uint32(0x7FFFFFFF)
"""Bits of float32: of a number that is none, of infinity, and of all but the sign."""
_PIECE = 2**22  # bytes at most read at once where not all of them are wanted


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
        """The scaling of an image's header.

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
        """Pixels times `factor` of stored numbers, into `out` of the same shape; infinite is NaN.

        In float64 and rounded once, but for plain float32.
        """
        with np.errstate(over="ignore", invalid="ignore"):
            if self.is_plain and raw.dtype.kind == "f" and raw.dtype.itemsize == 4:
                out[...] = raw
                _finish(out, factor)
                return
            if raw.dtype.kind == "f":
                values = raw.astype(np.float64)
                zero = self.zero
            elif self.zero == 2.0**63 and self.scale == 1.0 and raw.dtype.itemsize == 8:
                # unsigned 64 bit: the sum in float64 would lose what it subtracts
                values = (raw.astype(np.int64).view(np.uint64) ^ np.uint64(1 << 63)).astype(
                    np.float64
                )
                zero = 0.0
            else:
                values = raw.astype(np.float64)
                zero = self.zero
            if self.scale != 1.0:
                values *= self.scale
            if zero != 0.0:
                values += zero
            if self.blank is not None:
                values[raw == self.blank] = np.nan
            values *= factor
            out[...] = values
            _finish(out, 1.0)


def _finish(pixels: NDArray[np.float32], factor: float) -> None:
    """Multiply pixels in place and turn infinite ones into NaN."""
    if factor != 1.0:
        pixels *= np.float32(factor)
    infinite = np.isinf(pixels)
    if infinite.any():
        pixels[infinite] = np.nan


@jit
def _from_stored(bits):  # type: ignore[no-untyped-def]
    """The bits of float32 numbers of a file as this processor has them, in place.

    Infinite becomes NaN.
    """
    for i in range(len(bits)):
        stored = bits[i]
        turned = (
            (stored << 24) | ((stored & 0xFF00) << 8) | ((stored >> 8) & 0xFF00) | (stored >> 24)
        )
        bits[i] = NAN if turned & SIZE == INFINITE else turned


class Pixels(Protocol):
    """Reads a box of a plane."""

    def read(
        self, plane: tuple[int, ...], rows: range, columns: range, factor: float
    ) -> NDArray[np.float32]:
        """Pixels times `factor`, float32 (rows, columns); infinite is NaN.

        Raises:
            EOFError, OSError and what decompressors raise: they cannot be read.
        """
        ...


@dataclass(frozen=True)
class StoredPixels:
    """Pixels that lie in a file as the header says.

    Attributes:
        start: byte of the file of the first one.
        axes: lengths of the file's axes, slowest first.
        celestial: indices of y and x in `axes`; y is the slower one.
    """

    storage: Storage
    start: int
    axes: tuple[int, ...]
    celestial: tuple[int, int]
    scaling: StoredNumbers

    def read(
        self, plane: tuple[int, ...], rows: range, columns: range, factor: float
    ) -> NDArray[np.float32]:
        """As of `Pixels`; memory for what is asked and a few MiB, by any number of threads."""
        strides = [1] * len(self.axes)  # in numbers
        for axis in range(len(self.axes) - 2, -1, -1):
            strides[axis] = strides[axis + 1] * self.axes[axis + 1]
        y, x = self.celestial
        if strides[x] == 1 and len(columns) < self.axes[x] <= max(_WIDER * len(columns), _SHORT):
            found = np.empty((len(rows), len(columns)), np.float32)
            at_once = max(1, _NUMBERS // self.axes[x])
            for start in range(0, len(rows), at_once):
                some = rows[start : start + at_once]
                whole = self.read(plane, some, range(self.axes[x]), factor)
                found[start : start + at_once] = whole[:, columns.start : columns.stop]
            return found
        others = [axis for axis in range(len(self.axes)) if axis not in self.celestial]
        first = sum(strides[axis] * index for axis, index in zip(others, plane, strict=True))
        first += columns.start * strides[x]
        out = np.empty((len(rows), len(columns)), np.float32)
        if strides[x] == 1 and strides[y] == len(columns):  # whole rows, one behind the other
            self._run(first + rows.start * strides[y], 1, out.reshape(-1), factor)
        else:
            for row, line in zip(rows, out, strict=True):
                self._run(first + row * strides[y], strides[x], line, factor)
        return out

    def _run(self, first: int, step: int, out: NDArray[np.float32], factor: float) -> None:
        """Every `step`-th number from `first` on, into contiguous `out`."""
        item = np.dtype(DTYPES[self.scaling.bitpix])
        if step == 1 and item == np.dtype(">f4") and self.scaling.is_plain:
            self._fill(out.view(np.uint8), first * 4)
            with np.errstate(over="ignore", invalid="ignore"):
                for chunk in chunks(out, CHUNK):
                    if np.little_endian:
                        _from_stored(chunk.view(np.uint32))
                    if factor != 1.0 or not np.little_endian:
                        _finish(chunk, factor)
            return
        count = max(1, _PIECE // (item.itemsize * step))
        for number, piece in enumerate(chunks(out, count)):
            raw = np.empty((len(piece) - 1) * step + 1, item)
            self._fill(raw.view(np.uint8), (first + number * count * step) * item.itemsize)
            for part, wanted in zip(chunks(raw[::step], CHUNK), chunks(piece, CHUNK), strict=True):
                self.scaling.convert(part, factor, wanted)

    def _fill(self, buffer: NDArray[np.uint8], offset: int) -> None:
        got = self.storage.read_into(buffer.data, self.start + offset)
        if got < len(buffer):
            raise EOFError(f"the file ends {len(buffer) - got} bytes early")


def chunks(array: NDArray[Any], size: int) -> Iterator[NDArray[Any]]:
    """An array in pieces along its first axis."""
    for start in range(0, len(array), size):
        yield array[start : start + size]
