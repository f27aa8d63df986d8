"""A plane as the model wants it: in pixels of about the size that it was trained on."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from cosmodeep_hpc.config.survey import Classify
from cosmodeep_hpc.engine.jit import jit
from cosmodeep_hpc.errors import InputError
from cosmodeep_hpc.images.beam import Beam
from cosmodeep_hpc.images.beams import check, plain, said
from cosmodeep_hpc.images.gaps import BRIGHTEST
from cosmodeep_hpc.images.image import Image
from cosmodeep_hpc.learn.card import Card

# Pixels this much larger or smaller than those of the training, after rebinning, are worth a note.
TOLERANCE = 1.25
COARSEST = 1.6  # and this much larger are refused: there is no detail to make up
NO_BEAM = (
    "no beam known: gaps and edges are filled with noise of neighbours that do not correlate, and "
    "whether the model is validated for the beam is not known; give it with --beam BMAJ BMIN BPA"
)
ROWS_AT_ONCE = 64  # rows of blocks averaged at once
CUT_AT_ONCE = 2**20  # pixels of blocks that are not whole, averaged at once


@dataclass(frozen=True)
class Strip:
    """Rows of a view.

    Attributes:
        pixels: float32 (rows, columns) [Jy/arcsec^2]; NaN: no data.
        single: where pixels are averages, the first pixel of the image in each; None elsewhere,
            or if it was not asked for.
        gaps: int64 (rows, 3), pixels of the image without data: absurd ones, padding that is not
            exactly 0, and zeros where noise may be 0.
    """

    pixels: NDArray[np.float32]
    single: NDArray[np.float32] | None
    gaps: NDArray[np.int64]

    def rows(self, start: int, stop: int) -> Strip:
        """Return rows `start` to `stop` of these, without single pixels."""
        return Strip(self.pixels[start:stop], None, self.gaps[start:stop])


@dataclass(frozen=True)
class View:
    """A plane averaged over blocks of `rebin` x `rebin` pixels.

    Surface brightness is kept, so the flux of a block is. A block holds the mean of its pixels
    with data; one that reaches beyond the edge of the image of those inside.

    Attributes:
        has_gaps: whether pixels are judged by `Gaps`; maps of noise are taken as they are, but for
            0 and what is brighter than any image.
    """

    image: Image
    rebin: int
    has_gaps: bool = True

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
        return self.strip(start, stop).pixels

    def strip(self, start: int, stop: int, *, single: bool = False) -> Strip:
        """Read rows `start` to `stop` of the view.

        Args:
            single: keep the first pixel of each block, too.

        Raises:
            InputError: the file cannot be read.
        """
        if self.rebin == 1:
            pixels, gaps = self._read(start, stop)
            return Strip(pixels, None, gaps)
        shape = stop - start, self.shape[1]
        strip = Strip(
            np.empty(shape, dtype=np.float32),
            np.empty(shape, dtype=np.float32) if single else None,
            np.zeros((shape[0], 3), dtype=np.int64),
        )
        for first in range(start, stop, ROWS_AT_ONCE):
            last = min(first + ROWS_AT_ONCE, stop)
            below, above = first * self.rebin, min(last * self.rebin, self.image.shape[0])
            pixels, gaps = self._read(below, above)
            rows = slice(first - start, last - start)
            strip.pixels[rows] = averaged(pixels, self.rebin)
            if strip.single is not None:
                strip.single[rows] = pixels[:: self.rebin, :: self.rebin]
            strip.gaps[rows] = np.add.reduceat(gaps, np.arange(0, len(gaps), self.rebin))
        return strip

    def _read(self, start: int, stop: int) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
        if self.has_gaps:
            return self.image.data_and_gaps(start, stop)
        pixels = self.image.rows(start, stop)
        pixels[(pixels == 0) | (pixels > BRIGHTEST)] = np.nan
        return pixels, np.zeros((len(pixels), 3), dtype=np.int64)

    @property
    def beam(self) -> Beam | None:
        """The image's beam, in units of a pixel of the view."""
        beam = self.image.beam
        return None if beam is None else beam.in_pixels(self.image.pixel_scale * self.rebin)

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


def rebinning(
    image: Image, card: Card, options: Classify, width: float | None = None
) -> tuple[int, tuple[str, ...]]:
    """Return how many pixels of the image make the side of one of its view, and notes on it.

    By `classify.view` a pixel of the view is about as wide as the beam, or as the pixels that the
    model was trained on.

    Args:
        width: of the beam of a cube, whose planes are seen alike [arcsec]; None: of the image's.

    Raises:
        InputError: the beam cannot be the image's, or the pixels are to be those of the training
            and the image's are far coarser.
    """
    beam, pixel = image.beam, image.pixel_scale
    if beam is not None:
        check(image.path, beam, pixel, image.shape)
    if width is None and beam is not None:
        width = beam.width
    if width is None or options.view == "scale":
        rebin, notes = _by_scale(image, card.pixel_scale, any_scale=options.any_scale)
    else:
        rebin, notes = max(1, round(width / pixel)), []
    seen = pixel * rebin
    if beam is None:
        return rebin, (*([_said(rebin, pixel)] if rebin > 1 else []), *notes, NO_BEAM)
    width = beam.width / seen
    how = f"; {_said(rebin, pixel)}" if rebin > 1 else ""
    notes.insert(0, f"beam of {said(beam)}, seen {plain(width)} pixels wide{how}")
    if card.beams is not None and not card.beams[0] <= width <= card.beams[1]:
        notes.append(
            f"not validated for such a beam: the network sees it {plain(width)} pixels wide, and "
            f"the model knows {plain(card.beams[0])} to {plain(card.beams[1])}"
        )
    return rebin, tuple(notes)


def is_validated(image: Image, card: Card, rebin: int) -> bool:
    """Return whether a model was validated on what it sees of an image: its beam and its pixels.

    False where the beam is not known.

    Args:
        rebin: pixels of the image along the side of one that the network sees.
    """
    seen = image.pixel_scale * rebin
    if image.beam is None or (card.beams is None and not _is_scale(card.pixel_scale / seen)):
        return False
    width = image.beam.width / seen
    return card.beams is None or card.beams[0] <= width <= card.beams[1]


def _is_scale(ratio: float) -> bool:
    """Return whether pixels are as large as those of the training, from the ratio of both."""
    return 1 / TOLERANCE < ratio < TOLERANCE


def _said(rebin: int, pixel: float) -> str:
    return f"averaged over {rebin} x {rebin} pixels to {pixel * rebin:.3g} arcsec"


def _by_scale(image: Image, pixel_scale: float, *, any_scale: bool) -> tuple[int, list[str]]:
    finer = pixel_scale / image.pixel_scale
    rebin = max(1, round(finer))
    size = f"pixels of {image.pixel_scale:.3g} arcsec; the model was trained on {pixel_scale:.3g}"
    if finer * COARSEST < 1 and not any_scale:
        raise InputError(
            f"{image.path}: {size} arcsec, expected at most {pixel_scale * COARSEST:.3g}: use a "
            "model trained for such images, or set classify.view = beam or classify.any_scale"
        )
    if _is_scale(finer / rebin):
        return rebin, []
    return rebin, [
        f"seen in pixels of {image.pixel_scale * rebin:.3g} arcsec; the model was trained on "
        f"{pixel_scale:.3g} arcsec: its accuracy does not carry over"
    ]
