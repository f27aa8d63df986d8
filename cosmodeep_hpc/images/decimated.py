"""Maps of every n-th pixel alone, as BANE --compress writes them, read on the pixels of all."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from astropy.io import fits
from numpy.typing import NDArray

from cosmodeep_hpc.errors import InputError
from cosmodeep_hpc.images.file import value, whole_number
from cosmodeep_hpc.images.image import Image
from cosmodeep_hpc.images.pixels import Pixels

STEP, SIDES = "BN_CFAC", ("BN_NPX2", "BN_NPX1")
"""Cards of BANE: the step, and the sides (ny, nx) before."""


@dataclass(frozen=True)
class DecimatedPixels:
    """Pixels between those of a file, by linear interpolation; `Pixels` of pixels.py.

    Attributes:
        pixels: of the file: number i of a row is pixel `step` i.
        shape: (ny, nx) of the file.
        step: [pixel].
    """

    pixels: Pixels
    shape: tuple[int, int]
    step: int

    def read(
        self, plane: tuple[int, ...], rows: range, columns: range, factor: float
    ) -> NDArray[np.float32]:
        """Read as `Pixels` says."""
        (top, down, y), (left, right, x) = (
            self._around(part, side) for part, side in zip((rows, columns), self.shape, strict=True)
        )
        boxes = range(top, down), range(left, right)
        found = self.pixels.read(plane, *boxes, factor)
        below, right_of = np.floor(y).astype(int), np.floor(x).astype(int)
        above = np.minimum(below + 1, len(found) - 1)
        beside = np.minimum(right_of + 1, found.shape[1] - 1)
        up = (y - below).astype(np.float32)[:, None]
        along = (x - right_of).astype(np.float32)
        lines = found[below] * (1 - up) + found[above] * up
        return np.asarray(lines[:, right_of] * (1 - along) + lines[:, beside] * along)

    def _around(self, part: range, side: int) -> tuple[int, int, NDArray[np.float64]]:
        """Return the file's pixels around some, and where these lie between them."""
        at = np.minimum(np.asarray(part, dtype=np.float64) / self.step, side - 1)
        first = int(at[0]) if len(part) else 0
        last = min(int(at[-1]) + 2, side) if len(part) else 0
        return first, last, at - first

    def zeros(self, plane: tuple[int, ...], rows: range, columns: range) -> None:
        """Return that zeros are kept: a map of noise has none."""


def step_of(path: Path, header: fits.Header) -> int:
    """Return of how many pixels in a row one was kept; 1 where all were.

    Raises:
        InputError: BANE's card is no whole number.
    """
    return 1 if value(header, STEP) is None else whole_number(path, header, STEP, 1)


def shape_of(path: Path, header: fits.Header, shape: tuple[int, int]) -> tuple[int, int]:
    """Return the (ny, nx) that a map had before every n-th pixel was taken.

    Args:
        shape: what it has now.

    Raises:
        InputError: BANE's cards contradict that.
    """
    if value(header, STEP) is None:
        return shape
    step = step_of(path, header)
    ny, nx = (whole_number(path, header, name, 1) for name in SIDES)
    most = [side // step + 2 for side in (ny, nx)]  # the last row and column repeat those before
    if any(n > m or n * step < side for n, m, side in zip(shape, most, (ny, nx), strict=True)):
        raise InputError(
            f"{path}: {shape[1]} x {shape[0]} pixels for every {step}th of {nx} x {ny}; expected "
            "all of these: make the map again"
        )
    return ny, nx


def expanded(image: Image) -> Image:
    """Return an image on the pixels that it had before every n-th was taken; others as they are.

    Raises:
        InputError: BANE's cards contradict the file.
    """
    if value(image.header, STEP) is None:
        return image
    step = step_of(image.path, image.header)
    shape = shape_of(image.path, image.header, image.shape)
    pixels = DecimatedPixels(image._pixels, image.shape, step)
    return replace(image, shape=shape, _pixels=pixels)
