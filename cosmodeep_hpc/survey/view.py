"""A plane as the model wants it: in pixels of about the size that it was trained on."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from cosmodeep_hpc.engine.jit import jit
from cosmodeep_hpc.errors import InputError
from cosmodeep_hpc.images.beam import Beam
from cosmodeep_hpc.images.image import Image
from cosmodeep_hpc.tiles.noise import have_data

# Pixels this much larger or smaller than those of the training, after rebinning, are worth a note.
TOLERANCE = 1.25
COARSEST = 1.6  # and this much larger are refused: there is no detail to make up
ROWS_AT_ONCE = 64  # rows of blocks averaged at once
CUT_AT_ONCE = 2**20  # pixels of blocks that are not whole, averaged at once


@dataclass(frozen=True)
class View:
    """A plane averaged over blocks of `rebin` x `rebin` pixels.

    Surface brightness is kept, so the flux of a block is. A block holds the mean of its pixels
    with data; one that reaches beyond the edge of the image of those inside.
    """

    image: Image
    rebin: int

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns of the view."""
        ny, nx = self.image.shape
        return -(-ny // self.rebin), -(-nx // self.rebin)

    def rows(self, start: int, stop: int) -> NDArray[np.float32]:
        """Return rows `start` to `stop` of the view [Jy/arcsec^2]; NaN where there is no data.

        Raises:
            InputError: the file cannot be read.
        """
        if self.rebin == 1:
            return self.image.rows(start, stop)
        view = np.empty((stop - start, self.shape[1]), dtype=np.float32)
        for rows, pixels in self._blocks(start, stop):
            view[rows] = averaged(pixels, self.rebin)
        return view

    def both(self, start: int, stop: int) -> tuple[NDArray[np.float32], NDArray[np.float32] | None]:
        """Return `rows`, and the first pixel of each block; None where a block is a pixel."""
        if self.rebin == 1:
            return self.image.rows(start, stop), None
        view = np.empty((stop - start, self.shape[1]), dtype=np.float32)
        unaveraged = np.empty_like(view)
        for rows, pixels in self._blocks(start, stop):
            view[rows] = averaged(pixels, self.rebin)
            unaveraged[rows] = pixels[:: self.rebin, :: self.rebin]
        return view, unaveraged

    def _blocks(self, start: int, stop: int) -> Iterator[tuple[slice, NDArray[np.float32]]]:
        """Yield pixels of the image for some rows of the view at a time; NaN: no data."""
        for first in range(start, stop, ROWS_AT_ONCE):
            last = min(first + ROWS_AT_ONCE, stop)
            below, above = first * self.rebin, min(last * self.rebin, self.image.shape[0])
            pixels = self.image.rows(below, above)
            if not have_data(pixels.reshape(-1)):
                pixels[pixels == 0] = np.nan  # padding: no data, and not a part of a mean
            yield slice(first - start, last - start), pixels

    @property
    def beam(self) -> Beam | None:
        """The image's beam, in units of a pixel of the view."""
        beam, side = self.image.beam, self.image.pixel_scale * self.rebin
        return beam and Beam(beam.major / side, beam.minor / side, beam.angle)

    @property
    def gain(self) -> float:
        """What averaging makes of the noise of a pixel, which the beam correlates.

        The variance of a mean is the mean of all covariances of what it is of.
        """
        apart = np.arange(1 - self.rebin, self.rebin)
        beam, scale = self.image.beam, self.image.pixel_scale
        alike = (apart == 0) & (apart[:, None] == 0)
        if beam is not None:
            alike = beam.noise_correlation(apart * scale, apart[:, None] * scale)
        pairs = self.rebin - abs(apart)  # of pixels that lie so far apart
        return float(np.sqrt(pairs @ alike @ pairs) / self.rebin**2)


def averaged(pixels: NDArray[np.float32], block: int) -> NDArray[np.float32]:
    """Return the mean of the finite pixels of each block of `block` x `block`; NaN: there is none.

    Blocks at the upper and right edge may be cut.
    """
    if block == 1:
        return pixels.copy()
    rows, cols = (-(-side // block) for side in pixels.shape)
    if pixels.shape != (rows * block, cols * block):
        whole = np.full((rows * block, cols * block), np.nan, dtype=np.float32)
        whole[: pixels.shape[0], : pixels.shape[1]] = pixels
        pixels = whole
    blocks = pixels.reshape(rows, block, cols, block)
    mean = np.empty((rows, cols), dtype=np.float32)
    _average(np.ascontiguousarray(pixels), block, np.float32(1 / block**2), mean)
    row, col = np.nonzero(np.isnan(mean))
    for first in range(0, len(row), CUT_AT_ONCE // block**2 + 1):
        some = slice(first, first + CUT_AT_ONCE // block**2 + 1)
        cut = blocks[row[some], :, col[some]].reshape(-1, block**2)
        count = np.isfinite(cut).sum(axis=1)
        total = np.nansum(cut, axis=1, dtype=np.float32)
        mean[row[some], col[some]] = np.where(count > 0, total / np.maximum(count, 1), np.nan)
    return mean


@jit
def _average(pixels, block, factor, mean) -> None:  # type: ignore[no-untyped-def]
    """Sum each block, first along columns, then along the row of sums, and multiply by a factor."""
    line = np.empty(pixels.shape[1], dtype=np.float32)
    for row in range(len(mean)):
        line[:] = pixels[row * block]
        for below in range(row * block + 1, (row + 1) * block):
            for i in range(len(line)):
                line[i] += pixels[below, i]
        for col in range(mean.shape[1]):
            total = line[col * block]
            for i in range(col * block + 1, (col + 1) * block):
                total += line[i]
            mean[row, col] = total * factor


def rebinning(image: Image, pixel_scale: float, *, any_scale: bool) -> tuple[int, tuple[str, ...]]:
    """Return how many pixels make the side of one of `pixel_scale` [arcsec], and notes on it.

    Args:
        any_scale: take pixels that are too coarse, too.

    Raises:
        InputError: the image's pixels are far coarser.
    """
    finer = pixel_scale / image.pixel_scale
    rebin = max(1, round(finer))
    size = f"pixels of {image.pixel_scale:.3g} arcsec; the model was trained on {pixel_scale:.3g}"
    if finer * COARSEST < 1 and not any_scale:
        raise InputError(
            f"{image.path}: {size} arcsec, expected at most {pixel_scale * COARSEST:.3g}: use a "
            "model trained for such images, or set classify.any_scale"
        )
    notes = []
    if rebin > 1:
        notes.append(f"averaged over {rebin} x {rebin} pixels: {size} arcsec")
    if not 1 / TOLERANCE < finer / rebin < TOLERANCE:
        seen = image.pixel_scale * rebin
        notes.append(
            f"seen in pixels of {seen:.3g} arcsec; the model was trained on {pixel_scale:.3g} "
            "arcsec: its accuracy does not carry over"
        )
    return rebin, tuple(notes)
