"""One stripe of a plane: read, matched, preprocessed, and classified."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.lib.stride_tricks import as_strided
from numpy.typing import NDArray

from cosmodeep_hpc.config.survey import Classify
from cosmodeep_hpc.learn.classifier import probabilities
from cosmodeep_hpc.learn.modelfile import TrainedModel
from cosmodeep_hpc.noise import mesh as meshes
from cosmodeep_hpc.noise.mesh import Mesh
from cosmodeep_hpc.survey.filling import fill
from cosmodeep_hpc.survey.grid import CellGrid, Stripe, pixels_inside
from cosmodeep_hpc.survey.plane import OpenPlane
from cosmodeep_hpc.survey.task import ClassifyStripe
from cosmodeep_hpc.survey.view import averaged
from cosmodeep_hpc.tiles.preprocessing import Preprocessing

TILES_AT_ONCE = 16384  # cut out of a stripe at a time: 100 MB
GRIDS, MESH = ("probability", "coverage", "thumbnail", "rms", "gaps"), "mesh"


@dataclass(frozen=True, kw_only=True)
class StripeResult:
    """What is left of a stripe.

    Attributes:
        probability: of the tiles that begin in it: float32 (rows, cols); NaN: no data, or not yet
            classified.
        coverage: of the stripe's own cells, of their pixels inside the view: float32.
        thumbnail: of its own rows: float32 [Jy/arcsec^2].
        rms: noise of its own cells by the user's map [Jy/arcsec^2]; without one, empty.
        gaps: float32 (4,), pixels without data: those of the image as in `Strip`, and those of the
            view where the user's map has no noise.
        mesh: the noise, where no pass before has measured it.
    """

    probability: NDArray[np.float32]
    coverage: NDArray[np.float32]
    thumbnail: NDArray[np.float32]
    rms: NDArray[np.float32]
    gaps: NDArray[np.float32]
    mesh: Mesh | None

    def as_arrays(self) -> dict[str, NDArray[np.float32]]:
        """Return it by names, as a journal takes it."""
        arrays = {name: getattr(self, name) for name in GRIDS}
        return arrays if self.mesh is None else arrays | {MESH: self.mesh.grids}

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, NDArray[np.float32]], side: int) -> StripeResult:
        """Return what `as_arrays` was made of; `side` is that of a cell of the mesh [pixel]."""
        mesh = meshes.mesh_of(arrays[MESH], side) if MESH in arrays else None
        return cls(mesh=mesh, **{name: arrays[name] for name in GRIDS})


@dataclass(frozen=True, kw_only=True)
class PreparedStripe:
    """A stripe that is ready for the network.

    Attributes:
        pixels: preprocessed, with the margins of the tiles, filled up so that every tile is whole:
            float32 (ny, nx).
        with_data: bool (rows, cols), tiles that have enough data.
        result: what is known of it, without probabilities.
    """

    pixels: NDArray[np.float32]
    with_data: NDArray[np.bool_]
    result: StripeResult


def measure(plane: OpenPlane, stripe: Stripe) -> Mesh:
    """Measure noise and extremes of the rows that a stripe alone has."""
    *_, owned = plane.layout.pixel_rows(stripe)
    strip = plane.view.strip(owned.start, owned.stop, single=True)
    pixels, unaveraged = strip.pixels, strip.single
    if plane.rms_map is not None:
        plane.rms_map.match(pixels, owned.start)
    return _measured(plane, pixels, unaveraged)


def _measured(
    plane: OpenPlane, pixels: NDArray[np.float32], unaveraged: NDArray[np.float32] | None
) -> Mesh:
    layout = plane.layout
    side, thorough = layout.mesh_side, layout.is_small
    return meshes.measure(pixels, side, unaveraged, plane.view.beam, thorough=thorough)


def prepare(
    plane: OpenPlane, task: ClassifyStripe, preprocessing: Preprocessing, min_coverage: float
) -> PreparedStripe:
    """Read a stripe and make it what the network sees."""
    view, layout, rms_map = plane.view, plane.layout, plane.rms_map
    stripe, scaling = task.stripe, task.scaling
    seen, rows, owned = layout.pixel_rows(stripe)
    below = rows.start - seen.start  # rows of the margin
    its_own = slice(below, below + len(owned))
    strip = view.strip(seen.start, seen.stop, single=not task.measured)
    pixels, mesh = strip.pixels, None
    if not task.measured:
        single = None if strip.single is None else strip.single[its_own]
        mesh = _measured(plane, pixels[its_own], single)
    of_tiles = pixels[below : below + len(rows)]
    thumbnail = averaged(pixels[its_own], layout.block)
    rms, unmapped = np.empty((0, 0), dtype=np.float32), 0
    if rms_map is not None:
        had = np.isfinite(pixels[its_own]).sum()
        matched = rms_map.match(pixels, seen.start)
        rms = averaged(matched[its_own], layout.stride)
        unmapped = had - np.isfinite(pixels[its_own]).sum()
    scaling.match(pixels, seen.start)
    counts, whole = _counts(of_tiles, layout.stride), pixels_inside(of_tiles.shape, layout.stride)
    own_rows = stripe.stop - stripe.start
    coverage = (counts / whole)[:own_rows].astype(np.float32)
    shape = len(stripe.tiles), layout.tiles[1]
    enough = _windows(counts, shape, layout.overlap) >= min_coverage * _windows(
        whole, shape, layout.overlap
    )
    side = layout.size + 2 * layout.margin
    needed = layout.stride * (shape[0] - 1) + side, layout.stride * (shape[1] - 1) + side
    filled = _filled(pixels, (max(needed[0], 0), needed[1]), layout.margin - below, layout.margin)
    fill(filled, (rows.start - layout.margin, -layout.margin), scaling.level.sigma, view.beam)
    preprocessing.apply(filled, scaling.level)
    none = np.full(shape, np.nan, dtype=np.float32)
    result = StripeResult(
        probability=none,
        coverage=coverage,
        thumbnail=thumbnail,
        rms=rms,
        gaps=np.array([*strip.gaps[its_own].sum(axis=0), unmapped], np.float32),
        mesh=mesh,
    )
    return PreparedStripe(pixels=filled, with_data=enough, result=result)


def classify(
    model: TrainedModel, layout: CellGrid, ready: PreparedStripe, options: Classify
) -> StripeResult:
    """Fill in the probability of signal of the tiles of a stripe."""
    probability = ready.result.probability
    tiles, cols = tiles_of(ready.pixels, layout), max(1, layout.tiles[1])
    at_once = max(1, TILES_AT_ONCE // cols)
    for first in range(0, len(probability), at_once):
        part = slice(first, first + at_once)
        chosen = ready.with_data[part]
        if chosen.any():
            probability[part][chosen] = probabilities(model, tiles[part][chosen], options.batch)
    return ready.result


def tiles_of(pixels: NDArray[np.float32], layout: CellGrid) -> NDArray[np.float32]:
    """View contiguous pixels as tiles with their margins: (rows, cols, side, side)."""
    side, stride = layout.size + 2 * layout.margin, layout.stride
    ny, nx = pixels.shape
    shape = (ny - side) // stride + 1, (nx - side) // stride + 1, side, side
    down, right = pixels.strides
    return as_strided(pixels, shape, (stride * down, stride * right, down, right), writeable=False)


def _counts(pixels: NDArray[np.float32], side: int) -> NDArray[np.int64]:
    """Count the pixels with data in each cell of `side` x `side`."""
    good = np.isfinite(pixels)
    if good.all():
        return pixels_inside(pixels.shape, side)
    down, right = (np.arange(0, length, side) for length in pixels.shape)
    return np.add.reduceat(np.add.reduceat(good, down, axis=0, dtype=np.int64), right, axis=1)


def _windows(counts: NDArray[np.int64], shape: tuple[int, int], overlap: int) -> NDArray[np.int64]:
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
