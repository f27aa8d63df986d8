"""Tile-compressed images (.fz): only the compressed tiles that are asked for are read."""

from __future__ import annotations

import math
import weakref
from pathlib import Path
from threading import Lock
from typing import Any

import numpy as np
from astropy.io import fits
from numpy.typing import NDArray

from cosmodeep_hpc.errors import InputError
from cosmodeep_hpc.images.file import Hdu, value, whole_number
from cosmodeep_hpc.images.pixels import StoredNumbers
from cosmodeep_hpc.images.quiet import quiet

# Pixels of one row of compressed tiles, which have to be in memory together: 256 MiB of float32.
LARGEST_BAND = 2**26
TALL = 32  # rows of a compressed tile from which on it is kept for the next rows
DITHERED = "SUBTRACTIVE_DITHER_1"
"""The method of quantization that loses zeros; fpack's default for floating-point numbers."""
HALF = 0.51
"""Of a step: how large a 0 may become, and what float32 adds."""
METHODS = ("RICE_1", "RICE_ONE", "GZIP_1", "GZIP_2", "PLIO_1", "HCOMPRESS_1", "NOCOMPRESS")


class CompressedPixels:
    """Pixels of a tile-compressed image; `Pixels` of pixels.py.

    Attributes:
        path: the file.
        hdu: its HDU.
        celestial: indices of y and x in the image's axes.
        stored: what the numbers mean that were compressed.
    """

    def __init__(
        self, path: Path, hdu: Hdu, celestial: tuple[int, int], stored: StoredNumbers
    ) -> None:
        """Open nothing yet."""
        self.path, self.hdu, self.celestial, self.stored = path, hdu, celestial, stored
        self._lock = Lock()
        self._opened: Any = None
        self._band: tuple[tuple[int, ...], NDArray[Any]] | None = None
        self._steps: NDArray[np.float64] | None = None

    def __reduce__(self) -> tuple[Any, ...]:
        """Be copied, and sent to another process, with nothing open."""
        return type(self), (self.path, self.hdu, self.celestial, self.stored)

    def read(
        self, plane: tuple[int, ...], rows: range, columns: range, factor: float
    ) -> NDArray[np.float32]:
        """Read as `Pixels` says; threads wait for each other."""
        out = np.empty((len(rows), len(columns)), np.float32)
        if out.size == 0:
            return out
        with self._lock, quiet():
            self._open()
            height = int(self._opened.tile_shape[self.celestial[0]])
            if height < TALL:
                self.stored.convert(self._section(plane, rows, columns), factor, out)
                return out
            for band in range(rows.start // height, (rows.stop - 1) // height + 1):
                first = max(rows.start, band * height)
                last = min(rows.stop, (band + 1) * height)
                raw = self._whole_band(plane, band, height)[:, columns.start : columns.stop]
                part = raw[first - band * height : last - band * height]
                self.stored.convert(part, factor, out[first - rows.start : last - rows.start])
        return out

    def zeros(
        self, plane: tuple[int, ...], rows: range, columns: range
    ) -> NDArray[np.float32] | None:
        """Return how large a 0 may be after quantization with dithering, as `Pixels` says.

        A number becomes a whole multiple of its tile's ZSCALE at a random place within a step. The
        second method of dithering keeps 0.

        Source: FITS standard 4.0, section 10.2; White, Greenfield & Pence (2012).
        """
        if value(self.hdu.header, "ZQUANTIZ") != DITHERED:
            return None
        with self._lock, quiet():
            if self._steps is None:
                self._open()
                shape = [-(-n // s) for n, s in zip(self.hdu.axes, self._sides, strict=True)]
                self._steps = self._scales().reshape(shape)
            box: list[Any] = [
                number // side for number, side in zip(plane, self._others, strict=True)
            ]
            for axis, wanted in zip(self.celestial, (rows, columns), strict=True):
                box.insert(axis, np.arange(wanted.start, wanted.stop) // self._sides[axis])
            y, x = self.celestial
            box[y] = box[y][:, None]
            return np.asarray(HALF * self._steps[tuple(box)], np.float32)

    def _open(self) -> None:
        if self._opened is None:
            hdus = _open(self.path, self.hdu)
            weakref.finalize(self, hdus.close)
            self._opened = hdus[self.hdu.number]

    def _scales(self) -> NDArray[np.float64]:
        """Return ZSCALE of all tiles, 0 where a tile is compressed without loss."""
        table = self._opened.compressed_data
        if "ZSCALE" in table.names:
            return np.nan_to_num(np.abs(np.asarray(table["ZSCALE"], np.float64)))
        return np.full(len(table), abs(float(value(self.hdu.header, "ZSCALE") or 0.0)))

    @property
    def _sides(self) -> tuple[int, ...]:
        """Sides of a tile, in the order of `hdu.axes`."""
        return tuple(map(int, self._opened.tile_shape))

    @property
    def _others(self) -> list[int]:
        """Sides of a tile along the axes that are not on the sky."""
        return [side for axis, side in enumerate(self._sides) if axis not in self.celestial]

    def _section(self, plane: tuple[int, ...], rows: range, columns: range) -> NDArray[Any]:
        """Read numbers as they were compressed."""
        box: list[int | slice] = list(plane)
        for axis, wanted in zip(self.celestial, (rows, columns), strict=True):
            box.insert(axis, slice(wanted.start, wanted.stop))
        raw = self._opened.section[tuple(box)]
        if raw.shape != (len(rows), len(columns)):
            raise EOFError(f"{raw.shape} pixels in place of {len(rows)} x {len(columns)}")
        return np.asarray(raw)

    def _whole_band(self, plane: tuple[int, ...], band: int, height: int) -> NDArray[Any]:
        """Read a row of tall tiles, and keep the last such: the next rows are mostly in it."""
        key = (*plane, band)
        if self._band is None or self._band[0] != key:
            self._band = None  # the memory of one is enough
            length, width = (self.hdu.axes[axis] for axis in self.celestial)
            rows = range(band * height, min((band + 1) * height, length))
            self._band = key, self._section(plane, rows, range(width))
        return self._band[1]


def _open(path: Path, hdu: Hdu) -> fits.HDUList:
    """Open a file by astropy, which finds the HDU there as well; numbers stay as stored."""
    with quiet():
        hdus = fits.open(path, memmap=False, lazy_load_hdus=True, do_not_scale_image_data=True)
        try:
            if hdus[hdu.number].fileinfo()["datLoc"] != hdu.start:
                raise ValueError("no such HDU")
        except BaseException:
            hdus.close()
            raise
        return hdus


def image_header(path: Path, shown: Path, hdu: Hdu) -> fits.Header:
    """Return the header of the image that an HDU holds compressed.

    Args:
        shown: the name in messages.

    Raises:
        InputError: it cannot be understood, or its tiles do not make up the image, or are too
            large to be read a few rows at a time.
    """
    method = value(hdu.header, "ZCMPTYPE")
    if method not in METHODS:
        raise InputError(
            f"{shown}: compressed by {method!r}; expected one of {', '.join(METHODS)}: unpack it "
            "(funpack)"
        )
    whole_number(shown, hdu.header, "TFIELDS", 1, 999)  # astropy makes as many columns
    sides = []
    for axis, length in zip(range(len(hdu.axes), 0, -1), hdu.axes, strict=True):
        name = f"ZTILE{axis}"
        default = length if axis == 1 else 1
        side = whole_number(shown, hdu.header, name, 1) if name in hdu.header else default
        sides.append(side)
    expected = math.prod(-(-n // side) for n, side in zip(hdu.axes, sides, strict=True))
    rows = whole_number(shown, hdu.header, "NAXIS2")
    if expected != rows:
        raise InputError(
            f"{shown}: {rows} compressed tiles, but an image of "
            f"{' x '.join(map(str, reversed(hdu.axes)))} pixels in tiles of "
            f"{' x '.join(map(str, reversed(sides)))} has {expected}: copy or make it again"
        )
    band = math.prod(sides[:-1]) * hdu.axes[-1]
    if band > LARGEST_BAND:
        raise InputError(
            f"{shown}: compressed in tiles of {' x '.join(map(str, reversed(sides)))} pixels, of "
            f"which one row does not fit into memory; expected at most {LARGEST_BAND} pixels: "
            "unpack it (funpack)"
        )
    try:
        with _open(path, hdu) as hdus:
            header = hdus[hdu.number].header
        if value(header, "BITPIX") is None:
            raise ValueError("no such HDU")
    except Exception as error:  # astropy raises many things of a damaged header
        raise InputError(
            f"{shown}: its compressed image (HDU {hdu.number}) cannot be understood "
            f"({' '.join(str(error).split())}); expected a whole file: copy or make it again"
        ) from error
    return header
