"""The tiles of a stripe: what a network that knows tiles alone is shown, and says."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.lib.stride_tricks import as_strided
from numpy.typing import NDArray

from cosmodeep_hpc.config.survey import Classify
from cosmodeep_hpc.learn.classifier import probabilities
from cosmodeep_hpc.learn.modelfile import TrainedModel
from cosmodeep_hpc.survey.filling import fill
from cosmodeep_hpc.survey.grid import CellGrid, pixels_inside
from cosmodeep_hpc.survey.plane import OpenPlane
from cosmodeep_hpc.survey.stripe import (
    Meshes,
    OwnRows,
    StripeResult,
    counts_of,
    matched,
    measured,
)
from cosmodeep_hpc.survey.task import ClassifyStripe
from cosmodeep_hpc.tiles.preprocessing import Preprocessing

TILES_AT_ONCE = 16384  # cut out of a stripe at a time: 100 MB


@dataclass(frozen=True, kw_only=True)
class TileStripe:
    """A stripe whose tiles are ready for the network.

    Attributes:
        layout: of its plane.
        pixels: preprocessed, with the margins of the tiles, filled up so that every tile is whole:
            float32 (ny, nx).
        with_data: bool (rows, cols), tiles that have enough data.
        batch: tiles that the network sees at a time.
        result: what is known of it, without probabilities.
    """

    layout: CellGrid
    pixels: NDArray[np.float32]
    with_data: NDArray[np.bool_]
    batch: int
    result: StripeResult

    def classify(self, model: TrainedModel) -> StripeResult:
        """Fill in the probability of signal of the tiles."""
        probability = self.result.probability
        tiles, cols = tiles_of(self.pixels, self.layout), max(1, self.layout.tiles[1])
        at_once = max(1, TILES_AT_ONCE // cols)
        for first in range(0, len(probability), at_once):
            part = slice(first, first + at_once)
            chosen = self.with_data[part]
            if chosen.any():
                probability[part][chosen] = probabilities(model, tiles[part][chosen], self.batch)
        return self.result


def prepare(
    plane: OpenPlane, task: ClassifyStripe, preprocessing: Preprocessing, options: Classify
) -> TileStripe:
    """Read the rows that a stripe needs, measure what is its own, and make it what is seen.

    Raises:
        InputError: the file cannot be read.
    """
    layout, (scaling,) = plane.layout, task.scalings
    seen, tiles, owned = layout.pixel_rows(task.stripe)
    its_own = slice(owned.start - seen.start, owned.stop - seen.start)
    strip = plane.view.strip(seen.start, seen.stop, single=not task.measured)
    pixels = strip.pixels
    found: Meshes = ()
    if not task.measured:
        single = None if strip.single is None else strip.single[its_own]
        found = measured(layout, pixels[its_own], single)
    rms, gaps = matched(plane, strip, seen.start)
    own = OwnRows.of(layout, pixels[its_own], None if rms is None else rms[its_own], gaps[its_own])
    shape = len(task.stripe.tiles), layout.tiles[1]
    scaling.match(pixels, seen.start)
    of_tiles = pixels[tiles.start - seen.start : tiles.stop - seen.start]
    enough = _enough_data(of_tiles, shape, layout, options.min_coverage)
    side = layout.size + 2 * layout.margin
    needed = layout.stride * (shape[0] - 1) + side, layout.stride * (shape[1] - 1) + side
    above = layout.margin - (tiles.start - seen.start)
    filled = _filled(pixels, (max(needed[0], 0), needed[1]), above, layout.margin)
    fill(filled, (tiles.start - layout.margin, -layout.margin), scaling.level.sigma, layout.beam)
    preprocessing.apply(filled, scaling.level)
    result = own.result(shape, found)
    return TileStripe(
        layout=layout, pixels=filled, with_data=enough, batch=options.batch, result=result
    )


def _enough_data(
    pixels: NDArray[np.float32], shape: tuple[int, int], layout: CellGrid, min_coverage: float
) -> NDArray[np.bool_]:
    """Return which tiles have data in enough of their pixels inside the view: bool (rows, cols).

    Args:
        pixels: the rows of the tiles.
        shape: rows and columns of tiles.
    """
    counts, whole = counts_of(pixels, layout.stride), pixels_inside(pixels.shape, layout.stride)
    with_data, inside = (_windows(each, shape, layout.overlap) for each in (counts, whole))
    return np.asarray(with_data >= min_coverage * inside)


def tiles_of(pixels: NDArray[np.float32], layout: CellGrid) -> NDArray[np.float32]:
    """View contiguous pixels as tiles with their margins: (rows, cols, side, side)."""
    side, stride = layout.size + 2 * layout.margin, layout.stride
    ny, nx = pixels.shape
    shape = (ny - side) // stride + 1, (nx - side) // stride + 1, side, side
    down, right = pixels.strides
    return as_strided(pixels, shape, (stride * down, stride * right, down, right), writeable=False)


def _windows(counts: NDArray[np.int64], shape: tuple[int, ...], overlap: int) -> NDArray[np.int64]:
    """Sum over the `overlap` x `overlap` cells of each tile; fewer at the upper and right edge."""
    rows, cols = shape
    total = np.zeros(shape, dtype=np.int64)
    for y in range(overlap):
        for x in range(overlap):
            part = counts[y : y + rows, x : x + cols]
            total[: part.shape[0], : part.shape[1]] += part
    return total


def _filled(
    pixels: NDArray[np.float32], shape: tuple[int, int], y: int, x: int
) -> NDArray[np.float32]:
    """Return NaN (ny, nx) with the pixels from row `y`, column `x` on, as far as they fit."""
    if pixels.shape == shape and x == y == 0:
        return pixels
    filled = np.full(shape, np.nan, dtype=np.float32)
    into = filled[y : y + pixels.shape[0], x : x + pixels.shape[1]]
    into[:] = pixels[: into.shape[0], : into.shape[1]]
    return filled
